"""Helm and a control plane of the tests' own for the tests of the chart, from where tests.control_plane finds them."""

import json
import ssl
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.control_plane import control_plane, helm_program, kubectl_program
from tests.kube.plane import until

ROOT = Path(__file__).parents[2]
CHART = ROOT / "charts" / "autosel"
DEFINITIONS = ("recipesearches.autosel.dev", "recipetrials.autosel.dev")
PATIENCE = 120.0  # seconds for what a controller does in a moment, on a machine that has other things to do


@dataclass(frozen=True, kw_only=True)
class Program:
    """A program and the arguments that every call of it gets."""

    command: tuple[str, ...]

    def __call__(self, *arguments: str, text: str | None = None) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [*self.command, *arguments], input=text, capture_output=True, text=True, timeout=180
        )

    def ok(self, *arguments: str, text: str | None = None) -> str:
        """Return what the call prints; it has to succeed."""
        done = self(*arguments, text=text)
        assert done.returncode == 0, f"{arguments}: {done.stderr}"
        return done.stdout


@dataclass(frozen=True, kw_only=True)
class Cluster:
    """A control plane and the programs that talk to it as its administrator."""

    kubectl: Program
    helm: Program

    def call_as(self, token: str, method: str, path: str, body: Any = None) -> tuple[int, dict[str, Any]]:
        """Make one call to the API server with a token; return status and answer.

        kubectl would ask for much more than the call that is meant.
        """
        config = yaml.safe_load(Path(self.kubectl.command[1].removeprefix("--kubeconfig=")).read_text())
        place = config["clusters"][0]["cluster"]
        kind = "application/merge-patch+json" if method == "PATCH" else "application/json"
        request = urllib.request.Request(
            place["server"] + path,
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Authorization": f"Bearer {token}", "Content-Type": kind},
        )
        tls = ssl.create_default_context(cafile=place["certificate-authority"])
        try:
            with urllib.request.urlopen(request, context=tls, timeout=30) as answer:
                return answer.status, json.load(answer)
        except urllib.error.HTTPError as error:
            return error.code, json.load(error)

    def namespace(self, name: str) -> None:
        """Make a namespace unless it is there, and wait for the service account that its pods have.

        An API server refuses pods until the controller manager has made it.
        """
        self.kubectl("create", "namespace", name)
        self.kubectl.ok(
            "wait", "--for=create", "serviceaccount/default", "-n", name, f"--timeout={PATIENCE:.0f}s"
        )

    def serves(self, *definitions: str) -> None:
        """Wait until definitions are served, which is a moment after they are established."""
        names = [f"crd/{name}" for name in definitions]
        self.kubectl.ok("wait", "--for=condition=Established", *names, f"--timeout={PATIENCE:.0f}s")
        until(
            lambda: self.kubectl("get", ",".join(definitions), "-A").returncode == 0,
            what=f"{' and '.join(definitions)} are served",
            seconds=PATIENCE,
        )

    def objects(self, *arguments: str) -> list[dict[str, Any]]:
        """Return the objects that ``kubectl get`` finds."""
        return yaml.safe_load(self.kubectl.ok("get", *arguments, "-o", "yaml"))["items"]


@pytest.fixture(scope="session")
def helm() -> Program:
    return Program(command=(helm_program(),))


@pytest.fixture(scope="session")
def cluster(helm: Program, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with control_plane(tmp_path_factory.mktemp("plane"), controllers=True) as kubeconfig:
        config = f"--kubeconfig={kubeconfig}"
        yield Cluster(
            kubectl=Program(command=(kubectl_program(), config)),
            helm=Program(command=(*helm.command, config)),
        )


def render(helm: Program, *arguments: str) -> list[dict[str, Any]]:
    """Return the objects of the rendered chart."""
    text = helm.ok("template", "trial", str(CHART), "--namespace", "ml-system", *arguments)
    return [item for item in yaml.safe_load_all(text) if item]
