"""Searches in a simulated cluster: the real controller passes on a fake API server, steps that answer by script."""

import copy
import json
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import dataclass, field
from typing import Any

from controller.kube.errors import ApiError
from controller.kube.kinds import CONFIG_MAPS, JOBS, PODS, SEARCHES
from controller.kube.observe import Key
from controller.kube.passes import Done, Settings, reconcile_search
from controller.kube.settings import JobSettings
from tests.controller.world import search
from tests.kube.fake_api import FakeApi, Fault, Killed, timestamp
from tests.kube.kubelet import Steps, document_of, pod_of, pod_status, shard_of

KEY = Key(namespace="ml", name="simulated")
TINY = {
    "budget": {"evaluations": 1},
    "baselines": {"untuned": False, "full_pool": False, "random_subset": False},
}
SMALL = {"budget": {"evaluations": 2}, "parallelism": 2, "baselines": {"untuned": False}}
SETTINGS = Settings(jobs=JobSettings(image="step:1"), job_ttl_seconds=3600)


def drive(*passes: Coroutine[Any, Any, Any], choose: Callable[[int], int] = lambda count: 0) -> list[Any]:
    """Run passes to their ends, switching between them at every call; errors are returned like results."""
    results: list[Any] = [None] * len(passes)
    alive = list(range(len(passes)))
    while alive:
        index = alive[choose(len(alive))]
        try:
            passes[index].send(None)
        except StopIteration as stop:
            results[index] = stop.value
            alive.remove(index)
        except (ApiError, Killed) as error:
            results[index] = error
            alive.remove(index)
    return results


def do(call: Coroutine[Any, Any, Any]) -> Any:
    """Make one call that must succeed."""
    result = drive(call)[0]
    if isinstance(result, BaseException):
        raise result
    return result


