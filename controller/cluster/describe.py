"""A search in a cluster described: read with its Jobs and pods as the operator would, and with its newest events."""

import time
from collections.abc import Iterable

from controller.cluster.connect import Cluster
from controller.cluster.find import get_search
from controller.cluster.logs import JOB_NAME
from controller.cluster.look import assemble
from controller.kube import names
from controller.kube.api import Object
from controller.kube.errors import ForbiddenError
from controller.kube.kinds import EVENTS, PODS
from controller.kube.observe import Key, Look, observe
from controller.kube.podstate import index_of, pod_waiting
from controller.kube.trials import search_of
from controller.views.describe import Description, Happening, Pod, description

MAX_EVENTS = 20


async def describe(cluster: Cluster) -> Description:
    """Read everything that belongs to the search and describe it."""
    search = await get_search(cluster)
    key = Key(namespace=cluster.namespace, name=cluster.name)
    seen = await observe(cluster.client, key, search, search_of(search))
    labels = names.search_labels(cluster.name, seen.uid)
    pods = (await cluster.client.list(PODS, cluster.namespace, labels)).items
    snapshot = assemble(search, seen.observed, seen.waits, now=time.time())
    return description(
        snapshot, pods=_pods_by_step(seen, pods), events=await _events(cluster, search, seen, pods)
    )


def _pods_by_step(seen: Look, pods: Iterable[Object]) -> dict[str, list[Pod]]:
    jobs = {job["metadata"]["name"]: step for (step, _), job in seen.jobs.items()}
    found: dict[str, list[Pod]] = {}
    for pod in sorted(pods, key=index_of):
        step = jobs.get((pod["metadata"].get("labels") or {}).get(JOB_NAME, ""))
        phase = (pod.get("status") or {}).get("phase")
        if step is None or phase in ("Succeeded", "Failed"):
            continue
        waiting = pod_waiting(pod)
        found.setdefault(step, []).append(
            Pod(
                name=pod["metadata"]["name"],
                node=(pod.get("spec") or {}).get("nodeName") or "",
                waits="" if waiting is None else f"{waiting.reason}: {waiting.message}",
            )
        )
    return found


async def _events(cluster: Cluster, search: Object, seen: Look, pods: Iterable[Object]) -> list[Happening]:
    """Return the newest events of the search and of what belongs to it; none to those who may not read events."""
    try:
        every = (await cluster.client.list(EVENTS, cluster.namespace)).items
    except ForbiddenError:
        return []
    uids = {item["metadata"]["uid"] for item in (search, *seen.trials.values(), *seen.jobs.values(), *pods)}
    own = [event for event in every if (event.get("involvedObject") or {}).get("uid") in uids]
    ordered = sorted(own, key=_when)[-MAX_EVENTS:]
    return [_happening(event) for event in ordered]


def _when(event: Object) -> tuple[str, str]:
    times = (event.get("lastTimestamp"), event.get("eventTime"), event["metadata"].get("creationTimestamp"))
    return str(next((time for time in times if time), "")), str(event["metadata"]["name"])


def _happening(event: Object) -> Happening:
    about = event["involvedObject"]
    return Happening(
        time=_when(event)[0],
        type=str(event.get("type") or "Normal"),
        reason=str(event.get("reason") or ""),
        object=f"{about.get('kind')}/{about.get('name')}",
        message=" ".join(str(event.get("message") or "").split()),
        count=int((event.get("series") or {}).get("count") or event.get("count") or 1),
    )
