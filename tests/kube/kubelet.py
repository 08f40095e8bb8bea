"""Pods that never run: what a node would report of a Job whose step answers by script."""

import base64
import gzip
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from controller.reconcile import StepRequest
from tests.controller.world import Outcome, succeed

Object = dict[str, Any]


@dataclass(kw_only=True)
class Steps:
    """Answers steps and remembers how often each was really carried out.

    ``artifacts`` is the store: a step whose output exists answers at once, without doing anything again.
    """

    answer: Callable[[StepRequest, int], Outcome] = lambda request, number: succeed(request)
    artifacts: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    done: list[tuple[str, int]] = field(default_factory=list)

    def run(self, document: Mapping[str, Any]) -> tuple[int, str]:
        """Return the exit code and the termination message of the step of ``document``."""
        request = StepRequest(
            name=document["name"],
            step=document["step"],
            attempt=document["attempt"],
            inputs=document["inputs"],
            output=document["output"],
        )
        if request.output in self.artifacts:
            return 0, json.dumps({"summary": {**self.artifacts[request.output], "cached": True}})
        self.done.append((request.name, request.attempt))
        code, result = self.answer(request, request.attempt)
        if code != 0 or isinstance(result, str):
            return code, json.dumps({"error": str(result)})
        self.artifacts[request.output] = result
        return 0, json.dumps({"summary": {**result, "cached": False}})


def document_of(config_map: Object) -> dict[str, Any]:
    """Read a step's document from its ConfigMap, as the step would."""
    if "data" in config_map:
        return json.loads(next(iter(config_map["data"].values())))
    packed = base64.b64decode(next(iter(config_map["binaryData"].values())))
    return json.loads(gzip.decompress(packed))


def pod_of(job: Object, *, name: str) -> Object:
    """A pod as the Job controller makes it."""
    template = job["spec"]["template"]
    metadata = job["metadata"]
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": name,
            "namespace": metadata["namespace"],
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