@dataclass(kw_only=True)
class Cluster:
    """One search in a cluster."""

    api: FakeApi = field(default_factory=FakeApi)
    steps: Steps = field(default_factory=Steps)
    settings: Settings = SETTINGS
    last: Any = None

    def create(self, **spec: Any) -> None:
        """Create the search."""
        body = search(**{"storage": {"uri": "s3://bucket/p"}, **spec}).model_dump(
            mode="json", by_alias=True, exclude_none=True
        )
        do(self.api.create(SEARCHES, KEY.namespace, body))

    def edit(self, **spec: Any) -> None:
        """Change the search as its user."""
        do(self.api.patch(SEARCHES, KEY.namespace, KEY.name, {"spec": spec}))

    def fork(self) -> "Cluster":
        """An independent copy of everything."""
        other = copy.copy(self)
        other.api = copy.copy(self.api)
        for name in ("objects", "created", "calls"):
            setattr(other.api, name, copy.copy(getattr(self.api, name)))
        other.steps = copy.copy(self.steps)
        other.steps.artifacts, other.steps.done = dict(self.steps.artifacts), list(self.steps.done)
        other.steps.shards, other.steps.models = list(self.steps.shards), set(self.steps.models)
        return other

    def step(self) -> Any:
        """One pass of the controller; returns what it returned or raised."""
        self.last = drive(reconcile_search(self.api, KEY, self.settings))[0]
        return self.last

    def settle(self, *, limit: int = 20) -> None:
        """Make passes until one changes nothing: all is done that can be done now."""
        for _ in range(limit):
            before = self.api.version
            self.step()
            self.api.collect_garbage()
            if self.api.version == before and (self.last is None or isinstance(self.last, Done)):
                return
        raise AssertionError(f"passes keep changing things: {self.api.calls[-10:]} {self.last}")

    def running(self) -> list[dict[str, Any]]:
        """Jobs that have not ended."""
        return [job for job in self.api.find(JOBS) if not (job.get("status") or {}).get("conditions")]

    def finish(self, job: dict[str, Any]) -> None:
        """Let the step of a Job run and end, in all its pods."""
        name = job["metadata"]["name"]
        document = document_of(self.api.objects[CONFIG_MAPS.plural, KEY.namespace, name])
        self.api.clock += 1.0
        time = timestamp(self.api.clock)
        codes: list[int] = []
        for index in range(job["spec"]["completions"]):
            indexed = job["spec"]["completionMode"] == "Indexed"
            pod = pod_of(job, name=f"{name}-{index}", index=index if indexed else None)
            code, message = self.steps.run(document, shard=shard_of(pod))
            codes.append(code)
            do(self.api.create(PODS, KEY.namespace, pod))
            do(
                self.api.patch(
                    PODS,
                    KEY.namespace,
                    pod["metadata"]["name"],
                    {"status": pod_status(code, message, time)},
                    "status",
                )
            )
        code = next((code for code in codes if code != 0), 0)
        end = {
            "type": "Complete" if code == 0 else "Failed",
            "status": "True",
            "lastTransitionTime": time,
            "reason": "Done" if code == 0 else "BackoffLimitExceeded",
        }
        status = {"conditions": [end], "startTime": time} | ({"completionTime": time} if code == 0 else {})
        do(self.api.patch(JOBS, KEY.namespace, name, {"status": status}, "status"))

    def advance(self) -> bool:
        """Let the world move: one running Job ends, or time passes until the controller looks again."""
        jobs = self.running()
        if jobs:
            self.finish(jobs[0])
            return True
        wait = self.last.requeue_after if isinstance(self.last, Done) else None
        self.api.clock += wait or 0.0
        return wait is not None

    def run(self, *, limit: int = 500) -> None:
        """Run the search until nothing more happens."""
        for _ in range(limit):
            self.settle()
            if not self.advance():
                return
        raise AssertionError(f"no end in sight: {self.condition('Ready')}")

    @property
    def search(self) -> dict[str, Any]:
        """The search's object."""
        return self.api.objects[SEARCHES.plural, KEY.namespace, KEY.name]

    def condition(self, kind: str) -> dict[str, Any]:
        """A condition of the search."""
        return next(entry for entry in self.search["status"]["conditions"] if entry["type"] == kind)

    def started(self) -> list[str]:
        """Names of all Jobs ever created, in order of name."""
        return sorted(item["metadata"]["name"] for item in self.api.created if item["kind"] == "Job")

    def picture(self) -> dict[str, Any]:
        """All objects but events, with UIDs told as names and without versions: what two runs are compared by."""
        objects = {
            "/".join(reference): item
            for reference, item in self.api.objects.items()
            if reference[0] != "events"
        }
        text = json.dumps(objects, sort_keys=True)
        for item in self.api.created:
            metadata = item["metadata"]
            text = text.replace(metadata["uid"], f"uid of {item['kind']} {metadata['name']}")
        picture = json.loads(text)
        for item in picture.values():
            item["metadata"].pop("resourceVersion")
        return picture


def searched(**spec: Any) -> Cluster:
    """A small search that has ended undisturbed."""
    cluster = Cluster()
    cluster.create(**{**SMALL, **spec})
    cluster.run()
    return cluster


def moments(cluster: Cluster) -> Iterator[tuple[Cluster, Cluster]]:
    """All moments of a search: the world just before the controller looks, and the same after it has done all."""
    for _ in range(500):
        before = cluster.fork()
        cluster.settle()
        yield before, cluster
        if not cluster.advance():
            return
    raise AssertionError("no end in sight")


def disturb_every_call(cluster: Cluster, fault: Fault) -> int:
    """Play a search to its end, and from each of its moments once more for every call, with ``fault`` at that call.

    Asserts that the world is the same afterwards. Returns how many calls were disturbed.
    """
    disturbed_calls = 0
    for before, after in moments(cluster):
        for number in range(len(before.api.calls), len(after.api.calls)):
            # After a read, or with its answer lost, is the same moment as before the next call.
            if fault != "kill_before" and not after.api.calls[number].writes:
                continue
            disturbed = before.fork()
            disturbed.api.fault = lambda call, number=number: fault if call.number == number else None
            disturbed.settle()
            disturbed_calls += 1
            assert disturbed.picture() == after.picture(), f"call {number}: {disturbed.api.calls[number]}"
            assert disturbed.started() == after.started()
    return disturbed_calls


def halfway(**spec: Any) -> Cluster:
    """A search whose first trials are on their way."""
    cluster = Cluster()
    cluster.create(**{**SMALL, **spec})
    for _ in range(200):
        cluster.settle()
        if any(".train" in str(job["metadata"]["annotations"]) for job in cluster.running()):
            return cluster
        assert cluster.advance()
    raise AssertionError("no training began")
