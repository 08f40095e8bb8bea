"""report: gather what the search left in the store and write the report as JSON and as a page."""

import platform
import time
from collections.abc import Mapping
from dataclasses import replace
from importlib import metadata
from typing import Any

import orjson

from autosel_runtime import __version__
from autosel_runtime.api.recipe_search import Metadata, RecipeSearch
from autosel_runtime.api.search import Recipe
from autosel_runtime.digest import digest
from autosel_runtime.evaluate import statistics
from autosel_runtime.evaluate.results import ITEMS_FILE, SCORES_FILE, item_scores, read_items
from autosel_runtime.recipe.model import StepTrace
from autosel_runtime.report.build import build_report
from autosel_runtime.report.inputs import (
    Chosen,
    ItemScores,
    ReportInputs,
    SearchProgress,
    TaskScore,
    TrialInput,
)
from autosel_runtime.report.model import Digests, Estimate, Overlap, Report, StepUse, report_json
from autosel_runtime.report.page import report_page
from autosel_runtime.steps.context import StepContext, StepOutput
from autosel_runtime.steps.data import load_mask, open_columns, open_pool
from autosel_runtime.steps.subset import TRACE_FILE, read_trace
from autosel_runtime.store.publish import find

LIBRARIES = ("numpy", "pyarrow", "scipy", "torch", "transformers", "peft", "rensa")
WHY = "highest posterior mean on the search half"


def report(context: StepContext) -> StepOutput:
    """Write report.json and report.html and return the gain over each baseline."""
    started = time.monotonic()
    result = gather(context)
    gains = {
        gain.role: {
            "mean": round(gain.difference.value, 6),
            "low": gain.difference.low,
            "high": gain.difference.high,
        }
        for gain in result.gains
    }
    return StepOutput(
        files={"report.json": report_json(result).encode(), "report.html": report_page(result).encode()},
        summary={
            "gain": gains,
            "chosen": context.input("chosen"),
            "headline": result.headline[:500],
            "seconds": round(time.monotonic() - started, 2),
        },
    )


def gather(context: StepContext) -> Report:
    """Build the report from the inputs: rows of the trials, and prefixes of final scores by trial."""
    spec = context.spec
    search = RecipeSearch(metadata=Metadata(name=context.document.search_name), spec=spec)
    rows = context.input("trials")
    finals: Mapping[str, Mapping[str, str]] = context.input("finals")
    chosen = next(
        (row for row in rows if row["ordinal"] is not None and row["ordinal"] == context.input("chosen")),
        None,
    )
    pool = open_pool(context)
    columns = open_columns(context, pool)
    mask = load_mask(context.fetch(chosen["subset"], ["mask.npy"])) if chosen else None
    inputs = ReportInputs(
        progress=progress_of(context.document.inputs.get("progress", {})),
        trials=tuple(
            replace(trial_input(_with_all_tasks(context, row), index), trace=_trace(context, row))
            for index, row in enumerate(rows)
        ),
        chosen=Chosen(trial=chosen["name"], why=context.document.inputs.get("why") or WHY)
        if chosen
        else None,
        items=_scores(context, finals, "evaluate-report"),
        out_of_domain=_scores(context, finals, "evaluate-ood"),
        transfer={
            uri: _scores(context, finals, f"evaluate-transfer-{index}")
            for index, uri in enumerate(spec.evaluation.transfer_models)
        }
        if finals
        else {},
        columns=columns,
        mask=mask,
        overlap=tuple(
            Overlap(task=task, items=items, in_pool=in_pool, in_targets=in_targets)
            for task, (items, in_pool, in_targets) in context.document.inputs.get("overlap", {}).items()
        ),
        warnings=tuple(context.document.inputs.get("warnings", ())),
        overlap_left_out=int(context.document.inputs.get("overlap_left_out", 0)),
        versions=versions(),
        digests=Digests(
            pool=pool.digest,
            signals=context.input("signals"),
            recipe=chosen["recipe_digest"] if chosen else None,
            subset=chosen["subset_digest"] if chosen else None,
            training=digest(spec.training.content()),
            evaluation=digest(spec.evaluation.content()),
        ),
    )
    return build_report(search, inputs, _Statistics())


