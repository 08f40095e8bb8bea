"""Look at one search: its object, its trials, its Jobs and their pods, all read live from the API server.

Nothing comes from a cache, so an old event cannot bring back an old world. Owners are read before Jobs: a Job that a
status speaks of and that is not listed after it is gone for good.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from autosel_runtime.api.recipe_search import RecipeSearch
from autosel_runtime.api.search import FailurePolicy
from controller.kube import names
from controller.kube.api import Api, Object
from controller.kube.errors import NotFoundError
from controller.kube.kinds import JOBS, PODS, SEARCHES, TRIALS
from controller.kube.outcomes import Outcome, outcome_of
from controller.kube.podstate import Waiting, epoch
from controller.kube.records import Record, merge_records, reopened, results_of, split_step
from controller.kube.trials import trial_of
from controller.reconcile.model import Observed, StepResult, Trial
from controller.reconcile.names import step_name
from controller.reconcile.retry import is_final

Records = list[dict[str, Any]]


@dataclass(frozen=True, kw_only=True)
class Key:
    """A search by namespace and name."""

    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}"


@dataclass(frozen=True, kw_only=True)
class Look:
    """One search as it is now.

    ``trials`` maps trial names (``t00001``) to their objects, ``jobs`` (step name, number) to Jobs. ``records`` maps
    owners (a trial, or None for the search) to their step records: recorded outcomes and, where none is recorded, what
    the newest Job shows. ``waits`` says of steps whose Job exists but does nothing why that is.
    """

    key: Key
    search: Object
    trials: Mapping[str, Object]
    jobs: Mapping[tuple[str, int], Object]
    records: Mapping[str | None, Records]
    waits: Mapping[str, Waiting]
    observed: Observed

    @property
    def uid(self) -> str:
        """The search's UID."""
        return str(self.search["metadata"]["uid"])


async def find_search(api: Api, key: Key) -> Object | None:
    """Return the search, or None when it is gone or going."""
    try:
        search = await api.get(SEARCHES, key.namespace, key.name)
    except NotFoundError:
        return None
    return None if search["metadata"].get("deletionTimestamp") else search


async def observe(api: Api, key: Key, search: Object, document: RecipeSearch) -> Look:
    """Read everything that belongs to ``search``."""
    uid = str(search["metadata"]["uid"])
    labels = names.search_labels(key.name, uid)
    trial_objects = (await api.list(TRIALS, key.namespace, labels)).items
    job_objects = (await api.list(JOBS, key.namespace, labels)).items
    pods = (await api.list(PODS, key.namespace, labels)).items

    found: dict[str, Object] = {}
    trials: list[Trial] = []
    for item in trial_objects:
        if names.is_owned_by(item, uid) and not item["metadata"].get("deletionTimestamp"):
            trial = trial_of(item)
            found[trial.name] = item
            trials.append(trial)
    owners = {uid, *(str(item["metadata"]["uid"]) for item in found.values())}
    jobs = _own_jobs(job_objects, owners)
    outcomes = _outcomes(frozenset(found), jobs, pods)
    objects: dict[str | None, Object] = {None: search, **found}
    suspended = document.spec.suspend
    stopping = suspended and document.spec.suspend_policy == "Stop"
    records = {
        owner: merge_records(recorded(objects[owner]), live, stopping=stopping)
        for owner, live in outcomes.items()
    }
    if suspended:
        records = {owner: reopened(entries, owner) for owner, entries in records.items()}
    steps: dict[str, StepResult] = {}
    retries: dict[str, Waiting] = {}
    for owner, entries in records.items():
        results = results_of(entries, owner)
        steps |= results
        retries |= _retries(entries, results, document.spec.failure_policy)
    observed = Observed(
        search=document,
        uid=uid,
        started_at=epoch(search["metadata"].get("creationTimestamp")) or 0.0,
        trials=tuple(sorted(trials, key=lambda trial: trial.name)),
        steps=steps,
        warnings=recorded_warnings(search),
    )
    waits = {
        name if owner is None else step_name(owner, name): outcome.waiting
        for owner, live in outcomes.items()
        for name, outcome in live.items()
        if outcome.waiting is not None
    } | retries
    return Look(
        key=key, search=search, trials=found, jobs=jobs, records=records, waits=waits, observed=observed
    )


def _retries(
    records: Sequence[Record], results: Mapping[str, StepResult], policy: FailurePolicy
) -> dict[str, Waiting]:
    """Return the steps of one owner that failed and are tried again after a pause, and why they failed."""
    return {
        name: Waiting(reason=str(record.get("reason") or "Failed"), message=result.reason)
        for record, (name, result) in zip(records, results.items(), strict=True)
        if result.state == "failed" and not is_final(result, policy)
    }


def _own_jobs(jobs: Sequence[Object], owners: set[str]) -> dict[tuple[str, int], Object]:
    """Return our Jobs by step and number. A Job whose trial was deleted goes with it and counts no more."""
    own: dict[tuple[str, int], Object] = {}
    for job in jobs:
        identity = names.job_identity(job)
        if identity is not None and not owners.isdisjoint(_controllers(job)):
            own[identity.name, identity.number] = job
    return own


def _controllers(item: Object) -> list[str]:
    references = item["metadata"].get("ownerReferences") or ()
    return [str(entry.get("uid")) for entry in references if entry.get("controller")]


def _outcomes(
    trials: frozenset[str], jobs: Mapping[tuple[str, int], Object], pods: Sequence[Object]
) -> dict[str | None, dict[str, Outcome]]:
    """Return how the newest Job of every step stands, by owner and the step's name there."""
    by_job: dict[str, list[Object]] = {}
    for pod in pods:
        for reference in pod["metadata"].get("ownerReferences") or ():
            by_job.setdefault(str(reference["uid"]), []).append(pod)
    live: dict[str | None, dict[str, Outcome]] = {None: {}, **{name: {} for name in trials}}
    newest = dict(sorted(jobs))
    for step, number in newest.items():
        job = jobs[step, number]
        owner, name = split_step(step, trials)
        live[owner][name] = outcome_of(job, by_job.get(str(job["metadata"]["uid"]), ()))
    return live


def recorded_warnings(search: Object) -> tuple[str, ...]:
    """Return what the suggestions of a search warned of, as its status keeps it beyond their own records."""
    return tuple((search.get("status") or {}).get("warnings") or ())


def recorded(item: Object) -> Records:
    """Return the step records in an object's status."""
    return list((item.get("status") or {}).get("steps") or ())
