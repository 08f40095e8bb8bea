"""Carry out a plan. Every action can be done again, and may have been done before by a pass that died.

Order: trials before their steps, outcomes recorded before Jobs may go. What stands in the way is returned, not
raised, so that the status still tells it; only trouble with the server itself ends the pass.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from autosel_runtime.errors import AutoselError, ConfigError, DataError
from controller.kube import names
from controller.kube.api import Api, Object
from controller.kube.ensure import LeavingError, NameConflictError, ensure
from controller.kube.errors import (
    AdmissionRefusedError,
    AdmissionUnavailableError,
    ConflictError,
    ForbiddenError,
    InvalidObjectError,
    NamespaceTerminatingError,
    NotFoundError,
    PodSecurityError,
    QuotaExceededError,
)
from controller.kube.jobs import Owner, render_step, ttl_patch
from controller.kube.kinds import CONFIG_MAPS, JOBS, SERVICES, TRIALS, Kind
from controller.kube.observe import Look
from controller.kube.outcomes import refused
from controller.kube.podstate import epoch
from controller.kube.records import record_of, restarts_of, split_step
from controller.kube.settings import JobSettings
from controller.kube.trials import trial_manifest
from controller.reconcile.model import StepRequest, Trial

KINDS: dict[str, Kind] = {"ConfigMap": CONFIG_MAPS, "Service": SERVICES, "Job": JOBS}
SOON, LATER, LONG = 5.0, 30.0, 300.0
LAST_LOOK_SECONDS = 60


@dataclass(frozen=True, kw_only=True)
class Obstacle:
    """Why an action could not be done. ``stalled`` when it needs a person; tried again after ``retry_after``."""

    reason: str
    message: str
    stalled: bool
    retry_after: float


def obstacle_of(error: AutoselError) -> Obstacle | None:
    """Return what an error means for the search, or None when the whole pass has to be tried again."""

    def obstacle(reason: str, seconds: float, *, stalled: bool) -> Obstacle:
        return Obstacle(reason=reason, message=str(error), stalled=stalled, retry_after=seconds)

    match error:
        case QuotaExceededError():
            return obstacle("QuotaExceeded", LATER, stalled=False)
        case LeavingError():
            return obstacle("WaitingForDeletion", SOON, stalled=False)
        case AdmissionUnavailableError():
            return obstacle("AdmissionUnavailable", LATER, stalled=False)
        case NamespaceTerminatingError():
            return obstacle("NamespaceTerminating", LATER, stalled=False)
        case NameConflictError():
            return obstacle("NameConflict", LONG, stalled=True)
        case PodSecurityError():
            return obstacle("PodSecurityRefused", LONG, stalled=True)
        case AdmissionRefusedError():
            return obstacle("AdmissionRefused", LONG, stalled=True)
        case ForbiddenError():
            return obstacle("Forbidden", LONG, stalled=True)
        case InvalidObjectError():
            return obstacle("ObjectRefused", LONG, stalled=True)
        case DataError():
            return obstacle("DamagedObject", LONG, stalled=True)
        case _:
            return None


async def create_trials(api: Api, look: Look, trials: Sequence[Trial]) -> Obstacle | None:
    """Create the trials of a plan, the durable intent."""
    for trial in trials:
        try:
            manifest = trial_manifest(trial, look.observed.search)
            await ensure(api, TRIALS, look.key.namespace, manifest)
        except AutoselError as error:
            obstacle = obstacle_of(error)
            if obstacle is None:
                raise
            return obstacle
    return None


async def start_steps(
    api: Api, look: Look, requests: Sequence[StepRequest], settings: JobSettings
) -> Obstacle | None:
    """Create the Jobs of a plan. A step that cannot be rendered is recorded as failed, in ``look.records``."""
    for request in requests:
        try:
            await _start(api, look, request, settings)
        except AutoselError as error:
            obstacle = obstacle_of(error)
            if obstacle is None:
                raise
            return obstacle
    return None


async def _start(api: Api, look: Look, request: StepRequest, settings: JobSettings) -> None:
    owner_name, name = split_step(request.name, frozenset(look.trials))
    records = look.records[owner_name]
    restarts = restarts_of(records, name)
    try:
        manifests = render_step(
            request,
            look.observed.search,
            owner=_owner(look, owner_name),
            settings=settings,
            restarts=restarts,
        )
    except ConfigError as error:
        outcome = refused(request, error, restarts=restarts, now=api.now())
        records[:] = [*(record for record in records if record["name"] != name), record_of(name, outcome)]
        return
    await _clear_up_before(api, look, request.name, request.attempt + restarts, manifests.job)
    for manifest in manifests.in_order():
        await ensure(api, KINDS[str(manifest["kind"])], look.key.namespace, manifest)


async def _clear_up_before(api: Api, look: Look, step: str, number: int, job: Mapping[str, Any]) -> None:
    """Delete the document of a step's previous Job if that was deleted by hand: nobody else would."""
    if number > 1 and (step, number - 1) not in look.jobs:
        metadata = job["metadata"]
        name = names.job_name(look.key.name, look.uid, step, number - 1)
        await _delete_parts(api, look, {**job, "metadata": {**metadata, "name": name}})


