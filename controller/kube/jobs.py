"""A step as Kubernetes objects: the ConfigMap with its document, the Job, and the Service of a multi-node step.

One Job is one attempt: it never makes a second one by itself, except for a pod that the infrastructure took away.
Retries are reconcile's, which tells kinds of failure apart. Objects are made once and never changed, but for the time
to live, which is set when the outcome is recorded.
"""

import base64
import gzip
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import orjson

from autosel_runtime.api.common import API_VERSION
from autosel_runtime.api.recipe_search import RecipeSearch
from autosel_runtime.api.resources import Scheduling, StorageSpec
from autosel_runtime.digest import digest, short
from autosel_runtime.errors import ConfigError
from controller.kube import names
from controller.kube.pod import DOCUMENT_FILE, RENDEZVOUS_PORT, WORK, nodes_of, pod_template, shards_of
from controller.kube.podstate import STEP_CONTAINER
from controller.kube.settings import JobSettings
from controller.kube.storage import certificates, store_of
from controller.reconcile.model import StepRequest
from controller.reconcile.retry import PERMANENT

HASH_VERSION = "v1"
# A ConfigMap holds 1 MiB; a document above half of that is stored compressed.
PLAIN_BYTES = 512 * 1024
MAX_BYTES = 1000 * 1024


@dataclass(frozen=True, kw_only=True)
class Owner:
    """The object that a step belongs to: its trial, or the search."""

    kind: Literal["RecipeSearch", "RecipeTrial"]
    name: str
    uid: str


@dataclass(frozen=True, kw_only=True)
class StepManifests:
    """The objects of one Job of a step. They are created in this order: a pod starts once its document is there."""

    config_map: Mapping[str, Any]
    service: Mapping[str, Any] | None
    job: Mapping[str, Any]
    spec_hash: str

    def in_order(self) -> tuple[Mapping[str, Any], ...]:
        """Return the objects in the order of their creation."""
        return tuple(entry for entry in (self.config_map, self.service, self.job) if entry is not None)


def render_step(
    request: StepRequest, search: RecipeSearch, *, owner: Owner, settings: JobSettings, restarts: int = 0
) -> StepManifests:
    """Return the objects that run a step.

    ``owner`` is the trial of ``request.trial`` when there is such a trial, else the search. ``restarts`` counts the
    step's earlier Jobs that were no attempts (``records.restarts_of``). Deterministic: the same arguments give the same
    objects. Raises ConfigError for settings that cannot work in a cluster.
    """
    uid = search.metadata.uid or ""
    storage = store_of(search.spec, settings.storage)
    number = request.attempt + restarts
    name = names.job_name(search.metadata.name, uid, request.name, number)
    nodes, shards = nodes_of(search, request), shards_of(search, request)
    service = names.service_name(name) if nodes > 1 else None
    spec_hash = f"{HASH_VERSION}:{short(digest(_identity(request, uid)), 16)}"
    labels = names.search_labels(search.metadata.name, uid) | {
        names.STEP: request.step,
        names.ATTEMPT: str(number),
    }
    if owner.kind == "RecipeTrial" and request.trial is not None:
        labels[names.TRIAL] = request.trial
    metadata: dict[str, Any] = {
        "name": name,
        "namespace": search.metadata.namespace or "default",
        "labels": labels,
        "annotations": {
            names.STEP_NAME: request.name,
            names.RESTARTS: str(restarts),
            names.SPEC_HASH: spec_hash,
        },
        "ownerReferences": [owner_reference(owner)],
    }
    template = pod_template(
        request, search, job=name, service=service, labels=labels, storage=storage, settings=settings
    )
    job: dict[str, Any] = {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": metadata | {"labels": labels | _queue_labels(search.spec.scheduling)},
        "spec": _job_spec(template, nodes * shards, search.spec.failure_policy.step_deadline_seconds),
    }
    if shards > 1:
        _let_shards_fail_alone(job)
    document = _document(request, search, storage, number, settings)
    return StepManifests(
        config_map={
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": metadata,
            "immutable": True,
            **_stored(document, request.name),
        },
        service=_service(metadata, service, name) if service else None,
        job=job,
        spec_hash=spec_hash,
    )


