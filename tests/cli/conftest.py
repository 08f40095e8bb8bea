"""Fixtures of the command line's tests."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.cluster_bench import Asking
from tests.kube.operating import Bench, in_namespace
from tests.kube.plane import Plane, plane

__all__ = ["ask", "bench", "plane"]
COUNT = iter(range(1000))


@pytest.fixture
def bench(plane: Plane, tmp_path: Path) -> Iterator[Bench]:
    """A namespace of its own for one search."""
    with in_namespace(plane, f"cli{next(COUNT)}", tmp_path) as own:
        yield own


@pytest.fixture
def ask(bench: Bench, plane: Plane) -> Asking:
    """Calls commands about the search of ``bench``."""
    return Asking(bench=bench, kubeconfig=plane.kubeconfig)
