"""What a pod's object says of its step: why it waits, how it ended, who ended it."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

STEP_CONTAINER = "step"
INDEX = "batch.kubernetes.io/job-completion-index"

# Why the kubelet refuses or ends a pod for reasons of the node. An eviction for a pod's own appetite for disk is not
# among them: it carries no DisruptionTarget and would happen again.
NODE_REASONS = frozenset(
    {
        "NodeLost",
        "NodeShutdown",
        "NodeAffinity",
        "Preempting",
        "Shutdown",
        "Terminated",
        "TopologyAffinityError",
        "UnexpectedAdmissionError",
        "OutOfcpu",
        "OutOfmemory",
        "OutOfpods",
    }
)
# What a container shows on its way to running, without anything being wrong.
STARTING = frozenset({"ContainerCreating", "PodInitializing"})


@dataclass(frozen=True, kw_only=True)
class Waiting:
    """Why something waits: a word for programs and a sentence for people."""

    reason: str
    message: str


def has_condition(status: Mapping[str, Any], kind: str) -> bool:
    """Say whether a condition of the status is true."""
    conditions = status.get("conditions") or []
    return any(entry.get("type") == kind and entry.get("status") == "True" for entry in conditions)


def epoch(time: object) -> float | None:
    """Return seconds since the epoch of a Kubernetes time, None for none or a broken one."""
    if not isinstance(time, str):
        return None
    try:
        return datetime.fromisoformat(time).timestamp()
    except ValueError:
        return None


def index_of(pod: Mapping[str, Any]) -> int:
    """Return a pod's completion index; 0 in a Job without indices."""
    metadata = pod.get("metadata") or {}
    text = (metadata.get("annotations") or {}).get(INDEX) or (metadata.get("labels") or {}).get(INDEX) or "0"
    return int(text) if str(text).isdecimal() else 0


def terminated(pod: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """Return how the step's container ended: exitCode, reason, message, finishedAt; None while it has not."""
    state = _container(pod).get("state") or {}
    return state.get("terminated")


def disruption(pod: Mapping[str, Any]) -> Waiting | None:
    """Return what the infrastructure did to a pod that ended, or None when it was left alone."""
    status = pod.get("status") or {}
    for entry in status.get("conditions") or []:
        if entry.get("type") == "DisruptionTarget" and entry.get("status") == "True":
            word = str(entry.get("reason") or "DisruptionTarget")
            return Waiting(reason=word, message=str(entry.get("message") or "the pod was disrupted"))
    reason = str(status.get("reason") or "")
    if reason in NODE_REASONS:
        return Waiting(
            reason=reason, message=str(status.get("message") or f"the node ended the pod: {reason}")
        )
    return None


def pod_waiting(pod: Mapping[str, Any]) -> Waiting | None:
    """Return why a pod that has not ended does not run, or None when it runs."""
    status = pod.get("status") or {}
    if (pod.get("metadata") or {}).get("deletionTimestamp"):
        why = disruption(pod)
        return Waiting(
            reason="Terminating", message=f"the pod is being ended: {why.message if why else 'on request'}"
        )
    for entry in status.get("conditions") or []:
        if entry.get("type") == "PodScheduled" and entry.get("status") == "False":
            return Waiting(
                reason=str(entry.get("reason") or "Unschedulable"),
                message=str(entry.get("message") or "no node fits"),
            )
    for container in [
        *(status.get("initContainerStatuses") or []),
        *(status.get("containerStatuses") or []),
    ]:
        waiting = (container.get("state") or {}).get("waiting")
        if waiting:
            reason = str(waiting.get("reason") or "ContainerCreating")
            default = "the container is being made" if reason in STARTING else reason
            return Waiting(reason=reason, message=str(waiting.get("message") or default))
    if status.get("phase") == "Running":
        return None
    return Waiting(reason="Pending", message="the pod has not started yet")


def _container(pod: Mapping[str, Any]) -> Mapping[str, Any]:
    statuses = (pod.get("status") or {}).get("containerStatuses") or []
    return next((entry for entry in statuses if entry.get("name") == STEP_CONTAINER), {})
