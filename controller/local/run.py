"""Run a search on this machine: look, reconcile, act, until it is finished, stalled or stopped."""

import os
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from autosel_runtime.api.load import load_search
from autosel_runtime.api.recipe_search import RecipeSearch
from autosel_runtime.api.uris import is_s3
from autosel_runtime.errors import AutoselError, ConfigError
from autosel_runtime.steps.validity import search_problems
from autosel_runtime.store.open import open_store
from autosel_runtime.store.port import Store
from controller.local import attempts
from controller.local.changes import immutable_changes
from controller.local.devices import check_devices
from controller.local.folder import (
    IDENTITY_FILE,
    exclusive,
    load_trials,
    read_identity,
    save_trial,
    write_json,
)
from controller.local.steps import LocalSteps
from controller.local.stopping import StopRequest, stop_request
from controller.local.visible import this_machine, visible_devices
from controller.reconcile import Observed, Plan, StepResult, reconcile
from controller.reconcile.model import SearchState

# How long the loop sleeps at most, and how often the plan is made anew though nothing changed. The end of a step and a
# signal wake it at once.
TICK_SECONDS = 0.5
LOOK_SECONDS = 1.0
FAILED = 70
SHOWN_LOST = 3

Listener = Callable[[Observed, Plan], None]


@dataclass(frozen=True, kw_only=True)
class RunOutcome:
    """How a run ended: the last state, the folder, and the exit code: 0, or that of the step that stopped it.

    ``log`` is that step's log, None when it is not one step that stopped the search.
    """

    state: SearchState
    folder: Path
    exit_code: int
    log: Path | None = None


def run(document: Path, folder: Path, *, listen: Listener, warn: Callable[[str], None]) -> RunOutcome:
    """Run the search of ``document`` in ``folder`` to its end; a folder that holds it already goes on.

    The document is read again whenever it changes: suspend, budget, parallelism and the failure policy are obeyed at
    once; a change of anything else is reported and ignored. Raises what a user can mend as AutoselError. SIGINT and
    SIGTERM end the running steps and raise KeyboardInterrupt with the exit code; the next run goes on from the last
    finished step.
    """
    seen = _modified(document)
    base = document.resolve().parent
    search = load_search(document, also=search_problems)
    with exclusive(folder), stop_request() as stop:
        devices = visible_devices(this_machine())
        check_devices(search.spec, devices)
        identity = identity_of(folder, search, base)
        loop = _Loop(
            document=document,
            folder=folder,
            identity=identity,
            steps=LocalSteps(folder=folder, base=base, uid=identity["uid"], devices=devices),
            search=search,
            seen=seen,
            listen=listen,
            warn=warn,
            stop=stop,
        )
        try:
            loop.take_up()
            state = loop.go()
        except BaseException:
            loop.steps.stop_all()
            raise
        finally:
            attempts.end_server()
        return _outcome(folder, state, loop.steps.results())


