"""Many small searches at once on a real API server, each with a controller of its own that a fault befalls."""

import asyncio
import contextlib
import json
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from controller.kube.client import Client
from controller.kube.errors import ApiError
from controller.kube.kinds import CONFIG_MAPS, JOBS, PODS, SEARCHES, TRIALS
from controller.kube.observe import Key
from controller.kube.passes import Settings, reconcile_search
from controller.kube.settings import JobSettings
from tests.controller.world import search
from tests.kube.fake_api import Killed, timestamp
from tests.kube.kubelet import Steps, document_of, pod_status
from tests.kube.plane import Plane
from tests.kube.simulation import TINY

SETTINGS = Settings(jobs=JobSettings(image="step:1"))
WRITES = frozenset({"create", "patch", "delete"})
NAME = "simulated"


@dataclass(kw_only=True)
class Dying:
    """An API whose user dies before or after write number ``at``."""

    api: Client
    at: int
    after: bool
    writes: int = 0

    def __getattr__(self, name: str) -> Any:
        """Pass everything on."""
        method = getattr(self.api, name)
        if name not in WRITES:
            return method

        async def call(*arguments: Any, **options: Any) -> Any:
            number, self.writes = self.writes, self.writes + 1
            if number == self.at and not self.after:
                raise Killed
            answer = await method(*arguments, **options)
            if number == self.at:
                raise Killed
            return answer

        return call


@dataclass(kw_only=True)
class World:
    """A namespace with a search, its steps, and what came of it."""

    namespace: str
    steps: Steps = field(default_factory=Steps)
    jobs_seen: set[str] = field(default_factory=set[str])
    ended: bool = False
    deaths: int = 0


def create(plane: Plane, worlds: Mapping[str, World], **spec: Any) -> None:
    """Make the namespaces, and in each the same search."""
    body = search(**{**TINY, "storage": {"uri": "s3://bucket/p"}, "parallelism": 1, **spec}).model_dump(
        mode="json", by_alias=True, exclude_none=True
    )
    spaces = [{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}} for name in worlds]
    searches = [{**body, "metadata": {"name": NAME, "namespace": name}} for name in worlds]
    for items in (spaces, searches):
        plane.must("create", "-f", "-", text=json.dumps({"apiVersion": "v1", "kind": "List", "items": items}))


async def kubelet(client: Client, worlds: Mapping[str, World]) -> None:
    """End the pods of all worlds by script, for ever."""
    while True:
        for pod in (await client.list(PODS, None, {"batch.kubernetes.io/job-name": ""})).items:
            world = worlds.get(pod["metadata"]["namespace"])
            if world is None:
                continue
            job = pod["metadata"]["labels"]["batch.kubernetes.io/job-name"]
            world.jobs_seen.add(job)
            if (pod.get("status") or {}).get("phase") != "Pending":
                continue
            with contextlib.suppress(ApiError):  # its Job was deleted meanwhile
                document = document_of(await client.get(CONFIG_MAPS, world.namespace, job))
                status = pod_status(*world.steps.run(document), timestamp(time.time()))
                name = pod["metadata"]["name"]
                await client.patch(PODS, world.namespace, name, {"status": status}, "status")
        await asyncio.sleep(0.1)


async def control(api: Any, world: World, *, pause: float = 0.3) -> None:
    """Make passes as a controller does until the search has ended; a pass that fails or dies is made again."""
    key = Key(namespace=world.namespace, name=NAME)
    while not world.ended:
        try:
            done = await reconcile_search(api, key, SETTINGS)
            world.ended = done is not None and done.state is not None and done.state.finished
        except ApiError:
            pass
        except Killed:
            world.deaths += 1
        await asyncio.sleep(pause)


async def picture(client: Client, world: World) -> dict[str, Any]:
    """What two runs are compared by."""
    found = await client.get(SEARCHES, world.namespace, NAME)
    trials = (await client.list(TRIALS, world.namespace)).items
    jobs = (await client.list(JOBS, world.namespace)).items
    documents = (await client.list(CONFIG_MAPS, world.namespace)).items
    status = found["status"]
    return {
        "best": status["best"],
        "progress": status["progress"],
        "usage": status["usage"],
        "conditions": {entry["type"]: (entry["status"], entry["reason"]) for entry in status["conditions"]},
        "trials": {
            item["metadata"]["name"]: (
                item["spec"],
                item["status"]["state"],
                item["status"].get("score"),
                [(record["name"], record["attempt"]) for record in item["status"]["steps"]],
            )
            for item in trials
        },
        "jobs": sorted(plain(job["metadata"]["name"]) for job in jobs),
        "kept": {job["spec"].get("ttlSecondsAfterFinished", 0) >= 3600 for job in jobs},
        "documents": [
            item["metadata"]["name"] for item in documents if item["metadata"]["name"].startswith(NAME)
        ],
        "seen": sorted(plain(name) for name in world.jobs_seen),
        "done": sorted((re.sub("^report-.*", "report", name), number) for name, number in world.steps.done),
    }


def plain(name: str) -> str:
    """A Job's name without the hash of its search's UID and without that of a report."""
    return re.sub(r"-report-.*", "-report", re.sub(r"^simulated-[0-9a-f]{6}-", "", name))
