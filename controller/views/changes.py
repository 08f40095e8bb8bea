"""What is new between two snapshots: one line and one JSON object for each thing that happened."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any, Literal

from autosel_runtime.report.formats import plural, points
from controller.views.rows import Row, rows, totals, totals_words
from controller.views.snapshot import Snapshot

# Why every step waits for a moment; not worth a line.
BRIEF = ("NoPod", "Pending", "ContainerCreating", "PodInitializing")


@dataclass(frozen=True, kw_only=True)
class Change:
    """Something that happened, for people (``text``) and for programs (``data``)."""

    type: Literal["search", "trial"]
    text: str
    data: dict[str, Any]


def changes(old: Snapshot | None, new: Snapshot) -> Iterator[Change]:
    """Yield what is new. Seen for the first time, everything is; the same snapshot again yields nothing."""
    before = {} if old is None else {row.name: row for row in rows(old)}
    for row in rows(new):
        seen = before.get(row.name)
        if seen is None or _key(seen) != _key(row):
            yield Change(type="trial", text=trial_words(row), data=_data(row))
    if old is None or _search_key(old) != _search_key(new):
        yield Change(type="search", text=search_words(new), data=search_data(new))


def search_words(snapshot: Snapshot) -> str:
    """Return the search as one line."""
    return f"{snapshot.full_name} {state_words(snapshot)}; {totals_words(totals(snapshot))}"


def state_words(snapshot: Snapshot) -> str:
    """Return the state and what happens in it, without saying the same twice."""
    message = _stage(snapshot)
    return (
        message if message.startswith(snapshot.state) else f"{snapshot.state}: {message}".removesuffix(": ")
    )


def search_data(snapshot: Snapshot) -> dict[str, Any]:
    """Return the search as data."""
    return {
        "name": snapshot.name,
        "namespace": snapshot.namespace,
        "state": snapshot.state,
        "message": snapshot.message,
        **asdict(totals(snapshot)),
    }


def trial_words(row: Row) -> str:
    """Return a trial as one line."""
    parts = [f"{row.name:<18} {row.state}"]
    if row.score is not None:
        ends = "" if row.low is None or row.high is None else f" [{points(row.low)}, {points(row.high)}]"
        parts.append(f"score {points(row.score)}{ends}{', best so far' if row.best else ''}")
    elif row.step and row.state == "running":
        told = row.note.startswith(("waits", "failed")) and not _passes(row.note)
        parts.append(row.step + (f" {row.note}" if told else ""))
    elif row.note:
        parts.append(row.note)
    if row.samples is not None:
        parts.append(plural(row.samples, "sample"))
    return ", ".join(parts)


def stamped(change: Change, now: float) -> dict[str, Any]:
    """Return a change as the JSON object that ``autosel watch --json`` prints."""
    time = datetime.fromtimestamp(now, UTC).isoformat(timespec="seconds")
    return {"time": time, "type": change.type, **change.data}


def _data(row: Row) -> dict[str, Any]:
    return asdict(row)


def _key(row: Row) -> tuple[Any, ...]:
    """Return what makes a trial's line worth saying again; how long a step runs does not."""
    note = row.note if row.note.startswith("waits") and not _passes(row.note) else ""
    return row.state, row.step, note, row.score, row.samples, row.best


def _search_key(snapshot: Snapshot) -> tuple[Any, ...]:
    found = totals(snapshot)
    return snapshot.state, _stage(snapshot), found.evaluations, found.limit, found.best, found.failed


def _passes(note: str) -> bool:
    """Whether a step waits as every step does for a moment before it runs."""
    return note.startswith(tuple(f"waits: {reason}:" for reason in BRIEF))


def _stage(snapshot: Snapshot) -> str:
    """Return what happens now, without the steps that wait: the lines of their trials tell that."""
    return snapshot.message.partition("; ")[0] if snapshot.state == "running" else snapshot.message
