"""A real API server with autosel's definitions, with its Job controller and garbage collection but without nodes.

Where it comes from: tests.control_plane. It is always one of the tests' own, since they stand in for nodes: ``Kubelet``
in tests.kube.operating runs the pods of Jobs by script.
"""

import json
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from autosel_runtime.api.crd import crds_yaml
from tests.control_plane import control_plane, kubectl_program

Object = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Plane:
    """A control plane: its kubeconfig and how to talk to it."""

    kubeconfig: Path
    program: str

    def kubectl(self, *arguments: str, text: str | None = None) -> "subprocess.CompletedProcess[str]":
        """Run kubectl."""
        return subprocess.run(
            [self.program, f"--kubeconfig={self.kubeconfig}", *arguments],
            input=text,
            capture_output=True,
            text=True,
            timeout=120,  # the machine may be busy
        )

    def must(self, *arguments: str, text: str | None = None) -> str:
        """Run kubectl, which must succeed; return what it prints."""
        done = self.kubectl(*arguments, text=text)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def get(self, *arguments: str) -> Object:
        """Return one object or a list as JSON."""
        return json.loads(self.must("get", *arguments, "-o", "json"))

    def apply(self, *objects: Object) -> None:
        """Create or change objects."""
        for item in objects:
            self.must("apply", "-f", "-", text=json.dumps(item))


def start_plane(folder: Path, *, controllers: bool = True) -> Iterator[Plane]:
    """Start a control plane with autosel's definitions; for a fixture. Skips the test when there is none to start."""
    with control_plane(folder, controllers=controllers) as kubeconfig:
        plane = Plane(kubeconfig=kubeconfig, program=kubectl_program())
        plane.must("apply", "--server-side", "-f", "-", text=crds_yaml())
        for name in ("recipesearches", "recipetrials"):
            plane.must("wait", "--for=condition=Established", f"crd/{name}.autosel.dev", "--timeout=60s")
        until(
            lambda: plane.kubectl("get", "recipesearches,recipetrials", "-A").returncode == 0,
            what="the definitions are served, a moment after they are established",
        )
        yield plane


@pytest.fixture(scope="session")
def plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Plane]:
    """One control plane for all tests of a session; tests keep apart by namespaces."""
    yield from start_plane(tmp_path_factory.mktemp("plane"))


def until(condition: Callable[[], Any], *, what: str, seconds: float = 180.0) -> Any:
    """Wait until ``condition()`` is true and return it; it is asked about ten times a second.

    ``seconds`` are for a machine that is busy with other things: nothing that is right waits for their end.
    """
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        found = condition()
        if found:
            return found
        time.sleep(0.1)
    raise AssertionError(f"not within {seconds:.0f} s: {what}")
