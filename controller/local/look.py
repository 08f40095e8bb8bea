"""A run folder at one moment, and as it goes on."""

import fcntl
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from controller.local.folder import read_json
from controller.local.report import load_run
from controller.reconcile.model import Observed
from controller.views.snapshot import Snapshot, State, view_of

LOOK_SECONDS = 0.5


def look(folder: Path) -> Snapshot:
    """Read a run folder as it is, without touching it."""
    observed, _ = load_run(folder)
    path = folder / "status.json"
    told = read_json(path, having=("finished", "message")) if path.exists() and not in_use(folder) else {}
    return snapshot_of(observed, told, now=time.time())


def snapshot_of(observed: Observed, told: Mapping[str, Any], *, now: float) -> Snapshot:
    """Return the run as its folder tells it. ``told`` is the state that its last run left."""
    view = view_of(observed, now)
    # The report has another key in another version of autosel; to whoever ran the search it has ended all the same.
    finished = view.state.finished or bool(told.get("finished"))
    state: State = "suspended" if observed.search.spec.suspend else "running"
    if finished or view.state.stalled:
        state = "finished" if finished else "failed"
    return Snapshot(
        name=observed.search.metadata.name,
        namespace=None,
        observed=observed,
        view=view,
        state=state,
        message=view.state.message if view.state.finished == finished else str(told["message"]),
        now=now,
        conditions=[
            {"type": entry.type, "status": entry.status, "reason": entry.reason, "message": entry.message}
            for entry in view.state.conditions
            if view.state.finished == finished
        ],
    )


def in_use(folder: Path) -> bool:
    """Say whether a run holds the folder now."""
    try:
        with (folder / "lock").open() as stream:
            fcntl.flock(stream, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


def snapshots(folder: Path) -> Iterator[Snapshot]:
    """Yield the run now and then twice a second, until its run ends or nobody carries it out any more."""
    while True:
        running = in_use(folder)
        snapshot = look(folder)
        yield snapshot
        if not running:
            return
        time.sleep(LOOK_SECONDS)
