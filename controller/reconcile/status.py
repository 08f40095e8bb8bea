"""The state of a search in a few numbers and conditions; its size does not depend on the number of trials."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from controller.reconcile.budget import Usage
from controller.reconcile.model import Cause, Condition, Observed, SearchState
from controller.reconcile.trials import TrialView
from controller.reconcile.warnings import warnings_of


@dataclass(frozen=True, kw_only=True)
class Outlook:
    """Where the search stands: its stage in words, why no more trials are proposed, what failed for good and in which
    step, the chosen trial and the report's summary."""

    stage: str
    stop_reason: str | None = None
    failed: str | None = None
    cause: Cause | None = None
    chosen: int | None = None
    report: Mapping[str, Any] | None = None


def stopped(stage: str, sentence: str | None, step: str | None, *, alone: bool = True) -> Outlook:
    """Return the outlook of a search at ``stage`` whose ``step`` has failed with ``sentence``; None: none has."""
    cause = None if sentence is None or step is None else Cause(step=step, alone=alone)
    return Outlook(stage=stage, failed=sentence, cause=cause)


def search_state(
    observed: Observed,
    views: Sequence[TrialView],
    baselines: Sequence[TrialView],
    used: Usage,
    outlook: Outlook,
) -> SearchState:
    """Return the state that becomes the status."""
    scored = [view for view in views if view.phase == "succeeded" and view.score is not None]
    chosen = next((view for view in scored if view.trial.ordinal == outlook.chosen), None)
    best = chosen or max(
        scored, key=lambda view: (view.score or 0.0, -(view.trial.ordinal or 0)), default=None
    )
    running = sum(step.state == "running" for step in observed.steps.values())
    finished = outlook.report is not None
    return SearchState(
        conditions=_conditions(observed, outlook, finished=finished, running=running),
        evaluations=used.evaluations,
        running=sum(view.phase == "running" for view in [*views, *baselines]),
        failed=used.failed,
        invalid=used.invalid,
        reused=used.reused,
        best=best.trial.name if best else None,
        best_score=best.score if best else None,
        best_stderr=best.stderr if best else None,
        gain=(outlook.report or {}).get("gain"),
        accelerator_seconds=round(used.accelerator_seconds, 1),
        finished=finished,
        stalled=outlook.failed is not None,
        message=_message(observed, outlook, finished=finished),
        cause=outlook.cause,
        warnings=warnings_of(observed),
    )


def _conditions(
    observed: Observed, outlook: Outlook, *, finished: bool, running: int
) -> tuple[Condition, ...]:
    """Conditions as kstatus reads them: Reconciling while work goes on, Stalled when it cannot."""
    spec = observed.search.spec
    failed = outlook.failed is not None
    working = not finished and not failed
    ready = finished or (working and spec.readiness == "Accepted" and not spec.suspend)
    reason = "Finished" if finished else "Failed" if failed else "Suspended" if spec.suspend else "Searching"
    message = _message(observed, outlook, finished=finished)
    suspended = "Suspended" if running == 0 else "Draining"

    def flag(on: bool) -> Any:
        return "True" if on else "False"

    return (
        Condition(type="Ready", status=flag(ready), reason=reason, message=message),
        # Whoever asked for "Accepted" must not wait for days: to kstatus Reconciling outweighs Ready.
        Condition(type="Reconciling", status=flag(working and not ready), reason=reason, message=message),
        Condition(
            type="Stalled",
            status=flag(failed),
            reason="Failed" if failed else "Progressing",
            message=outlook.failed or "",
        ),
        Condition(
            type="Succeeded",
            status="True" if finished else "False" if failed else "Unknown",
            reason=reason,
            message=message,
        ),
        Condition(
            type="Suspended", status=flag(spec.suspend), reason=suspended if spec.suspend else "Active"
        ),
    )


def _message(observed: Observed, outlook: Outlook, *, finished: bool) -> str:
    if outlook.failed is not None:
        return outlook.failed
    if finished:
        return f"finished: {outlook.stop_reason}"
    if observed.search.spec.suspend:
        return "suspended"
    return outlook.stage
