"""A real API server for tests, from the first of these sources that is set and can give what a suite needs:

AUTOSEL_TEST_CONTEXT with AUTOSEL_TEST_KUBECONFIG: a cluster that is there, only for suites that keep to a namespace;
KUBEBUILDER_ASSETS: a folder with etcd and kube-apiserver, as setup-envtest makes it; AUTOSEL_TEST_CONTROL_PLANE: a
script that, given a new folder, starts a control plane and writes ``kubeconfig`` and ``pids`` there. Without any of
them tests are skipped with a sentence.
"""

import contextlib
import os
import shutil
import signal
import subprocess
from collections.abc import Callable, Generator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path

import pytest

from tests.existing_cluster import existing_cluster
from tests.kube_programs import StartError, kube_programs, tail

TRIES = 3
SCRIPT_SECONDS = 180
Source = Callable[[Path], AbstractContextManager[Path]]


@contextmanager
def control_plane(folder: Path, *, controllers: bool, existing: bool = False) -> Generator[Path]:
    """Give the kubeconfig of an API server while the block runs; what was started for it lies in ``folder``.

    ``controllers``: Jobs, garbage collection and service accounts have to work. ``existing``: the tests keep to the
    namespace of the kubeconfig, so that they may run in somebody's cluster, where they get a new namespace.
    """
    kubectl = kubectl_program()
    named = os.environ.get("AUTOSEL_TEST_CONTEXT"), os.environ.get("AUTOSEL_TEST_KUBECONFIG")
    if existing and named[0] and named[1]:
        folder.mkdir(parents=True, exist_ok=True)
        with existing_cluster(folder, kubectl, context=named[0], kubeconfig=named[1]) as kubeconfig:
            yield kubeconfig
        return
    source = _source(controllers)
    with ExitStack() as running:
        yield _started(running, source, folder, kubectl if controllers else None)


def kubectl_program() -> str:
    """Return the path of kubectl; skip the test when there is none."""
    return _program("kubectl")


def helm_program() -> str:
    """Return the path of Helm; skip the test when there is none."""
    return _program("helm")


def _program(name: str) -> str:
    variable, assets = f"AUTOSEL_TEST_{name.upper()}", os.environ.get("KUBEBUILDER_ASSETS")
    beside = shutil.which(name, path=assets) if assets else None
    program = os.environ.get(variable) or beside or shutil.which(name)
    if program is None:
        pytest.skip(f"no {name}: set {variable}, or put it on the path")
    return program


def _source(controllers: bool) -> Source:
    """Choose what to start; skip the test when nothing can be started that has what it needs."""
    assets, script = os.environ.get("KUBEBUILDER_ASSETS"), os.environ.get("AUTOSEL_TEST_CONTROL_PLANE")
    if assets and (not controllers or shutil.which("kube-controller-manager", path=assets)):
        return lambda folder: kube_programs(folder, Path(assets).resolve(), controllers=controllers)
    if script:
        return lambda folder: _by_script(folder, script)
    if assets:
        pytest.skip(f"no API server with controllers: {assets} has no kube-controller-manager")
    pytest.skip(
        "no API server of their own, which these tests need: set KUBEBUILDER_ASSETS to a folder with etcd, "
        "kube-apiserver and kube-controller-manager, or AUTOSEL_TEST_CONTROL_PLANE to a script that starts them"
    )


def _started(running: ExitStack, source: Source, folder: Path, kubectl: str | None) -> Path:
    """Start, and again in a new folder when that fails: another process may take a port that was free a moment ago."""
    failures: list[str] = []
    for number in range(1, TRIES + 1):
        try:
            with ExitStack() as attempt:
                kubeconfig = attempt.enter_context(source(folder / f"try-{number}"))
                if kubectl is not None:
                    _wait_for_controllers(kubectl, kubeconfig)
                running.push(attempt.pop_all())
                return kubeconfig
        except StartError as error:
            failures.append(str(error))
    raise StartError(f"no control plane in {TRIES} tries; the last: {failures[-1]}")


def _wait_for_controllers(kubectl: str, kubeconfig: Path) -> None:
    """Wait for what the controller manager makes in every namespace: it says nothing when it ends at its start."""
    done = subprocess.run(
        [kubectl, f"--kubeconfig={kubeconfig}", "--namespace=default", "wait", "--for=create",
         "serviceaccount/default", "--timeout=60s"],
        capture_output=True, text=True,
    )  # fmt: skip
    if done.returncode != 0:
        log = tail(kubeconfig.parent / "controller-manager.log")
        raise StartError(f"the controller manager does not work: {done.stderr.strip()}; its log ends: {log}")


@contextmanager
def _by_script(folder: Path, script: str) -> Generator[Path]:
    try:
        _run_script(folder, script)
        yield folder / "kubeconfig"
    finally:
        pids = folder / "pids"
        for line in pids.read_text().split() if pids.exists() else []:
            with contextlib.suppress(ProcessLookupError):
                os.kill(
                    int(line), signal.SIGKILL
                )  # its data is thrown away; asked nicely it would wait for etcd


def _run_script(folder: Path, script: str) -> None:
    folder.parent.mkdir(parents=True, exist_ok=True)
    said = folder.with_name(f"{folder.name}.stderr")  # a file: what the script starts may keep a pipe open
    try:
        with said.open("wb") as stderr:
            done = subprocess.run(
                ["bash", script, str(folder)],
                stdout=subprocess.DEVNULL,
                stderr=stderr,
                timeout=SCRIPT_SECONDS,
            )
    except subprocess.TimeoutExpired as error:
        raise StartError(f"{script} did not end within {SCRIPT_SECONDS} s: {tail(said)}") from error
    if done.returncode != 0:
        raise StartError(f"{script} ended with exit code {done.returncode}: {tail(said)}")
