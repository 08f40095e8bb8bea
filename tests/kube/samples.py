"""Searches, requests, Jobs and pods for the tests of the cluster shell."""

from typing import Any

from autosel_runtime.api.recipe_search import RecipeSearch
from controller.kube.jobs import Owner, render_step
from controller.kube.settings import JobSettings
from controller.reconcile import StepRequest

UID = "6f1c2d7e-0000-4000-8000-00000000a001"
TRIAL_UID = "6f1c2d7e-0000-4000-8000-00000000b001"
DIGEST = "sha256:" + "0" * 64
SETTINGS = JobSettings(
    image="example.org/autosel/runtime:1",
    accelerator_images={
        "nvidia": "example.org/autosel/runtime-cuda:1",
        "amd": "example.org/autosel/runtime-rocm:1",
        "ascend": "example.org/autosel/runtime-ascend:1",
    },
)


def search_manifest(name: str = "quick", generation: int = 1, **spec: Any) -> dict[str, Any]:
    """Return a RecipeSearch as the API server would give it; ``spec`` in camelCase replaces parts."""
    return {
        "apiVersion": "autosel.dev/v1alpha1",
        "kind": "RecipeSearch",
        "metadata": {"name": name, "namespace": "ml", "uid": UID, "generation": generation},
        "spec": {
            "pool": {"sources": [{"name": "alpaca", "uri": "alpaca.jsonl"}]},
            "model": {"uri": "models/m"},
            "evaluation": {"tasks": [{"name": "gsm8k"}]},
            "storage": {"uri": "s3://ml-data/autosel"},
            **spec,
        },
    }


def search(name: str = "quick", generation: int = 1, **spec: Any) -> RecipeSearch:
    """Return a search."""
    return RecipeSearch.model_validate(search_manifest(name, generation, **spec))


def request(name: str = "t00001.train", step: Any = "train", attempt: int = 1, **inputs: Any) -> StepRequest:
    """Return a step to start."""
    return StepRequest(
        name=name,
        step=step,
        attempt=attempt,
        inputs=inputs or {"subset": "subsets/0f3a", "model": None},
        output="models/4f1c",
        trial=name.split(".")[0],
    )


OWNER = Owner(kind="RecipeTrial", name="quick-t00001", uid=TRIAL_UID)


def job(
    *, step: Any = "train", restarts: int = 0, status: dict[str, Any] | None = None, **spec: Any
) -> dict[str, Any]:
    """Return the Job of ``t00001.train``, or of another step, with a status."""
    wanted = request(f"t00001.{step}", step)
    rendered = render_step(wanted, search(**spec), owner=OWNER, settings=SETTINGS, restarts=restarts).job
    return {**rendered, "status": {"startTime": "2026-01-01T12:00:00Z", **(status or {})}}


def condition(kind: str, reason: str = "", message: str = "") -> dict[str, Any]:
    """Return a condition that holds."""
    return {
        "type": kind,
        "status": "True",
        "reason": reason,
        "message": message,
        "lastTransitionTime": "2026-01-01T12:05:00Z",
    }


def pod(
    *,
    code: int | None = None,
    message: str = "",
    reason: str = "",
    index: int = 0,
    conditions: list[dict[str, Any]] | None = None,
    finished: str = "2026-01-01T12:04:00Z",
    **status: Any,
) -> dict[str, Any]:
    """Return a pod whose step container ended with ``code``, or runs when it is None."""
    state: dict[str, Any] = {"running": {}}
    phase = "Running"
    if code is not None:
        phase = "Succeeded" if code == 0 else "Failed"
        state = {
            "terminated": {"exitCode": code, "message": message, "reason": reason, "finishedAt": finished}
        }
    return {
        "metadata": {
            "name": f"p{index}",
            "annotations": {"batch.kubernetes.io/job-completion-index": str(index)},
        },
        "spec": {"containers": [{"name": "step", "resources": {"limits": {"memory": "32Gi"}}}]},
        "status": {
            "phase": phase,
            "conditions": conditions or [],
            "containerStatuses": [{"name": "step", "state": state}],
            **status,
        },
    }
