"""Fixtures of the operator's tests."""

from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest

from tests.kube.operating import Bench, in_namespace
from tests.kube.plane import Plane, plane

__all__ = ["plane"]

NUMBERS = count()


@pytest.fixture
def bench(plane: Plane, tmp_path: Path) -> Iterator[Bench]:
    """A namespace of its own, for one search."""
    with in_namespace(plane, f"t{next(NUMBERS)}", tmp_path) as own:
        yield own