def owner_reference(owner: Owner) -> dict[str, Any]:
    """Return the reference by which the API server deletes what belongs to ``owner``, with the operator gone too."""
    return {
        "apiVersion": API_VERSION,
        "kind": owner.kind,
        "name": owner.name,
        "uid": owner.uid,
        "controller": True,
        "blockOwnerDeletion": False,
    }


def ttl_patch(seconds: int) -> dict[str, Any]:
    """Return the merge patch that lets a Job go some time after its outcome was recorded."""
    return {"spec": {"ttlSecondsAfterFinished": seconds}}


def _let_shards_fail_alone(job: dict[str, Any]) -> None:
    """Let the pods of a sharded step run and end on their own: what the others finish need not be done again.

    A failure that would happen again still ends the Job at once. Nor need all pods run at the same time.
    """
    del job["spec"]["backoffLimit"]
    job["spec"]["backoffLimitPerIndex"] = 0
    metadata = job["metadata"]
    if names.QUEUE_NAME in metadata["labels"]:
        metadata["annotations"] = metadata["annotations"] | {names.QUEUE_LEAST_PODS: "1"}


def _job_spec(template: Mapping[str, Any], pods: int, deadline: int) -> dict[str, Any]:
    spec: dict[str, Any] = {
        "backoffLimit": 0,
        "activeDeadlineSeconds": deadline,
        "podReplacementPolicy": "Failed",
        "podFailurePolicy": {
            "rules": [
                {
                    "action": "Ignore",
                    "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}],
                },
                {
                    "action": "FailJob",
                    "onExitCodes": {
                        "containerName": STEP_CONTAINER,
                        "operator": "In",
                        "values": sorted(PERMANENT),
                    },
                },
                # All others are counted, and the first that counts ends the Job.
            ]
        },
        "completions": pods,
        "parallelism": pods,
        "template": template,
    }
    return spec | {"completionMode": "Indexed" if pods > 1 else "NonIndexed"}


def _queue_labels(scheduling: Scheduling) -> dict[str, str]:
    labels = {
        names.QUEUE_NAME: scheduling.queue_name,
        names.QUEUE_PRIORITY: scheduling.workload_priority_class,
    }
    return {key: value for key, value in labels.items() if value is not None}


def _service(metadata: Mapping[str, Any], name: str, job: str) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {**metadata, "name": name},
        "spec": {
            "clusterIP": "None",
            "publishNotReadyAddresses": True,
            "selector": {"batch.kubernetes.io/job-name": job},
            "ports": [{"name": "rendezvous", "port": RENDEZVOUS_PORT}],
        },
    }


def _document(
    request: StepRequest, search: RecipeSearch, storage: StorageSpec, number: int, settings: JobSettings
) -> dict[str, Any]:
    found = certificates(storage)
    if found is not None:
        storage = storage.model_copy(update={"ca_bundle": found.path})
    spec = search.spec.model_copy(update={"storage": storage})
    return {
        "step": request.step,
        "name": request.name,
        "attempt": number,
        "uid": search.metadata.uid,
        "searchName": search.metadata.name,
        "search": spec.model_dump(mode="json", by_alias=True, exclude_none=True),
        "base": settings.base,
        "defaultStore": f"{WORK}/store",
        "work": WORK,
        "inputs": dict(request.inputs),
        "output": request.output,
    }


def _stored(document: Mapping[str, Any], step: str) -> dict[str, Any]:
    text = orjson.dumps(document, option=orjson.OPT_SORT_KEYS)
    if len(text) <= PLAIN_BYTES:
        return {"data": {DOCUMENT_FILE: text.decode()}}
    packed = gzip.compress(text, mtime=0)
    if len(packed) > MAX_BYTES:
        raise ConfigError(
            f"the document of step {step} has {len(packed):,} bytes compressed, a ConfigMap holds {MAX_BYTES:,}; "
            "lower spec.budget.evaluations"
        )
    return {"binaryData": {DOCUMENT_FILE: base64.b64encode(packed).decode()}}


def _identity(request: StepRequest, uid: str) -> dict[str, Any]:
    """Return what decides the result of a step. Resources and placement do not: they may change while it runs."""
    return {
        "uid": uid,
        "name": request.name,
        "step": request.step,
        "inputs": dict(request.inputs),
        "output": request.output,
    }
