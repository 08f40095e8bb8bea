"""One pass over one search: look at everything, decide, act, write down how things stand.

A pass keeps nothing. It may die at any call, run twice at once, or be answered with errors: the next one looks again
and goes on from what is there.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from autosel_runtime.errors import DataError
from controller.kube.actuate import Obstacle, create_trials, retire_jobs, start_steps, stop_steps
from controller.kube.api import Api, Object
from controller.kube.conditions import conditions_of
from controller.kube.events import search_events, step_events, trial_events
from controller.kube.kinds import SEARCHES, TRIALS
from controller.kube.observe import Key, Look, find_search, observe
from controller.kube.records import pruned
from controller.kube.settings import JobSettings
from controller.kube.status import search_status
from controller.kube.statuses import tell, write_status
from controller.kube.trials import search_of, trial_status
from controller.reconcile import Observed
from controller.reconcile.model import Condition, SearchState, StepRequest
from controller.reconcile.names import step_name
from controller.reconcile.search import Overview, overview

# How often a search is looked at while a step waits though no Job changes: only the pod tells why it waits.
LOOK_SECONDS = 90.0


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What the operator's configuration decides about a search."""

    jobs: JobSettings
    job_ttl_seconds: int = 3600


@dataclass(frozen=True, kw_only=True)
class Done:
    """How a pass ended: when to come again if nothing happens, what was seen, how the search stands."""

    requeue_after: float | None
    observed: Observed | None = None
    state: SearchState | None = None


async def reconcile_search(api: Api, key: Key, settings: Settings) -> Done | None:
    """Make one pass; None when the search is gone. Raises ApiError when the pass has to be made again."""
    search = await find_search(api, key)
    if search is None:
        return None
    try:
        document = search_of(search)
    except DataError as error:
        await write_status(api, SEARCHES, search, _invalid_status(search, str(error), api.now()))
        return Done(requeue_after=None)
    try:
        look = await observe(api, key, search, document)
    except DataError as error:
        status = _invalid_status(search, str(error), api.now(), reason="DamagedObject")
        await write_status(api, SEARCHES, search, status)
        return Done(requeue_after=LOOK_SECONDS)
    view = overview(look.observed, api.now())
    plan = view.plan
    obstacle = await create_trials(api, look, plan.create)
    if obstacle is None:
        obstacle = await start_steps(api, look, plan.start, settings.jobs)
    await stop_steps(api, look, plan.stop)

    state = plan.state if obstacle is None else _held_up(plan.state, obstacle)
    await _write_trials(api, look, view)
    await _write_search(api, look, state, settings)
    await retire_jobs(api, look, settings.job_ttl_seconds)
    waits = [
        plan.requeue_after,
        # A new trial has a first step, a refused one an end: our own writes are no event that would come back.
        0.0 if obstacle is None and (plan.create or _refused(look, plan.start)) else None,
        obstacle.retry_after if obstacle is not None else None,
        LOOK_SECONDS if plan.start or look.waits else None,
    ]
    return Done(
        requeue_after=min((wait for wait in waits if wait is not None), default=None),
        observed=look.observed,
        state=state,
    )


async def _write_trials(api: Api, look: Look, view: Overview) -> None:
    now = datetime.fromtimestamp(api.now(), UTC)
    for trial in (*view.trials, *view.baselines):
        item = look.trials[trial.trial.name]
        status = trial_status(
            trial,
            look.records[trial.trial.name],
            previous=item.get("status"),
            generation=int(item["metadata"].get("generation", 1)),
            now=now,
        )
        if await write_status(api, TRIALS, item, status):
            await tell(api, item, trial_events(item.get("status"), status))


async def _write_search(api: Api, look: Look, state: SearchState, settings: Settings) -> None:
    status = search_status(
        state,
        look.observed.search,
        trials=look.observed.trials,
        records=pruned(look.records[None], look.observed.trials),
        waits=look.waits,
        previous=look.search.get("status"),
        now=datetime.fromtimestamp(api.now(), UTC),
        default_store=settings.jobs.storage,
    )
    if await write_status(api, SEARCHES, look.search, status):
        previous = look.search.get("status")
        await tell(api, look.search, [*search_events(previous, status), *step_events(previous, status)])


def _refused(look: Look, requests: Sequence[StepRequest]) -> bool:
    """Say whether a step that should have been started was recorded as failed, because it cannot be rendered."""
    ended = {
        (name if owner is None else step_name(owner, name), attempt)
        for owner, records in look.records.items()
        for name, attempt in (
            (record["name"], record["attempt"] - record.get("restarts", 0))
            for record in records
            if record["state"] == "Failed"
        )
    }
    return any((request.name, request.attempt) in ended for request in requests)


def _held_up(state: SearchState, obstacle: Obstacle) -> SearchState:
    """Return the state of a search whose next action cannot be done: the conditions say why."""

    def changed(condition: Condition) -> Condition:
        said = replace(condition, reason=obstacle.reason, message=obstacle.message)
        match condition.type:
            case "Ready":
                return replace(said, status="False") if obstacle.stalled else said
            case "Reconciling":
                return replace(said, status="False") if obstacle.stalled else said
            case "Stalled":
                return replace(said, status="True") if obstacle.stalled else condition
            case _:
                return condition

    return replace(
        state,
        conditions=tuple(changed(condition) for condition in state.conditions),
        stalled=state.stalled or obstacle.stalled,
        message=obstacle.message,
    )


def _invalid_status(search: Object, why: str, now: float, *, reason: str = "InvalidSpec") -> dict[str, Any]:
    """Return the status of a search that cannot be read: as it was, but stalled."""
    previous: Mapping[str, Any] = search.get("status") or {}
    generation = int(search["metadata"].get("generation", 1))
    conditions: Sequence[Condition] = (
        Condition(type="Ready", status="False", reason=reason, message=why),
        Condition(type="Reconciling", status="False", reason=reason, message=why),
        Condition(type="Stalled", status="True", reason=reason, message=why),
        Condition(type="Succeeded", status="Unknown", reason=reason, message=why),
    )
    return {
        **previous,
        "observedGeneration": generation,
        "conditions": conditions_of(
            conditions,
            previous.get("conditions") or [],
            generation=generation,
            now=datetime.fromtimestamp(now, UTC),
        ),
    }
