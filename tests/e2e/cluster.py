"""kubectl and helm against the one cluster that was named, and waiting for what they show."""

import json
import subprocess
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from tests.e2e.checks import CheckError

T = TypeVar("T")
Object = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Cluster:
    """A cluster. ``context`` is given explicitly, or None inside a node script, which made the cluster itself.

    ``kubeconfig`` is the file that has the context, None for the one that kubectl and helm find themselves.
    """

    kubectl: str
    helm_program: str
    context: str | None
    kubeconfig: str | None = None

    def run(self, *arguments: str, text: str | None = None) -> str:
        """Return what kubectl prints; it has to succeed."""
        context = [f"--context={self.context}"] if self.context else []
        return _run([self.kubectl, *self._file(), *context, *arguments], text)

    def helm(self, *arguments: str) -> str:
        """Return what helm prints; it has to succeed."""
        context = [f"--kube-context={self.context}"] if self.context else []
        return _run([self.helm_program, *self._file(), *context, *arguments], None)

    def get(self, *arguments: str) -> Object:
        """Return an object or a list of objects."""
        return json.loads(self.run("get", *arguments, "-o", "json"))

    def items(self, *arguments: str) -> list[Object]:
        """Return the objects of a list."""
        return self.get(*arguments)["items"]

    def apply(self, *objects: Mapping[str, Any]) -> None:
        """Create or change objects."""
        listed = {"apiVersion": "v1", "kind": "List", "items": list(objects)}
        self.run("apply", "-f", "-", text=json.dumps(listed))

    def _file(self) -> list[str]:
        return [f"--kubeconfig={self.kubeconfig}"] if self.kubeconfig else []


@dataclass(frozen=True, kw_only=True)
class Search:
    """One search in a cluster."""

    cluster: Cluster
    namespace: str
    name: str

    def read(self) -> Object:
        """Return the object."""
        return self.cluster.get("recipesearch", self.name, "-n", self.namespace)

    def patch(self, spec: Mapping[str, Any]) -> None:
        """Change a part of the specification."""
        self.cluster.run(
            "patch", "recipesearch", self.name, "-n", self.namespace, "--type=merge",
            "-p", json.dumps({"spec": spec}),
        )  # fmt: skip

    def wait(self, condition: str, seconds: int) -> None:
        """Wait for a condition as a user would."""
        try:
            self.cluster.run(
                "wait", f"--for=condition={condition}", f"recipesearch/{self.name}", "-n", self.namespace,
                f"--timeout={seconds}s",
            )  # fmt: skip
        except CheckError as error:
            raise CheckError(f"{error}; {self.words()}") from error

    def words(self) -> str:
        """Say how the search stands, for a failed check."""
        status = self.read().get("status") or {}
        states = [
            f"{c['type']}={c['status']} ({c.get('message', '')[:300]})" for c in status.get("conditions", [])
        ]
        return f"progress {status.get('progress')}; {'; '.join(states)}"

    def evaluations(self) -> int:
        """Return the evaluations that have been paid so far."""
        return ((self.read().get("status") or {}).get("progress") or {}).get("evaluations", 0)

    def trials(self) -> list[Object]:
        """Return its trials."""
        return self.cluster.items(
            "recipetrials", "-n", self.namespace, "-l", f"autosel.dev/search={self.name}"
        )

    def jobs(self, step: str | None = None) -> list[Object]:
        """Return its Jobs, all or those of one kind of step."""
        return self.cluster.items("jobs", "-n", self.namespace, "-l", self._labels(step))

    def pods(self, step: str | None = None, phase: str = "Running") -> list[Object]:
        """Return its pods of a phase that nobody has deleted."""
        found = self.cluster.items("pods", "-n", self.namespace, "-l", self._labels(step))
        return [
            pod
            for pod in found
            if pod["status"].get("phase") == phase and "deletionTimestamp" not in pod["metadata"]
        ]

    def records(self) -> list[tuple[str, Object]]:
        """Return the recorded outcomes of all steps, each with the name of its owner."""
        owners = [self.read(), *self.trials()]
        return [
            (owner["metadata"]["name"], record)
            for owner in owners
            for record in (owner.get("status") or {}).get("steps", [])
        ]

    def until(self, look: Callable[[], T], *, what: str, seconds: float = 400.0, every: float = 0.5) -> T:
        """Return the first true answer of ``look``; CheckError when the search stalls or none comes in time."""

        def watched() -> T:
            found = look()
            if not found and self._is_stalled():
                raise CheckError(f"the search has stalled: {self.words()}")
            return found

        return until(watched, what=f"{what}; {self.words()}", seconds=seconds, every=every)

    def _is_stalled(self) -> bool:
        conditions = (self.read().get("status") or {}).get("conditions") or []
        return any(entry["type"] == "Stalled" and entry["status"] == "True" for entry in conditions)

    def _labels(self, step: str | None) -> str:
        return f"autosel.dev/search={self.name}" + (f",autosel.dev/step={step}" if step else "")


def until(look: Callable[[], T], *, what: str, seconds: float, every: float = 0.5) -> T:
    """Return the first true answer of ``look``; CheckError when there is none in time."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        found = look()
        if found:
            return found
        time.sleep(every)
    raise CheckError(f"not within {seconds:.0f} s: {what}")


def _run(command: list[str], text: str | None) -> str:
    done = subprocess.run(command, input=text, capture_output=True, text=True)
    if done.returncode != 0:
        raise CheckError(f"{' '.join(command)[:300]}: {done.stderr.strip()[-1500:]}")
    return done.stdout
