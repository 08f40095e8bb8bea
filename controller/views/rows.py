"""Trials as rows, and a search as one line: the numbers that a person follows."""

from dataclasses import dataclass

from autosel_runtime.progress import format_seconds
from autosel_runtime.report.formats import accelerator_time, points
from autosel_runtime.report.scores import normal_estimate
from autosel_runtime.report.words import recipe_words
from controller.local.words import progress_words, time_left_words
from controller.reconcile.trials import TrialView
from controller.views.snapshot import Snapshot, running_steps, steps_of, trial_views

BASELINES = {"untuned": "untuned", "full_pool": "full pool", "random_subset": "random subset"}


@dataclass(frozen=True, kw_only=True)
class Row:
    """One trial. ``step`` is what it does now, or did last; ``note`` why it waits or failed. Scores are fractions."""

    name: str
    role: str
    state: str
    step: str
    note: str
    samples: int | None
    score: float | None
    low: float | None
    high: float | None
    best: bool
    recipe: str


@dataclass(frozen=True, kw_only=True)
class Totals:
    """The search in numbers. ``rate`` is evaluations an hour; ``left`` says how long the rest takes."""

    evaluations: int
    limit: int
    running: int
    waiting: int
    failed: int
    best: str | None
    best_score: float | None
    accelerator_seconds: float
    rate: float | None
    left: str


def rows(snapshot: Snapshot) -> list[Row]:
    """Return all trials: the search's in order, then the baselines."""
    return [_row(snapshot, view) for view in trial_views(snapshot)]


def totals(snapshot: Snapshot) -> Totals:
    """Return the numbers of the search."""
    state, spec = snapshot.view.state, snapshot.observed.search.spec
    waiting = {name.partition(".")[0] for name in snapshot.waits}
    running = {name.partition(".")[0] for name in running_steps(snapshot)}
    left = "" if snapshot.ended else time_left_words(snapshot.observed, state.evaluations, snapshot.now)
    return Totals(
        evaluations=state.evaluations,
        limit=spec.budget.evaluations,
        running=len(running - waiting),
        waiting=len(waiting),
        failed=state.failed + state.invalid,
        best=state.best,
        best_score=state.best_score,
        accelerator_seconds=state.accelerator_seconds,
        rate=_rate(snapshot),
        left=left,
    )


def totals_words(found: Totals) -> str:
    """Return the numbers as one line: ``3/12 evaluations, best 45.1 (t00002), 1 runs, 0.5 accelerator hours``."""
    parts = [f"{found.evaluations}/{found.limit} evaluations"]
    if found.best is not None:
        parts.append(f"best {points(found.best_score)} ({found.best})")
    parts += [f"{number} {word}" for number, word in ((found.running, "running"), (found.waiting, "waiting"))
              if number]  # fmt: skip
    if found.failed:
        parts.append(f"{found.failed} failed")
    if found.rate is not None:
        parts.append(
            f"{found.rate:,.0f} evaluations/h" if found.rate >= 10 else f"{found.rate:.2g} evaluations/h"
        )
    parts += [found.left] if found.left else []
    if found.accelerator_seconds:
        parts.append(f"{accelerator_time(found.accelerator_seconds)} of accelerators")
    return ", ".join(parts)


def _row(snapshot: Snapshot, view: TrialView) -> Row:
    trial = view.trial
    step, note = _step(snapshot, view)
    confidence = snapshot.observed.search.spec.evaluation.confidence
    estimate = None if view.score is None else normal_estimate(view.score, view.stderr, confidence)
    words = "The model as it is." if trial.role == "untuned" else recipe_words(trial.recipe)
    return Row(
        name=trial.name,
        role=trial.role,
        state=view.phase,
        step=step,
        note=note or (view.message if view.phase in ("failed", "invalid", "reused") else ""),
        samples=view.size or trial.size,
        score=view.score,
        low=estimate.low if estimate else None,
        high=estimate.high if estimate else None,
        best=trial.name == snapshot.view.state.best,
        recipe=words,
    )


def _step(snapshot: Snapshot, view: TrialView) -> tuple[str, str]:
    """Return the step that a trial is at, and why it waits."""
    steps = steps_of(snapshot, view.trial.name)
    for name, step in steps.items():
        if step.state == "running":
            why = snapshot.waits.get(f"{view.trial.name}.{name}")
            if why is not None:
                return name, f"waits: {why.reason}: {why.message}"
            spent = format_seconds(max(0.0, snapshot.now - step.started_at))
            return name, " ".join(part for part in (progress_words(step), spent) if part)
    last = next(reversed(steps), "")
    if view.wait is not None and last:
        return last, f"failed, tried again in {format_seconds(view.wait)}: {steps[last].reason}"
    return last, ""


def _rate(snapshot: Snapshot) -> float | None:
    """Return the evaluations an hour from the first trial's start to the last score; None before there are two."""
    steps = snapshot.observed.steps
    names = [trial.name for trial in snapshot.observed.trials if trial.role == "search"]
    ends = [
        step.finished_at
        for name in names
        if (step := steps.get(f"{name}.evaluate")) is not None and step.finished_at is not None
    ]
    starts = [step.started_at for name, step in steps.items() if name.partition(".")[0] in names]
    seconds = max(ends, default=0.0) - min(starts, default=0.0)
    return None if len(ends) < 2 or seconds <= 0 else 3600 * len(ends) / seconds
