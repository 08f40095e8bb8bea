"""Fixtures of the command line's tests."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.cluster_bench import Asking
from tests.kube.operating import Bench
from tests.kube.plane import Plane, plane

__all__ = ["ask", "bench", "plane"]
COUNT = iter(range(1000))


@pytest.fixture
def bench(plane: Plane, tmp_path: Path) -> Iterator[Bench]:
    """A namespace of its own for one search."""
    namespace = f"cli{next(COUNT)}"
    plane.must("create", "namespace", namespace)
    yield Bench(plane=plane, namespace=namespace, folder=tmp_path)
    plane.kubectl("delete", "namespace", namespace, "--wait=false")


@pytest.fixture
def ask(bench: Bench, plane: Plane) -> Asking:
    """Calls commands about the search of ``bench``."""
    return Asking(bench=bench, kubeconfig=plane.kubeconfig)
