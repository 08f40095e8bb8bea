"""A real API server for tests, with its Job controller and garbage collection but without nodes.

Runs when AUTOSEL_TEST_CONTROL_PLANE names a script that, given a new folder, starts a control plane and writes
``kubeconfig`` and ``pids`` there. ``kubectl`` comes from AUTOSEL_TEST_KUBECTL or the path. Without them the tests are
skipped with a sentence that says so. ``playing_kubelet`` stands in for nodes: it runs the pods of Jobs by script.
"""

import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from autosel_runtime.api.crd import crds_yaml

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
            timeout=60,
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


def start_plane(folder: Path) -> Iterator[Plane]:
    """Start a control plane with autosel's definitions; for a fixture. Skips the test when there is none to start."""
    script = os.environ.get("AUTOSEL_TEST_CONTROL_PLANE")
    program = os.environ.get("AUTOSEL_TEST_KUBECTL") or shutil.which("kubectl")
    if script is None or program is None:
        pytest.skip(
            "no API server: set AUTOSEL_TEST_CONTROL_PLANE to a script that starts one, and AUTOSEL_TEST_KUBECTL"
        )
    subprocess.run(
        ["bash", script, str(folder)], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    pids = [int(line) for line in (folder / "pids").read_text().split()]
    try:
        plane = Plane(kubeconfig=folder / "kubeconfig", program=program)
        plane.must("apply", "--server-side", "-f", "-", text=crds_yaml())
        for name in ("recipesearches", "recipetrials"):
            plane.must("wait", "--for=condition=Established", f"crd/{name}.autosel.dev", "--timeout=30s")
        yield plane
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGKILL)  # its data is thrown away; asked nicely it would wait for etcd


@pytest.fixture(scope="session")
def plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Plane]:
    """One control plane for all tests of a session; tests keep apart by namespaces."""
    yield from start_plane(tmp_path_factory.mktemp("plane") / "cluster")


def until(condition: Callable[[], Any], *, what: str, seconds: float = 60.0) -> Any:
    """Wait until ``condition()`` is true and return it; it is asked about ten times a second."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        found = condition()
        if found:
            return found
        time.sleep(0.1)
    raise AssertionError(f"not within {seconds:.0f} s: {what}")
