"""Conditions as Kubernetes tools read them: a time that moves only when the status flips, a generation on each."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from controller.kube.records import reason_word, timestamp
from controller.reconcile.model import Condition

MAX_MESSAGE = 1024


def conditions_of(
    conditions: Sequence[Condition], previous: Sequence[Mapping[str, Any]], *, generation: int, now: datetime
) -> list[dict[str, Any]]:
    """Return the conditions with times and generation; conditions of others in ``previous`` stay as they are."""
    before = {str(entry["type"]): entry for entry in previous}
    ours = [_condition(condition, before.get(condition.type), generation, now) for condition in conditions]
    names = {entry["type"] for entry in ours}
    return [*ours, *(dict(entry) for kind, entry in before.items() if kind not in names)]


def status_of(status: Mapping[str, Any] | None, kind: str) -> str | None:
    """Return the status of a condition, None when there is none."""
    found = (status or {}).get("conditions") or []
    return next((str(entry.get("status")) for entry in found if entry.get("type") == kind), None)


def _condition(
    condition: Condition, old: Mapping[str, Any] | None, generation: int, now: datetime
) -> dict[str, Any]:
    same = old is not None and old.get("status") == condition.status
    return {
        "type": condition.type,
        "status": condition.status,
        "observedGeneration": generation,
        "lastTransitionTime": old["lastTransitionTime"] if same and old else timestamp(now.timestamp()),
        "reason": reason_word(condition.reason),
        "message": condition.message[:MAX_MESSAGE],
    }
