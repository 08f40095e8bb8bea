"""What is being deleted and does not go: a finalizer keeps it, or the cluster's controllers are held."""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.kube.operating import Bench
from tests.kube.plane import Plane

FINALIZER = "autosel.test/keep"


@contextmanager
def held_controllers(plane: Plane) -> Iterator[None]:
    """Hold the cluster's controllers, so that what is being deleted stays half-deleted for a while."""
    pids = plane.kubeconfig.parent / "pids"
    if not pids.exists():
        pytest.skip(
            "no API server whose controllers can be held: AUTOSEL_TEST_CONTROL_PLANE's script tells their ids"
        )
    manager = int(pids.read_text().split()[-1])
    os.kill(manager, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(manager, signal.SIGCONT)


def keep(bench: Bench, kind: str, name: str, *, kept: bool) -> None:
    """Set or drop a finalizer of somebody else's."""
    finalizers = f'["{FINALIZER}"]' if kept else "null"
    bench.plane.must(
        "-n", bench.namespace, "patch", kind, name, "--type=merge",
        "-p", f'{{"metadata": {{"finalizers": {finalizers}}}}}',
    )  # fmt: skip
