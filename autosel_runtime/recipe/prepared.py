"""Columns with a memory: what depends on the pool alone is computed once and shared by all executions."""

from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass, field
from threading import RLock
from types import MappingProxyType
from typing import Any, TypeVar, cast

import numpy as np
from numpy.typing import NDArray

from autosel_runtime.recipe import mask as masks
from autosel_runtime.recipe.columns import Columns, Csr, Pairs, Scalar
from autosel_runtime.recipe.model import Mask
from autosel_runtime.recipe.spans import where

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class PreparedColumns:
    """The columns of a pool, the constants derived from them and the subsets that a union may name.

    It is itself ``Columns``, so operators take either. ``threads`` never changes a result.
    """

    base: Columns
    threads: int = 1
    subsets: Mapping[str, Mask] = field(default_factory=lambda: MappingProxyType({}))
    memory: dict[Hashable, Any] = field(default_factory=dict[Hashable, Any])
    lock: Any = field(default_factory=RLock)

    @property
    def rows(self) -> int:
        """n."""
        return self.base.rows

    @property
    def source_names(self) -> tuple[str, ...]:
        """Names of the sources, in pool order."""
        return self.base.source_names

    @property
    def source_codes(self) -> NDArray[np.uint16]:
        """Index into ``source_names`` [n]."""
        return self.base.source_codes

    @property
    def names(self) -> frozenset[str]:
        """Names of everything that exists."""
        return self.remember("names", lambda: self.base.names)

    def scalar(self, name: str) -> Scalar:
        """Return a scalar column."""
        return self.base.scalar(name)

    def groups(self, name: str) -> NDArray[np.int32]:
        """Return group numbers."""
        return self.base.groups(name)

    def pairs(self, name: str) -> Pairs:
        """Return similar pairs."""
        return self.base.pairs(name)

    def features(self, name: str) -> Csr:
        """Return sparse features."""
        return self.base.features(name)

    def remember(self, key: Hashable, compute: Callable[[], T]) -> T:
        """Return the value stored under ``key``; compute and store it the first time."""
        with self.lock:
            if key not in self.memory:
                self.memory[key] = compute()
            return cast("T", self.memory[key])

    def scored(self, name: str) -> Mask:
        """Return the mask of rows that have the scalar ``name``."""
        column = self.scalar(name)
        return self.remember(
            ("scored", name),
            lambda: where(
                self.rows, lambda low, high: ~np.isnan(column.values[low:high]), threads=self.threads
            ),
        )

    def complete(self, name: str) -> bool:
        """Return whether every row has the scalar ``name``."""
        return self.remember(("complete", name), lambda: masks.count(self.scored(name)) == self.rows)


def prepare(
    columns: Columns, *, threads: int | None = None, subsets: Mapping[str, Mask] | None = None
) -> PreparedColumns:
    """Return ``columns`` with a memory. Prepare a pool once and pass the result to every execution.

    Prepared columns are given back with the same memory and, where given, other ``threads`` and ``subsets``
    (mask by trial ordinal, as text, or recipe digest).
    """
    if isinstance(columns, PreparedColumns):
        if threads is None and subsets is None:
            return columns
        return PreparedColumns(
            base=columns.base,
            threads=columns.threads if threads is None else threads,
            subsets=columns.subsets if subsets is None else subsets,
            memory=columns.memory,
            lock=columns.lock,
        )
    return PreparedColumns(base=columns, threads=threads or 1, subsets=subsets or MappingProxyType({}))