@dataclass(kw_only=True)
class _Loop:
    """One run: what stays the same, the document as it was last accepted, and the trials."""

    document: Path
    folder: Path
    identity: dict[str, Any]
    steps: LocalSteps
    search: RecipeSearch
    seen: int
    listen: Listener
    warn: Callable[[str], None]
    stop: StopRequest
    warned: set[str] = field(default_factory=set[str])

    def take_up(self) -> None:
        """Find out what an earlier run left. Failures that ended it are tried again: that is why it was started.

        What the store has lost since is made again: it is what such a run failed for.
        """
        self.trials = load_trials(self.folder)
        self.steps.adopt()
        if reconcile(self._observed(self.steps.results()), time.time()).state.stalled:
            for name in self.steps.forget_failures():
                self.warn(f"{name} failed in an earlier run and is tried again")
            lost = self.steps.forget_lost(self._store())
            if lost:
                shown = ", ".join(lost[:SHOWN_LOST]) + (" ..." if len(lost) > SHOWN_LOST else "")
                self.warn(
                    f"{len(lost)} results are no longer in the store and are made again: those of {shown}"
                    if len(lost) > 1
                    else f"the result of {shown} is no longer in the store and is made again"
                )

    def go(self) -> SearchState:
        """Look, reconcile and act until there is nothing left to do; return the last state."""
        looked: tuple[object, ...] = ()
        looked_at = 0.0
        written: SearchState | None = None
        while True:
            self.stop.check()
            self._reread()
            self.steps.stop_overdue(self.search.spec.failure_policy.step_deadline_seconds)
            results = self.steps.results()
            look = (
                self.seen,
                self.steps.warm,
                *((name, r.attempt, r.state) for name, r in sorted(results.items())),
            )
            if look == looked and time.monotonic() - looked_at < LOOK_SECONDS:
                self.steps.wait(TICK_SECONDS, also=self.stop.descriptor)
                continue
            looked, looked_at = look, time.monotonic()
            observed = self._observed(results)
            plan = reconcile(observed, time.time())
            acted = self._act(plan)
            if plan.state != written:
                write_json(self.folder / "status.json", asdict(plan.state))
                written = plan.state
            for warning in plan.state.warnings:
                if warning not in self.warned:
                    self.warned.add(warning)
                    self.warn(f"warning: {warning}")
            self.listen(observed, plan)
            if acted:
                looked = ()  # look at once at what the plan has changed
                continue
            idle = not plan.start and not any(result.state == "running" for result in results.values())
            if plan.state.finished or (plan.state.stalled and idle and plan.requeue_after is None):
                return plan.state
            due = LOOK_SECONDS if plan.requeue_after is None else max(plan.requeue_after, 0.01)
            self.steps.wait(min(TICK_SECONDS, due), also=self.stop.descriptor)

    def _store(self) -> Store:
        return open_store(
            self.search.spec.storage,
            base=Path(self.identity["base"]),
            default=self.folder / "store",
            environ=os.environ,
        )

    def _observed(self, results: Mapping[str, StepResult]) -> Observed:
        return Observed(
            search=self.search,
            uid=self.identity["uid"],
            started_at=self.identity["started_at"],
            trials=self.trials,
            steps=results,
        )

    def _act(self, plan: Plan) -> bool:
        """Carry the plan out; say whether anything was done."""
        for trial in plan.create:
            save_trial(self.folder, trial)
        self.trials = (*self.trials, *plan.create)
        able = [request for request in plan.start if self.steps.able(request, self.search)]
        for request in able:
            self.stop.check()
            self.steps.start(request, self.search)
        self.steps.stop(plan.stop)
        return bool(plan.create or plan.stop or able)

    def _reread(self) -> None:
        """Take over what was changed in the document, as far as a running search may change."""
        modified = _modified(self.document, default=self.seen)
        if modified == self.seen:
            return
        self.seen = modified
        try:
            new = load_search(self.document, also=search_problems)
            check_devices(new.spec, self.steps.devices)
        except AutoselError as error:
            self.warn(f"{self.document} is not valid and was not taken over: {error}")
            return
        fixed = immutable_changes(self.search.spec, new.spec)
        if fixed:
            self.warn(
                f"{fixed[0]} in {self.document}, which a running search cannot change; nothing was taken over from "
                "the document"
            )
            return
        self.search = new
        _remember(self.folder, self.identity, new)


def _modified(document: Path, *, default: int = 0) -> int:
    try:
        return document.stat().st_mtime_ns
    except OSError:
        return default


def _outcome(folder: Path, state: SearchState, results: Mapping[str, StepResult]) -> RunOutcome:
    """Take the exit code of the step that stopped the search, if it alone did."""
    if not state.stalled:
        return RunOutcome(state=state, folder=folder, exit_code=0)
    if state.cause is None:
        return RunOutcome(state=state, folder=folder, exit_code=FAILED)
    failed = results[state.cause.step]
    code = failed.exit_code if state.cause.alone else None
    return RunOutcome(
        state=state,
        folder=folder,
        exit_code=code if code is not None and 64 <= code <= 78 else FAILED,
        log=folder / "steps" / state.cause.step / str(failed.attempt) / "log.txt",
    )


def identity_of(folder: Path, search: RecipeSearch, base: Path) -> dict[str, Any]:
    """Return the folder's search identity, made at its first run; refuse a folder that holds another search."""
    path = folder / IDENTITY_FILE
    if path.exists():
        identity, held = read_identity(folder)
        changed = immutable_changes(held, search.spec)
        if changed:
            raise ConfigError(
                f"{folder} holds another search: {changed[0]} in the document; give --out another folder, or "
                "restore the document"
            )
        _check_store_moved_along(folder, search, old=Path(identity["base"]), new=base)
        identity["base"] = str(base)
        _remember(folder, identity, search)
        return identity
    identity = {
        "uid": uuid.uuid4().hex,
        "started_at": time.time(),
        "name": search.metadata.name,
        "base": str(base),
        "spec": search.spec.model_dump(mode="json"),
    }
    write_json(path, identity)
    return identity


def _check_store_moved_along(folder: Path, search: RecipeSearch, *, old: Path, new: Path) -> None:
    """Refuse a document that was moved away from its store: half of the results would be in each of two folders."""
    uri = search.spec.storage.uri
    if uri is None or is_s3(uri):
        return
    before, now = (base / Path(uri).expanduser() for base in (old, new))
    if before.resolve() != now.resolve() and (before.exists() or not now.is_dir()):
        raise ConfigError(
            f"{folder} holds a search with its store in {before}; the document was moved, and there its storage.uri "
            f"{uri!r} means {now}: move the store along, move the document back, or give --out another folder"
        )


def _remember(folder: Path, identity: dict[str, Any], search: RecipeSearch) -> None:
    """Keep the specification in force, for reports and for the next run."""
    identity["spec"] = search.spec.model_dump(mode="json")
    write_json(folder / IDENTITY_FILE, identity)
