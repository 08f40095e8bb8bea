"""Run a search on this machine: look, reconcile, act, until it is finished, stalled or stopped."""

import time
import uuid
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from autosel_runtime.api.load import load_search

from autosel_runtime.api.recipe_search import MUTABLE_FIELDS, RecipeSearch
from autosel_runtime.errors import AutoselError, ConfigError
from controller.local import attempts
from controller.local.devices import visible_devices
from controller.local.folder import exclusive, load_trials, read_json, save_trial, write_json
from controller.local.steps import LocalSteps
from controller.reconcile import Observed, Plan, reconcile
from controller.reconcile.model import SearchState

# How often running steps are looked at, and how often the plan is made anew though nothing changed.
TICK_SECONDS = 0.1
LOOK_SECONDS = 1.0

Listener = Callable[[Observed, Plan], None]


@dataclass(frozen=True, kw_only=True)
class RunOutcome:
    """How a run ended: the last state and the folder."""

    state: SearchState
    folder: Path


def run(document: Path, folder: Path, *, listen: Listener, warn: Callable[[str], None]) -> RunOutcome:
    """Run the search of ``document`` in ``folder`` to its end; a folder that holds it already goes on.

    The document is read again whenever it changes: suspend, budget, parallelism and the failure policy are obeyed at
    once; a change of anything else is reported and ignored. Raises what a user can mend as AutoselError. On
    KeyboardInterrupt the running steps are ended and the next run goes on from the last finished one.
    """
    search = load_search(document)
    with exclusive(folder):
        identity = _identity(folder, search, document.resolve().parent)
        attempts.start_server()
        steps = LocalSteps(
            folder=folder, base=document.resolve().parent, uid=identity["uid"], devices=visible_devices()
        )
        for name in steps.adopt():
            warn(f"trying {name} again, which failed in an earlier run")
        try:
            state = _loop(document, search, identity, folder, steps, listen, warn)
        except BaseException:
            for name, result in steps.results().items():
                if result.state == "running":
                    steps.stop(name)
            raise
        return RunOutcome(state=state, folder=folder)


def _loop(
    document: Path,
    search: RecipeSearch,
    identity: dict[str, Any],
    folder: Path,
    steps: LocalSteps,
    listen: Listener,
    warn: Callable[[str], None],
) -> SearchState:
    seen = document.stat().st_mtime_ns
    last: SearchState | None = None
    trials = load_trials(folder)
    looked: tuple[object, ...] = ()
    looked_at = 0.0
    while True:
        before, (search, seen) = search, _reread(document, search, seen, warn)
        if search is not before:
            _remember(folder, identity, search)
        steps.stop_overdue(search.spec.failure_policy.step_deadline_seconds)
        results = steps.results()
        look: tuple[object, ...] = (seen, *((n, r.attempt, r.state) for n, r in sorted(results.items())))
        if look == looked and time.monotonic() - looked_at < LOOK_SECONDS:
            time.sleep(TICK_SECONDS)
            continue
        looked, looked_at = look, time.monotonic()
        observed = Observed(
            search=search,
            uid=identity["uid"],
            started_at=identity["started_at"],
            trials=trials,
            steps=results,
        )
        plan = reconcile(observed, time.time())
        for trial in plan.create:
            save_trial(folder, trial)
        trials = (*trials, *plan.create)
        for request in plan.start:
            steps.start(request, search)
        for name in plan.stop:
            steps.stop(name)
        if plan.state != last:
            write_json(folder / "status.json", asdict(plan.state))
            last = plan.state
        listen(observed, plan)
        acted = bool(plan.create or plan.start or plan.stop)
        idle = not any(result.state == "running" for result in results.values())
        if plan.state.finished or (plan.state.stalled and idle and not acted and plan.requeue_after is None):
            return plan.state
        if acted:
            looked = ()
        time.sleep(TICK_SECONDS)


def _identity(folder: Path, search: RecipeSearch, base: Path) -> dict[str, Any]:
    """Return the folder's search identity, made at its first run; refuse a folder that holds another search."""
    path = folder / "search.json"
    spec = search.spec.model_dump(mode="json")
    if path.exists():
        identity = read_json(path)
        changed = changed_fields(identity["spec"], spec)
        if changed:
            raise ConfigError(
                f"{folder} holds another search: spec.{changed[0]} differs; give --out another folder, "
                "or restore the document"
            )
        _remember(folder, identity, search)
        return identity
    identity = {
        "uid": uuid.uuid4().hex,
        "started_at": time.time(),
        "name": search.metadata.name,
        "base": str(base),
        "spec": spec,
    }
    write_json(path, identity)
    return identity


def _remember(folder: Path, identity: dict[str, Any], search: RecipeSearch) -> None:
    """Keep the specification in force, for reports and for the next run."""
    identity["spec"] = search.spec.model_dump(mode="json")
    write_json(folder / "search.json", identity)


def changed_fields(old: dict[str, Any], new: dict[str, Any]) -> list[str]:
    """Return the immutable fields of the specification that differ."""
    return sorted(name for name in {*old, *new} - MUTABLE_FIELDS if old.get(name) != new.get(name))


def _reread(
    document: Path, search: RecipeSearch, seen: int, warn: Callable[[str], None]
) -> tuple[RecipeSearch, int]:
    try:
        changed = document.stat().st_mtime_ns
    except FileNotFoundError:
        return search, seen
    if changed == seen:
        return search, seen
    try:
        new = load_search(document)
    except AutoselError as error:
        warn(f"{document} is not valid and was not taken over: {error}")
        return search, changed
    fixed = changed_fields(search.spec.model_dump(mode="json"), new.spec.model_dump(mode="json"))
    if fixed:
        warn(f"spec.{fixed[0]} cannot be changed in a running search; the change of {document} was ignored")
        return search, changed
    return new, changed
