"""The operator as a child process, and a thread that stands in for nodes, against a real API server."""

import asyncio
import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from prometheus_client.parser import text_string_to_metric_families

from controller.kube.auth import from_kubeconfig
from controller.kube.client import Client, open_client
from controller.kube.errors import ApiError
from controller.kube.kinds import CONFIG_MAPS, JOBS, PODS
from controller.kube.rate import RateLimit
from tests.controller.world import search
from tests.kube.fake_api import timestamp
from tests.kube.kubelet import Steps, document_of, pod_status, shard_of
from tests.kube.plane import Plane, until

ROOT = Path(__file__).parents[2]


@dataclass(kw_only=True)
class Kubelet:
    """Ends the pods of a namespace's Jobs by script, in a thread. ``hold`` says which Jobs it leaves running."""

    plane: Plane
    namespace: str
    steps: Steps = field(default_factory=Steps)
    hold: Callable[[str], bool] = lambda job: False
    jobs_seen: set[str] = field(default_factory=set)
    _stop: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    def __enter__(self) -> "Kubelet":
        self._thread = threading.Thread(target=lambda: asyncio.run(self._play()), daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        assert self._thread is not None
        self._thread.join(timeout=10)

    async def _play(self) -> None:
        access = from_kubeconfig([self.plane.kubeconfig])
        async with open_client(access, limit=RateLimit(per_second=500, burst=500)) as client:
            while not self._stop.is_set():
                with contextlib.suppress(
                    ApiError
                ):  # a Job was deleted under our hands: the next look sees what is
                    await self._look(client)
                await asyncio.sleep(0.05)

    async def _look(self, client: Client) -> None:
        for pod in (await client.list(PODS, self.namespace, {"batch.kubernetes.io/job-name": ""})).items:
            job = pod["metadata"]["labels"]["batch.kubernetes.io/job-name"]
            self.jobs_seen.add(job)
            if (pod.get("status") or {}).get("phase") != "Pending" or self.hold(job):
                continue
            document = document_of(await client.get(CONFIG_MAPS, self.namespace, job))
            code, message = self.steps.run(document, shard=shard_of(pod))
            status = pod_status(code, message, timestamp(time.time()))
            await client.patch(PODS, self.namespace, pod["metadata"]["name"], {"status": status}, "status")


@dataclass(kw_only=True)
class OperatorProcess:
    """``python -m controller`` for one namespace."""

    plane: Plane
    namespace: str
    folder: Path
    identity: str = "only"
    options: tuple[str, ...] = ()
    program: tuple[str, ...] = ("-m", "controller")
    process: "subprocess.Popen[bytes] | None" = None

    def start(self) -> "OperatorProcess":
        """Start the process; its log lines go to a file."""
        log = (self.folder / f"{self.identity}.log").open("ab")
        self.process = subprocess.Popen(
            [
                sys.executable,
                *self.program,
                f"--kubeconfig={self.plane.kubeconfig}",
                f"--namespaces={self.namespace}",
                f"--lease-namespace={self.namespace}",
                "--image=step:1",
                "--storage-uri=s3://bucket/p",
                f"--identity={self.identity}",
                "--port=0",
                "--qps=300",
                "--burst=600",
                "--resync-seconds=2",
                *self.options,
            ],
            cwd=ROOT,
            stderr=log,
            stdout=log,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )
        return self

    def __enter__(self) -> "OperatorProcess":
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.kill()

    def kill(self) -> None:
        """End the process as a power cut would."""
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait()

    def terminate(self) -> int:
        """Ask the process to end, for which pods get 30 s; return its exit code."""
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=30)

    def log(self) -> str:
        """All log lines."""
        return (self.folder / f"{self.identity}.log").read_text()

    def probe(self, path: str) -> tuple[int, str]:
        """Ask for a page of the process; return the status and the text."""
        port = re.findall(r"served on port (\d+)", self.log())[-1]
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=30) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    def ready(self) -> bool:
        """Whether the process holds the lease and has listed the searches."""
        return self.probe("/readyz")[0] == 200

    def writes(self, *, after: float = 0.0) -> float:
        """Return how many calls so far have changed something, or tried to, not counting the lease."""
        time.sleep(after)
        return sum(
            sample.value
            for sample in self._samples("autosel_api_seconds_count")
            if sample.labels["verb"] in ("create", "patch", "delete")
            and sample.labels["resource"] != "leases"
        )

    def looks(self) -> float:
        """Return how many times so far a search has been looked at."""
        return sum(sample.value for sample in self._samples("autosel_reconcile_seconds_count"))

    def _samples(self, name: str) -> list[Any]:
        families = text_string_to_metric_families(self.probe("/metrics")[1])
        return [sample for family in families for sample in family.samples if sample.name == name]

    def leads(self) -> bool:
        """Whether the process has taken the lease."""
        return " leads" in self.log()


