"""Names, outcomes and times of a search on one machine, as a person reads them."""

from collections.abc import Mapping
from typing import Any

from autosel_runtime.progress import format_seconds, plural
from autosel_runtime.report.headline import overlap_words
from autosel_runtime.report.words import recipe_words
from controller.reconcile.model import Observed, StepResult, Trial

SHOWN_TASKS = 2
CHAIN = ("suggest", "materialize", "train", "evaluate")


def shown_name(name: str) -> tuple[str, str]:
    """Return owner and step of a step's name: ``suggest-00003.suggest`` belongs to ``t00003`` and is ``suggest``."""
    owner, _, step = name.partition(".")
    head, _, tail = owner.partition("-")
    if step == "suggest" and head == "suggest":
        return f"t{tail}", step
    if step == "suggest" and head == "choose":
        return "search", "choose"
    if owner == "setup" or step == "report":
        return "search", step
    return owner, step


def intent_words(trial: Trial) -> str:
    """Say what a new trial is: ``366 samples: Keep the 61 % of samples with the lowest IFD.``"""
    if trial.role == "untuned":
        return "the model as it is"
    words = recipe_words(trial.recipe)
    return words if trial.size is None else f"{plural(trial.size, 'sample')}: {words}"


def outcome_words(result: StepResult, *, reason: bool = True) -> str:
    """Say how an attempt ended; ``reason`` False leaves out why it failed."""
    if result.state == "failed":
        return f"failed (attempt {result.attempt}){f': {result.reason}' if reason else ''}"
    cached = result.summary.get("cached")
    took = "found" if cached else short_seconds((result.finished_at or 0.0) - result.started_at)
    return f"{took:>12}  {_facts(result.summary)}".rstrip()


def progress_words(result: StepResult) -> str:
    """Say how far a running step is, in percent where the total is known."""
    if result.progress is None:
        return ""
    done, total = result.progress.get("done", 0), result.progress.get("total")
    return f"{100 * min(done / total, 1.0):.0f} %" if total else f"{done:,}"


def time_left_words(observed: Observed, evaluations: int, now: float) -> str:
    """Say how long the rest of the budget takes: the mean of the finished trials, for what is not done yet.

    Measured from outcomes, so that a search that goes on after a pause says the same. Empty until a trial has ended,
    and while every result is found in the store. The scores of the report half are not counted.
    """
    spec = observed.search.spec
    totals: list[float] = []
    begun = 0.0
    for trial in observed.trials:
        if trial.role != "search":
            continue
        names = [f"{trial.name}.{step}" for step in CHAIN[1:]]
        names.append(f"suggest-{trial.ordinal or 0:05d}.suggest")
        found = [observed.steps[name] for name in names if name in observed.steps]
        spent = sum((step.finished_at or now) - step.started_at for step in found)
        last = observed.steps.get(f"{trial.name}.evaluate")
        if last is not None and last.state == "succeeded":
            if not any(step.summary.get("cached") for step in found):
                totals.append(spent)
        else:
            begun += spent
    missing = spec.budget.evaluations - evaluations
    if not totals or missing <= 0:
        return ""
    mean = sum(totals) / len(totals)
    seconds = max(missing * mean - begun, mean / 2) / min(spec.parallelism, missing)
    return f"about {format_seconds(seconds)} left"


def short_seconds(seconds: float) -> str:
    """Return a duration, with a tenth below ten seconds."""
    return f"{max(seconds, 0.0):.1f} s" if seconds < 9.95 else format_seconds(seconds)


def _facts(summary: Mapping[str, Any]) -> str:
    parts: list[str] = []
    if "objective" in summary:
        score = summary["objective"]
        parts.append(f"score {100 * score['mean']:.1f} ± {100 * score['stderr']:.1f}")
    if "rows" in summary:
        parts.append(plural(summary["rows"], "sample"))
    if isinstance(summary.get("signals"), list):
        parts.append(plural(len(summary["signals"]) + summary.get("signals_left_out", 0), "signal"))
    if summary.get("overlap"):
        parts += [
            overlap_words(task, *counts) for task, counts in list(summary["overlap"].items())[:SHOWN_TASKS]
        ]
        more = len(summary["overlap"]) - SHOWN_TASKS + summary.get("overlap_left_out", 0)
        parts += [f"the same of {plural(more, 'more task')}"] if more > 0 else []
    if "final_loss" in summary:
        parts.append(f"loss {summary['final_loss']:.3f}, {summary['tokens_per_second']:,.0f} tokens/s")
    if "size" in summary and "subset_digest" in summary:
        parts.append(plural(summary["size"], "sample"))
    if "headline" in summary:
        parts.append(str(summary["headline"]))
    elif "chosen" in summary:
        parts.append(f"t{summary['chosen']:05d}: {summary.get('why', '')}".rstrip(": "))
    return ", ".join(parts)
