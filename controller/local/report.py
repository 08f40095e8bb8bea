"""Reports of a run folder: the finished one brought to its top level, or one of how things stand now."""

import time
from collections import Counter
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from autosel_runtime.api.recipe_search import Metadata, RecipeSearch
from autosel_runtime.errors import NoInputError
from autosel_runtime.report.model import Report
from autosel_runtime.steps.context import StepContext, open_context
from autosel_runtime.steps.document import StepDocument
from autosel_runtime.steps.report import gather
from autosel_runtime.store.publish import find
from controller.local.devices import Devices
from controller.local.folder import load_trials, read_identity, scratch, write_bytes
from controller.local.steps import LocalSteps
from controller.reconcile.finish import overlap_of, trial_row
from controller.reconcile.model import Observed, StepResult
from controller.reconcile.search import overview

NAMES = ("report.html", "report.json")


def load_run(folder: Path) -> tuple[Observed, StepContext]:
    """Read a run folder as it is, without touching it; also give access to its store."""
    identity, spec = read_identity(folder)
    search = RecipeSearch(metadata=Metadata(name=identity["name"]), spec=spec)
    base = Path(identity["base"])
    steps = LocalSteps(folder=folder, base=base, uid=identity["uid"], devices=Devices(ids=()))
    steps.look()
    observed = Observed(
        search=search,
        uid=identity["uid"],
        started_at=identity["started_at"],
        trials=load_trials(folder),
        steps=steps.results(),
    )
    document = StepDocument(
        step="report",
        name="report.now",
        uid=identity["uid"],
        search_name=identity["name"],
        search=spec,
        base=str(base),
        default_store=str(folder / "store"),
        work=str(scratch(folder)),
        output="reports/now",
    )
    return observed, open_context(document)


def report_of(folder: Path) -> Report:
    """Build the report of a run folder as far as the search has come."""
    observed, context = load_run(folder)
    view = overview(observed, time.time())
    if view.prepared is None:
        raise NoInputError(f"{folder} has no pool and no signals yet: {view.state.message}")
    inputs: dict[str, Any] = {
        "pool": view.prepared.pool,
        "signals": view.prepared.signals,
        "chosen": view.chosen,
        "trials": [trial_row(one, observed.steps) for one in [*view.baselines, *view.trials]],
        "finals": {
            name: {suffix: prefix for suffix, prefix in prefixes.items() if find(context.store, prefix)}
            for name, prefixes in view.finals.items()
        },
        **overlap_of(view.prepared),
        "warnings": view.state.warnings,
        "progress": progress(observed, view.state.finished, view.state.stalled, view.state.message),
    }
    document = context.document.model_copy(update={"inputs": inputs})
    return gather(StepContext(document=document, store=context.store, work=context.work))


def write_report(folder: Path, report: Report) -> None:
    """Write report.html and report.json to the run folder. OutputError when that is impossible."""
    from autosel_runtime.report.model import report_json
    from autosel_runtime.report.page import report_page

    texts: Mapping[str, str] = {"report.html": report_page(report), "report.json": report_json(report)}
    for name, text in texts.items():
        write_bytes(folder / name, text.encode())


def progress(observed: Observed, finished: bool, stalled: bool, message: str) -> dict[str, Any]:
    """Return how far the search is, in time and use, as the report's inputs have it."""
    ends = [step.finished_at for step in observed.steps.values() if step.finished_at]
    end = max(ends, default=observed.started_at)
    suspended = observed.search.spec.suspend
    state = "finished" if finished else "failed" if stalled else "suspended" if suspended else "running"
    return {
        "state": state,
        "message": message,
        "started": _iso(observed.started_at),
        "finished": _iso(end) if finished else None,
        "seconds": round(end - observed.started_at, 1),
        "use": _search_use(observed),
    }


def _search_use(observed: Observed) -> dict[str, dict[str, Any]]:
    """Sum what the steps that belong to no trial used, by kind."""
    seconds: dict[str, float] = {}
    runs: Counter[str] = Counter()
    trials = {trial.name for trial in observed.trials}
    for name, result in observed.steps.items():
        owner, kind = name.split(".", 1)
        if owner not in trials and result.state == "succeeded":
            seconds[kind] = seconds.get(kind, 0.0) + _seconds(result)
            runs[kind] += 1
    return {kind: {"runs": runs[kind], "seconds": round(seconds[kind], 2)} for kind in seconds}


def _seconds(result: StepResult) -> float:
    return float(result.summary.get("seconds", 0.0)) if not result.summary.get("cached") else 0.0


def _iso(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")