class _Statistics:
    """The estimates of a report, from the evaluation's statistics."""

    def mean(self, items: ItemScores, weights: Mapping[str, float], confidence: float) -> Estimate:
        return _estimate(statistics.mean_interval(items, weights, confidence))

    def paired(
        self, first: ItemScores, second: ItemScores, weights: Mapping[str, float], confidence: float
    ) -> Estimate:
        return _estimate(statistics.paired_difference(first, second, weights, confidence))


def _estimate(estimate: statistics.Estimate) -> Estimate:
    return Estimate(
        value=estimate.mean, stderr=estimate.stderr, low=estimate.low, high=estimate.high, items=estimate.n
    )


def progress_of(given: Mapping[str, Any]) -> SearchProgress:
    """Return where a search stands from the shell's account of it; one that gives none has finished."""
    uses = tuple(StepUse(step=step, **use) for step, use in given.get("use", {}).items())
    return SearchProgress(
        state=given.get("state", "finished"),
        message=given.get("message", ""),
        started=given.get("started"),
        finished=given.get("finished"),
        seconds=given.get("seconds"),
        use=uses,
    )


def _with_all_tasks(context: StepContext, row: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the row with the scores of all tasks, also of those that did not fit into a summary."""
    if not row.get("tasks_left_out"):
        return row
    path = context.fetch(row["evaluation"], [SCORES_FILE]) / SCORES_FILE
    return {**row, "tasks": orjson.loads(path.read_bytes())["tasks"]}


def _trace(context: StepContext, row: Mapping[str, Any]) -> tuple[StepTrace, ...]:
    """Return what each step of a trial's recipe kept, from its subset; nothing before the subset is made."""
    if row["subset"] is None or find(context.store, row["subset"]) is None:
        return ()
    return read_trace(context.fetch(row["subset"], [TRACE_FILE]) / TRACE_FILE)


def trial_input(row: Mapping[str, Any], index: int) -> TrialInput:
    """Return a trial of the report from its row; ``index`` numbers a baseline."""
    tasks = {
        name: TaskScore(score=task["mean"], stderr=task["stderr"], items=task["n"])
        for name, task in row["tasks"].items()
    }
    return TrialInput(
        name=row["name"],
        ordinal=row["ordinal"] if row["ordinal"] is not None else index,
        role=row["role"],
        state=row["state"],
        origin=row["origin"],
        phase=row["phase"],
        parent=row["parent"],
        recipe=None if row["role"] == "untuned" else Recipe.model_validate(row["recipe"]),
        recipe_digest=row["recipe_digest"],
        subset_digest=row["subset_digest"],
        size=row["size"],
        state_vector=row["state_vector"],
        score=row["score"],
        stderr=row["stderr"],
        tasks=tasks,
        mean=row["mean"],
        deviation=row["deviation"],
        message=row["message"],
        rationale=row["rationale"],
        model=row["model"],
        model_dropped=row["model_dropped"],
        use=_uses(row["steps"]),
    )


def _uses(steps: Mapping[str, Mapping[str, Any]]) -> tuple[StepUse, ...]:
    return tuple(
        StepUse(
            step=suffix.split("-")[0],
            seconds=use["seconds"],
            accelerator_seconds=use.get("accelerator_seconds"),
            tokens=use.get("tokens"),
        )
        for suffix, use in steps.items()
        if "seconds" in use
    )


def _scores(
    context: StepContext, finals: Mapping[str, Mapping[str, str]], suffix: str
) -> dict[str, ItemScores]:
    return {
        name: item_scores(read_items(context.fetch(prefixes[suffix], [ITEMS_FILE]) / ITEMS_FILE))
        for name, prefixes in finals.items()
        if suffix in prefixes
    }


def versions() -> dict[str, str]:
    """Return the versions of autosel and of the libraries that results depend on."""
    found = {"autosel": __version__, "python": platform.python_version()}
    for name in LIBRARIES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found
