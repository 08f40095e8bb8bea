"""Names, labels and annotations of every object in a cluster; the one place where they are spelt.

A name follows from the search's name and UID, the step and the number of the Job, so whoever computes it, and however
often, gets the same one. The hash of the UID keeps a search that was deleted and made again under its old name from
meeting the Jobs of the first.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

MANAGED_BY = "app.kubernetes.io/managed-by"
OPERATOR = "autosel"
SEARCH = "autosel.dev/search"
SEARCH_UID = "autosel.dev/search-uid"
STEP = "autosel.dev/step"
TRIAL = "autosel.dev/trial"
ATTEMPT = "autosel.dev/attempt"
STEP_NAME = "autosel.dev/step-name"
RESTARTS = "autosel.dev/restarts"
SPEC_HASH = "autosel.dev/spec-hash"
RECIPE = "autosel.dev/recipe"

QUEUE_NAME = "kueue.x-k8s.io/queue-name"
QUEUE_PRIORITY = "kueue.x-k8s.io/priority-class"
QUEUE_LEAST_PODS = "kueue.x-k8s.io/job-min-parallelism"

MAX_NAME = 63
# Pods of an Indexed Job get the Job's name and up to four digits as their host name, its Service a prefix.
MAX_JOB_NAME = 58
MAX_STEP_PART = 28


@dataclass(frozen=True, kw_only=True)
class JobIdentity:
    """What a Job of ours says of itself.

    ``name`` is the step (``t00001.train``), ``number`` counts its Jobs from 1, ``restarts`` how many of the earlier
    ones ended by a fault of the infrastructure; ``trial`` is None for a step of the search itself.
    """

    search: str
    search_uid: str
    name: str
    number: int
    restarts: int
    trial: str | None
    spec_hash: str


def uid_hash(uid: str) -> str:
    """Return six hexadecimal digits of a search's UID."""
    return _hex(uid)


def trial_object_name(search: str, trial: str) -> str:
    """Return the name of a RecipeTrial: ``quickstart-t00001``; an overlong search name is cut and hashed."""
    name = f"{search}-{trial}"
    if len(name) <= MAX_NAME:
        return name
    room = MAX_NAME - len(trial) - len(_hex(name)) - 2
    return f"{search[:room].rstrip('-')}-{_hex(name)}-{trial}"


def job_name(search: str, uid: str, step: str, number: int) -> str:
    """Return the name of a step's Job number ``number``: ``quickstart-1f0c2a-t00001-train-r1``.

    The ConfigMap with the step's document has the same name. At most 58 characters: long steps (a report carries a
    digest) and then long search names are cut, and what is cut is hashed.
    """
    part = step.replace(".", "-").replace("_", "-")
    if len(part) > MAX_STEP_PART:
        part = f"{part[: MAX_STEP_PART - 7].rstrip('-')}-{_hex(step)}"
    tail = f"{uid_hash(uid)}-{part}-r{number}"
    return f"{search[: MAX_JOB_NAME - len(tail) - 1].rstrip('-')}-{tail}"


def service_name(job: str) -> str:
    """Return the name of the headless Service of a Job; a Service's name must begin with a letter."""
    return f"s-{job}"


def search_labels(search: str, uid: str) -> dict[str, str]:
    """Return the labels that every object of a search carries; enough to list them all."""
    return {MANAGED_BY: OPERATOR, SEARCH: search, SEARCH_UID: uid}


def selector(search: str, uid: str) -> str:
    """Return the label selector of all objects of a search."""
    return ",".join(f"{key}={value}" for key, value in sorted(search_labels(search, uid).items()))


def job_identity(job: Mapping[str, Any]) -> JobIdentity | None:
    """Return what a Job says of itself, or None for a Job that is not ours."""
    metadata = job.get("metadata", {})
    labels, notes = metadata.get("labels") or {}, metadata.get("annotations") or {}
    number, restarts = labels.get(ATTEMPT, ""), notes.get(RESTARTS, "0")
    ours = labels.get(MANAGED_BY) == OPERATOR and {SEARCH, SEARCH_UID} <= labels.keys()
    if not ours or STEP_NAME not in notes or not (number.isdecimal() and restarts.isdecimal()):
        return None
    return JobIdentity(
        search=labels[SEARCH],
        search_uid=labels[SEARCH_UID],
        name=notes[STEP_NAME],
        number=int(number),
        restarts=int(restarts),
        trial=labels.get(TRIAL),
        spec_hash=notes.get(SPEC_HASH, ""),
    )


def is_owned_by(manifest: Mapping[str, Any], uid: str) -> bool:
    """Say whether the object's controller is the object with ``uid``; anything else is never adopted or deleted."""
    owners = manifest.get("metadata", {}).get("ownerReferences") or []
    return any(owner.get("controller") and owner.get("uid") == uid for owner in owners)


def _hex(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:6]
