"""Which outcome is final and when a step is tried again."""

from typing import Literal

from autosel_runtime.api.search import FailurePolicy
from controller.reconcile.model import StepResult

# sysexits codes that mean "the same input fails again"; 75 means "try again".
PERMANENT = frozenset({*range(64, 75), 76, 77, 78})
# What a trial that cannot be made or trained from its data ends with; the recipe is at fault, not the system.
INVALID_INPUT = 65

# Ends that say nothing of the recipe: wrong usage, a missing input, service or permission, a full or damaged store, a
# store that stays down. The next trial would end the same way, so the search stops until a person has mended it.
ENVIRONMENT = frozenset({64, 66, 69, 72, 73, 74, 75, 77, 78})

FIRST_BACKOFF_SECONDS = 2.0
LONGEST_BACKOFF_SECONDS = 300.0

Verdict = Literal["absent", "running", "succeeded", "waiting", "retry", "failed"]


def verdict(result: StepResult | None, policy: FailurePolicy, now: float) -> Verdict:
    """Say what a step's newest attempt asks for: nothing yet, waiting, a new attempt, or the end."""
    if result is None:
        return "absent"
    if result.state != "failed":
        return "running" if result.state == "running" else "succeeded"
    if is_final(result, policy):
        return "failed"
    return "retry" if now >= _not_before(result) else "waiting"


def is_final(result: StepResult, policy: FailurePolicy) -> bool:
    """Say whether a failed step is not tried again."""
    return result.exit_code in PERMANENT or result.attempt > policy.retries


def wait_seconds(result: StepResult, now: float) -> float:
    """Return how long to wait before the next attempt of a failed step."""
    return max(0.0, _not_before(result) - now)


def _not_before(result: StepResult) -> float:
    pause = min(LONGEST_BACKOFF_SECONDS, FIRST_BACKOFF_SECONDS * 2.0 ** (result.attempt - 1))
    return (result.finished_at or 0.0) + pause
