"""Fixtures of the operator's tests."""

from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest

from tests.kube.operating import Bench
from tests.kube.plane import Plane, plane

__all__ = ["plane"]

NUMBERS = count()


@pytest.fixture
def bench(plane: Plane, tmp_path: Path) -> Iterator[Bench]:
    """A namespace of its own, for one search."""
    namespace = f"t{next(NUMBERS)}"
    plane.must("create", "namespace", namespace)
    yield Bench(plane=plane, namespace=namespace, folder=tmp_path)
    plane.kubectl("delete", "namespace", namespace, "--wait=false")
