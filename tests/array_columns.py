"""Columns of a pool held in memory, for tests and benchmarks."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from autosel_runtime.errors import DataError
from autosel_runtime.recipe.columns import Csr, Pairs, Scalar

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class ArrayColumns:
    """Columns held in memory."""

    rows: int
    source_names: tuple[str, ...]
    source_codes: NDArray[np.uint16]
    scalars: Mapping[str, Scalar] = field(default_factory=dict[str, Scalar])
    group_columns: Mapping[str, NDArray[np.int32]] = field(default_factory=dict[str, NDArray[np.int32]])
    pair_columns: Mapping[str, Pairs] = field(default_factory=dict[str, Pairs])
    feature_columns: Mapping[str, Csr] = field(default_factory=dict[str, Csr])

    @property
    def names(self) -> frozenset[str]:
        """Names of everything held."""
        return frozenset([*self.scalars, *self.group_columns, *self.pair_columns, *self.feature_columns])

    def scalar(self, name: str) -> Scalar:
        """Return a scalar column."""
        return _look_up(self.scalars, name, "signal")

    def groups(self, name: str) -> NDArray[np.int32]:
        """Return group numbers."""
        return _look_up(self.group_columns, name, "groups")

    def pairs(self, name: str) -> Pairs:
        """Return similar pairs."""
        return _look_up(self.pair_columns, name, "pairs")

    def features(self, name: str) -> Csr:
        """Return sparse features."""
        return _look_up(self.feature_columns, name, "features")


def _look_up(columns: Mapping[str, T], name: str, what: str) -> T:
    try:
        return columns[name]
    except KeyError:
        known = ", ".join(sorted(columns)) or "none"
        raise DataError(f"{what} {name!r} does not exist; there are: {known}") from None
