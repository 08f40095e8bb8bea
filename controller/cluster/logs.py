"""The log of a step in a cluster: of the pods of its current or last Job, or of the Job before.

The API server has logs of pods that exist only. A stream that breaks off while it is followed is taken up where it
ended, by the time that the kubelet puts before each line.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from typing import Any

from autosel_runtime.errors import NoInputError, TransientError
from controller.cluster.connect import Cluster, explained
from controller.kube import names
from controller.kube.api import Object
from controller.kube.errors import ApiError, InvalidObjectError, NotFoundError, ServerUnavailableError
from controller.kube.kinds import PODS
from controller.kube.podstate import STEP_CONTAINER, index_of, pod_waiting, terminated
from controller.views.snapshot import Snapshot

JOB_NAME = "batch.kubernetes.io/job-name"
POLL_SECONDS = 1.0
QUIET_SECONDS = 60.0
LONGEST_PAUSE = 15.0

Tell = Callable[[str], None]
Emit = Callable[[str, int, str], None]


@dataclass(frozen=True, kw_only=True)
class StepPods:
    """A step's Job and its pods, one an index, in order; ``several`` when the Job has more than one."""

    step: str
    attempt: int
    pods: Sequence[Object]
    several: bool


async def pods_of(cluster: Cluster, snapshot: Snapshot, step: str, *, previous: bool) -> StepPods:
    """Return the pods of a step. NoInputError when they are gone, with what is left of the step."""
    uid = snapshot.observed.uid
    labels = names.search_labels(cluster.name, uid)
    everything = (await cluster.client.list(PODS, cluster.namespace, labels)).items
    numbers = _numbers(cluster.name, uid, step, everything)
    result = snapshot.observed.steps[step]
    newest = max([*numbers, result.attempt])
    if previous:
        earlier = [number for number in numbers if number < newest]
        if not earlier:
            raise NoInputError(
                f"{step} has no earlier attempt whose pod is still there; its newest is {newest}"
            )
        newest = max(earlier)
    pods = numbers.get(newest, [])
    if not pods:
        raise NoInputError(_gone(snapshot, step, newest))
    by_index: dict[int, Object] = {}
    for pod in sorted(pods, key=lambda pod: str(pod["metadata"].get("creationTimestamp"))):
        by_index[index_of(pod)] = pod  # a pod that replaced a disrupted one comes later
    ordered = [by_index[index] for index in sorted(by_index)]
    return StepPods(step=step, attempt=newest, pods=ordered, several=len(ordered) > 1)


async def print_logs(
    cluster: Cluster, found: StepPods, *, follow: bool, tail: int | None, emit: Emit, tell: Tell
) -> None:
    """Give every line to ``emit`` with its pod and index; pods are followed side by side, else one after the other."""
    if not follow:
        for pod in found.pods:
            await _print_pod(cluster, pod, found.step, follow=False, tail=tail, emit=emit, tell=tell)
        return
    async with asyncio.TaskGroup() as group:
        for pod in found.pods:
            group.create_task(
                _print_pod(cluster, pod, found.step, follow=True, tail=tail, emit=emit, tell=tell)
            )


async def _print_pod(
    cluster: Cluster, pod: Object, step: str, *, follow: bool, tail: int | None, emit: Emit, tell: Tell
) -> None:
    name, index = str(pod["metadata"]["name"]), index_of(pod)
    last, pause = "", POLL_SECONDS
    if follow:
        pod = await _started(cluster, pod, step, tell)
    elif not _has_begun(pod):
        raise TransientError(f"{step} has no log yet: {_why(pod)}")
    while True:
        try:
            async for stamp, text in _lines(cluster, name, follow=follow, since=last, tail=tail):
                last, pause, tail = stamp, POLL_SECONDS, None
                emit(name, index, text)
            if not follow or await _ended(cluster, name):
                return
        except (ServerUnavailableError, InvalidObjectError) as error:
            if not follow:
                raise _unreadable(error, name, cluster.server) from error
            tell(f"the log of {name} broke off: {explained(error, cluster.server)}; trying again")
            pause = min(LONGEST_PAUSE, pause * 2)
        except NotFoundError:
            tell(f"pod {name} was deleted; its log ends here")
            return
        await asyncio.sleep(pause)


