"""Pods that never run: what a node would report of a Job whose step answers by script."""

import base64
import gzip
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from autosel_runtime.steps.sharing import COUNT_VARIABLE
from controller.kube.podstate import INDEX, index_of
from controller.reconcile import StepRequest
from tests.controller.world import Outcome, succeed

Object = dict[str, Any]


@dataclass(kw_only=True)
class Steps:
    """Answers steps and remembers how often each was really carried out.

    ``artifacts`` is the store: a step whose output exists answers at once, without doing anything again. ``refuse`` may
    fail one shard of a sharded step, by its index; ``shards`` remembers the shards that were carried out. ``models``
    are those that were trained and not dropped.
    """

    answer: Callable[[StepRequest, int], Outcome] = lambda request, number: succeed(request)
    artifacts: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    done: list[tuple[str, int]] = field(default_factory=list)
    refuse: Callable[[StepRequest, int], Outcome | None] = lambda request, index: None
    shards: list[tuple[str, int]] = field(default_factory=list)
    models: set[str] = field(default_factory=set)

    def run(self, document: Mapping[str, Any], *, shard: tuple[int, int] | None = None) -> tuple[int, str]:
        """Return the exit code and the termination message of the step of ``document``, or of a shard of it."""
        request = StepRequest(
            name=document["name"],
            step=document["step"],
            attempt=document["attempt"],
            inputs=document["inputs"],
            output=document["output"],
        )
        inputs, found = request.inputs, request.output in self.artifacts
        model = inputs.get("model") if request.step == "evaluate" else None
        if model is not None and model not in self.models and (not found or inputs.get("needs_model")):
            return 0, json.dumps({"summary": {"missing": inputs.get("trained", 0)}})
        if inputs.get("again") and request.output not in self.models:
            found = False
        if found:
            self.models.difference_update(inputs.get("drop", ()))
            return 0, json.dumps({"summary": {**self.artifacts[request.output], "cached": True}})
        if shard is not None:
            refused = self.refuse(request, shard[0])
            if refused is not None:
                return refused[0], json.dumps({"error": str(refused[1])})
            if not self._finish_shard(request, *shard):
                return 0, json.dumps({"shard": {"index": shard[0], "count": shard[1]}})
        self.done.append((request.name, request.attempt))
        code, result = self.answer(request, request.attempt)
        if code != 0 or isinstance(result, str):
            return code, json.dumps({"error": str(result)})
        self.artifacts[request.output] = result
        if request.step == "train":
            self.models.add(request.output)
        self.models.difference_update(inputs.get("drop", ()))
        return 0, json.dumps({"summary": {**result, "cached": False}})

    def _finish_shard(self, request: StepRequest, index: int, count: int) -> bool:
        """Do a shard unless the store has it; say whether now all are there."""
        prefix = f"{request.output}/shards-{count}"
        if f"{prefix}/{index}" not in self.artifacts:
            self.shards.append((request.name, index))
            self.artifacts[f"{prefix}/{index}"] = {}
        return all(f"{prefix}/{other}" in self.artifacts for other in range(count))


def document_of(config_map: Object) -> dict[str, Any]:
    """Read a step's document from its ConfigMap, as the step would."""
    if "data" in config_map:
        return json.loads(next(iter(config_map["data"].values())))
    packed = base64.b64decode(next(iter(config_map["binaryData"].values())))
    return json.loads(gzip.decompress(packed))


def shard_of(pod: Object) -> tuple[int, int] | None:
    """The index of a pod and the number of shards that its step is told, None for a step that is not sharded."""
    environment = pod["spec"]["containers"][0].get("env") or []
    count = next((entry["value"] for entry in environment if entry["name"] == COUNT_VARIABLE), None)
    return None if count is None else (index_of(pod), int(count))


def pod_of(job: Object, *, name: str, index: int | None = None) -> Object:
    """A pod as the Job controller makes it."""
    template = job["spec"]["template"]
    metadata = job["metadata"]
    annotations = {} if index is None else {"annotations": {INDEX: str(index)}}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": name,
            "namespace": metadata["namespace"],
            **annotations,
            "labels": {
                **template["metadata"].get("labels", {}),
                "batch.kubernetes.io/job-name": metadata["name"],
            },
            "ownerReferences": [
                {
                    "apiVersion": "batch/v1",
                    "kind": "Job",
                    "name": metadata["name"],
                    "uid": metadata["uid"],
                    "controller": True,
                }
            ],
        },
        "spec": template["spec"],
    }


def pod_status(code: int, message: str, time: str) -> Object:
    """The status of a pod whose step has ended."""
    ended = {
        "exitCode": code,
        "message": message,
        "startedAt": time,
        "finishedAt": time,
        "reason": "Completed" if code == 0 else "Error",
    }
    return {
        "phase": "Succeeded" if code == 0 else "Failed",
        "startTime": time,
        "containerStatuses": [
            {
                "name": "step",
                "image": "i",
                "imageID": "i",
                "restartCount": 0,
                "ready": False,
                "started": False,
                "state": {"terminated": ended},
            }
        ],
    }