@dataclass(kw_only=True)
class Bench:
    """One namespace with one search."""

    plane: Plane
    namespace: str
    folder: Path

    def operator(self, identity: str = "only", *options: str) -> OperatorProcess:
        """An operator that is not started yet."""
        return OperatorProcess(
            plane=self.plane,
            namespace=self.namespace,
            folder=self.folder,
            identity=identity,
            options=options,
        )

    def kubelet(self, **options: Any) -> Kubelet:
        """Something that ends pods."""
        return Kubelet(plane=self.plane, namespace=self.namespace, **options)

    def create(self, **spec: Any) -> None:
        """Create the search."""
        small = {"budget": {"evaluations": 2}, "parallelism": 2, "baselines": {"untuned": False}}
        body = search(**{**small, **spec}).model_dump(mode="json", by_alias=True, exclude_none=True)
        body["metadata"] = {"name": "simulated", "namespace": self.namespace}
        self.plane.apply(body)

    def patch(self, spec: dict[str, Any]) -> "subprocess.CompletedProcess[str]":
        """Change the search as its user."""
        return self.plane.kubectl(
            "-n",
            self.namespace,
            "patch",
            "rsearch",
            "simulated",
            "--type=merge",
            "-p",
            json.dumps({"spec": spec}),
        )

    def search(self) -> dict[str, Any]:
        """The search's object."""
        return self.plane.get("-n", self.namespace, "rsearch", "simulated")

    def all(self, kind: str) -> list[dict[str, Any]]:
        """All objects of a kind."""
        return self.plane.get("-n", self.namespace, kind)["items"]

    def delete(self, kind: str, name: str) -> None:
        """Delete an object by hand."""
        self.plane.must("-n", self.namespace, "delete", kind, name, "--wait=false")

    def condition(self, kind: str) -> dict[str, Any]:
        """A condition of the search; empty before the first status."""
        entries = (self.search().get("status") or {}).get("conditions") or []
        return next((entry for entry in entries if entry["type"] == kind), {})

    def succeeded(self) -> bool:
        """Whether the search has ended well for the spec that it has now."""
        item, condition = self.search(), self.condition("Succeeded")
        return (condition.get("status"), condition.get("observedGeneration")) == (
            "True",
            item["metadata"]["generation"],
        )

    def wait_for_end(self, seconds: float = 300.0) -> dict[str, Any]:
        """Wait for the search's good end and return its object."""
        until(self.succeeded, what="the search succeeds", seconds=seconds)
        return self.search()

    def jobs(self) -> list[str]:
        """Names of the Jobs that exist."""
        return sorted(job["metadata"]["name"] for job in self.all(JOBS.plural))


@contextlib.contextmanager
def in_namespace(plane: Plane, namespace: str, folder: Path) -> Iterator[Bench]:
    """Give a bench a namespace of its own, which goes at the end."""
    plane.must("create", "namespace", namespace)
    yield Bench(plane=plane, namespace=namespace, folder=folder)
    plane.kubectl("delete", "namespace", namespace, "--wait=false")


def operator_of_both(one: Bench, other: Bench) -> OperatorProcess:
    """One operator for two namespaces, its lease in the second; not started yet."""
    both = f"--namespaces={one.namespace},{other.namespace}"
    return one.operator("both", both, f"--lease-namespace={other.namespace}")