async def _lines(
    cluster: Cluster, pod: str, *, follow: bool, since: str, tail: int | None
) -> AsyncIterator[tuple[str, str]]:
    """Yield (time, text) of each line after the time ``since``."""
    query = {"container": STEP_CONTAINER, "timestamps": "true"}
    query |= {"follow": "true"} if follow else {}
    query |= {"sinceTime": f"{since[:19]}Z"} if since.endswith("Z") else {}
    query |= {"tailLines": str(tail)} if tail is not None and not since else {}
    path = PODS.path(cluster.namespace, pod, "log")
    quiet = None if follow else QUIET_SECONDS
    async with cluster.client.stream(PODS, path, query, quiet_seconds=quiet) as content:
        rest = b""
        async for chunk in content.iter_any():
            *lines, rest = (rest + chunk).split(b"\n")
            for line in lines:
                stamp, _, text = line.decode(errors="replace").partition(" ")
                if not since or stamp > since:
                    yield stamp, text
        if rest:
            stamp, _, text = rest.decode(errors="replace").partition(" ")
            if not since or stamp > since:
                yield stamp, text


async def _started(cluster: Cluster, pod: Object, step: str, tell: Tell) -> Object:
    """Wait until a pod has something to say; tell why it has not."""
    told = ""
    while not _has_begun(pod):
        why = _why(pod)
        if why != told:
            tell(f"{step} waits: {why}")
            told = why
        await asyncio.sleep(POLL_SECONDS)
        try:
            pod = await cluster.client.get(PODS, cluster.namespace, pod["metadata"]["name"])
        except NotFoundError:
            raise NoInputError(
                f"pod {pod['metadata']['name']} was deleted before it started; autosel logs follows its successor"
            ) from None
        except ServerUnavailableError as error:
            tell(f"{explained(error, cluster.server)}; trying again")
    return pod


async def _ended(cluster: Cluster, name: str) -> bool:
    try:
        pod = await cluster.client.get(PODS, cluster.namespace, name)
    except NotFoundError:
        return True
    return terminated(pod) is not None or (pod.get("status") or {}).get("phase") in ("Succeeded", "Failed")


def _has_begun(pod: Object) -> bool:
    phase = (pod.get("status") or {}).get("phase")
    return phase in ("Succeeded", "Failed") or pod_waiting(pod) is None or terminated(pod) is not None


def _why(pod: Object) -> str:
    waiting = pod_waiting(pod)
    return "it is about to start" if waiting is None else f"{waiting.reason}: {waiting.message}"


def _numbers(search: str, uid: str, step: str, pods: Sequence[Object]) -> dict[int, list[Object]]:
    """Return the pods of a step by the number of their Job."""
    found: dict[int, list[Object]] = {}
    for pod in pods:
        labels: dict[str, Any] = pod["metadata"].get("labels") or {}
        number = str(labels.get(names.ATTEMPT, ""))
        job = labels.get(JOB_NAME)
        if number.isdecimal() and job == names.job_name(search, uid, step, int(number)):
            found.setdefault(int(number), []).append(pod)
    return found


def _gone(snapshot: Snapshot, step: str, number: int) -> str:
    result = snapshot.observed.steps[step]
    if result.state == "running":
        return f"{step} has no pod yet; autosel describe {snapshot.name} says what it waits for"
    outcome = "it succeeded" if result.state == "succeeded" else f"it failed: {result.reason}"
    return (
        f"the pod of {step} (Job {number}) is gone and its log with it: the cluster keeps finished Jobs for an hour "
        f"unless the operator is told otherwise; {outcome}. A log collector of the cluster, if there is one, has it "
        f"under the label {names.SEARCH}={snapshot.name}"
    )


def _unreadable(error: ApiError, pod: str, server: str) -> Exception:
    if isinstance(error, InvalidObjectError):
        return TransientError(f"pod {pod} has no log yet: {error}")
    return TransientError(f"the node of pod {pod} does not give its log: {explained(error, server)}")