def _owner(look: Look, trial: str | None) -> Owner:
    if trial is None:
        return Owner(kind="RecipeSearch", name=look.key.name, uid=look.uid)
    metadata = look.trials[trial]["metadata"]
    return Owner(kind="RecipeTrial", name=metadata["name"], uid=metadata["uid"])


async def stop_steps(api: Api, look: Look, steps: Sequence[str]) -> None:
    """Delete the running Jobs of steps. One that has just ended is left alone: the next pass sees its outcome."""
    for step in steps:
        numbers = [number for name, number in look.jobs if name == step]
        if not numbers:
            continue
        job = look.jobs[step, max(numbers)]
        metadata = job["metadata"]
        # The document goes first: of a Job that is gone nothing would remind us.
        await _delete_parts(api, look, job)
        try:
            await api.delete(
                JOBS,
                look.key.namespace,
                metadata["name"],
                uid=metadata["uid"],
                resource_version=metadata["resourceVersion"],
            )
        except (NotFoundError, ConflictError):
            continue


async def retire_jobs(api: Api, look: Look, ttl_seconds: int) -> None:
    """Let Jobs go whose outcome is recorded in a status that the server has stored.

    Their documents go first: a Job that is marked to go has nothing left to clean up.
    """
    for (step, number), job in sorted(look.jobs.items(), key=lambda entry: entry[0]):
        if (job.get("spec") or {}).get("ttlSecondsAfterFinished") is not None or not _is_settled(
            look, step, number
        ):
            continue
        await _delete_parts(api, look, job)
        seconds = _time_to_live(job, ttl_seconds, api.now())
        patch: dict[str, Any] = {"metadata": {"uid": job["metadata"]["uid"]}, **ttl_patch(seconds)}
        try:
            await api.patch(JOBS, look.key.namespace, job["metadata"]["name"], patch)
        except (NotFoundError, ConflictError):
            continue


def _time_to_live(job: Object, seconds: int, now: float) -> int:
    """Return the time to live of a Job, which the server counts from the Job's end, not from now.

    When the operator was away for longer than that, the Job stays a little all the same, so that its log can be read.
    """
    status = job.get("status") or {}
    ends = [
        status.get("completionTime"),
        *(entry.get("lastTransitionTime") for entry in status.get("conditions") or ()),
    ]
    ended = max((time for end in ends if (time := epoch(end)) is not None), default=now)
    return max(seconds, math.ceil(now - ended) + min(seconds, LAST_LOOK_SECONDS))


async def _delete_parts(api: Api, look: Look, job: Mapping[str, Any]) -> None:
    """Delete the document of a Job, and the Service of a multi-node one, if they are ours."""
    name = job["metadata"]["name"]
    parts = [(CONFIG_MAPS, name)]
    if "subdomain" in job["spec"]["template"]["spec"]:
        parts.append((SERVICES, names.service_name(name)))
    owners = {entry["uid"] for entry in job["metadata"]["ownerReferences"] if entry.get("controller")}
    for kind, part in parts:
        try:
            found = await api.get(kind, look.key.namespace, part)
            if any(names.is_owned_by(found, uid) for uid in owners):
                await api.delete(kind, look.key.namespace, part, uid=found["metadata"]["uid"])
        except NotFoundError:
            continue


def _is_settled(look: Look, step: str, number: int) -> bool:
    """Say whether a Job's outcome is recorded, or is no longer asked for because a newer one is."""
    owner, name = split_step(step, frozenset(look.trials))
    record = next((record for record in look.records[owner] if record["name"] == name), None)
    if record is None or number < record["attempt"]:
        return _has_ended(look.jobs[step, number])
    return record["attempt"] == number and record["state"] in ("Succeeded", "Failed")


def _has_ended(job: Object) -> bool:
    conditions = (job.get("status") or {}).get("conditions") or ()
    return any(
        entry.get("type") in ("Complete", "Failed") and entry.get("status") == "True" for entry in conditions
    )
