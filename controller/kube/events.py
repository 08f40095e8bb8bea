"""Events: what people see in ``kubectl describe``. They are made of transitions between two statuses, never of states,
so that the same state seen again says nothing."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from autosel_runtime.progress import plural
from controller.kube.conditions import status_of
from controller.kube.names import MAX_NAME
from controller.kube.records import timestamp

MAX_NOTE = 1000
COMPONENT = "autosel"

Status = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Event:
    """Something that happened, in one word and one sentence."""

    type: Literal["Normal", "Warning"]
    reason: str
    message: str


def search_events(previous: Status | None, status: Status) -> list[Event]:
    """Return what changed in a search between two of its statuses; None is a search seen for the first time."""
    before = previous or {}
    events: list[Event] = []
    if previous is None:
        events.append(_normal("Accepted", f"search of {plural(status['progress']['max'], 'evaluation')}"))
    best, old = status.get("best"), before.get("best")
    if best and (old is None or best["trial"] != old["trial"]):
        events.append(_normal("NewBest", f"{best['trial']} scored {100 * best['score']:.2f} %"))
    if _spent(status) and not _spent(before):
        events.append(_normal("BudgetExhausted", f"{status['summary']['evaluations']} evaluations"))
    told = before.get("warnings") or ()
    events += [
        Event(type="Warning", reason="SuggestionWarning", message=text[:MAX_NOTE])
        for text in status.get("warnings") or ()
        if text not in told
    ]
    flips: tuple[tuple[str, str, str, Literal["Normal", "Warning"]], ...] = (
        ("Suspended", "True", "Suspended", "Normal"),
        ("Suspended", "False", "Resumed", "Normal"),
        ("Succeeded", "True", "Finished", "Normal"),
        ("Stalled", "True", "Stalled", "Warning"),
    )
    for kind, value, reason, level in flips:
        was = status_of(before, kind)
        if status_of(status, kind) == value != was and (was is not None or value == "True"):
            events.append(Event(type=level, reason=reason, message=_message(status, kind)))
    return events


def trial_events(previous: Status | None, status: Status) -> list[Event]:
    """Return what changed in a trial between two of its statuses: how it stands, and steps that wait or failed."""
    before = previous or {}
    events: list[Event] = []
    state, was = status["state"], before.get("state", "Pending")
    if state != was:
        if was == "Pending" and state != "Reused":
            events.append(_normal("TrialStarted", "its first step has begun"))
        message = str(status.get("message") or state)
        if state in ("Succeeded", "Reused"):
            events.append(_normal(f"Trial{state}", message))
        elif state in ("Failed", "Invalid"):
            events.append(Event(type="Warning", reason=f"Trial{state}", message=message[:MAX_NOTE]))
    return [*events, *step_events(previous, status)]


def step_events(previous: Status | None, status: Status) -> list[Event]:
    """Return the steps that began to wait for another reason or failed since the previous status."""
    known = {
        (record["name"], record["attempt"], record["state"], record.get("reason"))
        for record in (previous or {}).get("steps") or []
    }
    events: list[Event] = []
    for record in status.get("steps") or []:
        key = (record["name"], record["attempt"], record["state"], record.get("reason"))
        if key in known or record["state"] not in ("Waiting", "Failed"):
            continue
        verb = "waits" if record["state"] == "Waiting" else "failed"
        text = f"{record['name']} (attempt {record['attempt']}) {verb}: {record.get('message', '')}"
        level = "Normal" if record.get("reason") in ("Queued", "ContainerCreating", "NoPod") else "Warning"
        events.append(Event(type=level, reason=f"Step{record['state']}", message=text[:MAX_NOTE]))
    return events


def event_manifest(event: Event, regarding: Mapping[str, Any], *, now: datetime) -> dict[str, Any]:
    """Return the Event object about ``regarding``, an object as the API server gave it.

    Its name follows from what happened to which version of the object's status, so a repeated write makes no second.
    """
    metadata = regarding["metadata"]
    seen = "\n".join((metadata["uid"], metadata.get("resourceVersion", ""), event.reason, event.message))
    name = f"{metadata['name'][: MAX_NAME - 17]}.{hashlib.sha256(seen.encode()).hexdigest()[:16]}"
    time = timestamp(now.timestamp())
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"name": name, "namespace": metadata["namespace"]},
        "involvedObject": {
            "apiVersion": regarding["apiVersion"],
            "kind": regarding["kind"],
            "name": metadata["name"],
            "namespace": metadata["namespace"],
            "uid": metadata["uid"],
        },
        "type": event.type,
        "reason": event.reason,
        "message": event.message[:MAX_NOTE],
        "source": {"component": COMPONENT},
        "reportingComponent": COMPONENT,
        "firstTimestamp": time,
        "lastTimestamp": time,
        "count": 1,
    }


def _normal(reason: str, message: str) -> Event:
    return Event(type="Normal", reason=reason, message=message[:MAX_NOTE])


def _spent(status: Status) -> bool:
    progress = status.get("progress")
    return bool(progress) and progress["evaluations"] >= progress["max"]


def _message(status: Status, kind: str) -> str:
    found = next((entry for entry in status["conditions"] if entry["type"] == kind), {})
    return str(found.get("message") or found.get("reason") or kind)[:MAX_NOTE]
