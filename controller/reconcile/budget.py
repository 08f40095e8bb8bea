"""The budget is computed from the trials, never counted up, so a repeated or lost write cannot change it."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from autosel_runtime.api.recipe_search import RecipeSearchSpec
from autosel_runtime.progress import plural
from controller.reconcile.model import StepResult
from controller.reconcile.trials import TrialView


@dataclass(frozen=True, kw_only=True)
class Usage:
    """``evaluations`` distinct subsets scored; ``active`` trials on their way; the rest never costs budget."""

    evaluations: int
    active: int
    failed: int
    invalid: int
    reused: int
    consecutive_failures: int
    accelerator_seconds: float


def usage(views: Sequence[TrialView], steps: Mapping[str, StepResult]) -> Usage:
    """Compute what the search has used from its trials (in order) and step outcomes."""
    consecutive = 0
    for view in views:
        if view.phase in ("failed", "invalid"):
            consecutive += 1
        elif view.phase in ("succeeded", "reused"):
            consecutive = 0
    return Usage(
        evaluations=_count(views, "succeeded"),
        active=sum(not view.terminal for view in views),
        failed=_count(views, "failed"),
        invalid=_count(views, "invalid"),
        reused=_count(views, "reused"),
        consecutive_failures=consecutive,
        accelerator_seconds=accelerator_seconds(steps.values()),
    )


def accelerator_seconds(results: Iterable[StepResult]) -> float:
    """Return the device-seconds that finished steps say they used; a cached result used none."""
    return sum(
        float(result.summary.get("accelerator_seconds", 0.0))
        for result in results
        if result.state == "succeeded" and not result.summary.get("cached", False)
    )


def exhausted(spec: RecipeSearchSpec, used: Usage, *, seconds: float) -> str | None:
    """Say why no further trial may be proposed, or None while one may. Trials on their way are reserved."""
    budget = spec.budget
    if used.evaluations + used.active >= budget.evaluations:
        return f"budget of {plural(budget.evaluations, 'evaluation')}"
    if budget.accelerator_seconds is not None and used.accelerator_seconds >= budget.accelerator_seconds:
        return f"budget of {plural(budget.accelerator_seconds, 'accelerator-second')}"
    if budget.deadline_seconds is not None and seconds >= budget.deadline_seconds:
        return f"deadline of {plural(budget.deadline_seconds, 'second')}"
    return None


def too_many_failures(spec: RecipeSearchSpec, used: Usage) -> str | None:
    """Say which failure limit is reached, or None."""
    policy, total = spec.failure_policy, used.failed + used.invalid
    if used.consecutive_failures >= policy.max_consecutive_failures:
        return f"{used.consecutive_failures} trials in a row failed"
    if total >= policy.max_failed_trials:
        return f"{total} trials failed"
    return None


def _count(views: Sequence[TrialView], phase: str) -> int:
    return sum(view.phase == phase for view in views)
