"""An undisturbed search that disturbed ones are compared with, and a neighbour that goes on."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.kube.ends import SMALL, end_of
from tests.kube.operating import Bench, in_namespace
from tests.kube.plane import Plane


@pytest.fixture
def other(bench: Bench, tmp_path: Path) -> Iterator[Bench]:
    """A second namespace, for a search that nothing happens to."""
    with in_namespace(bench.plane, f"{bench.namespace}-other", tmp_path) as own:
        yield own


@pytest.fixture(scope="module")
def calm(plane: Plane, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """How the small search ends when nothing happens to it."""
    bench = Bench(plane=plane, namespace="calm", folder=tmp_path_factory.mktemp("calm"))
    plane.kubectl("create", "namespace", bench.namespace)
    with bench.kubelet() as kubelet, bench.operator():
        bench.create(**SMALL)
        end = end_of(bench, kubelet)
    plane.must("delete", "namespace", bench.namespace)
    return end
