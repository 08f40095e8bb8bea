"""What a recipe needs to know of a pool: columns by row, no text.

Notation
    n   rows of the pool
    k   near-duplicate pairs
"""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, kw_only=True)
class Scalar:
    """One per-sample number and its stored order.

    ``values`` float32 [n], NaN where missing. ``ranks`` uint32 [n]: position in the stable ascending order of
    (value, row); n where missing.
    """

    values: NDArray[np.float32]
    ranks: NDArray[np.uint32]


@dataclass(frozen=True, kw_only=True)
class Pairs:
    """Similar rows: ``left`` < ``right``, uint32 [k]; ``similarity`` float32 [k] in 0..1.

    Sorted by (right, left). ``floor`` is the least similarity for which the list is complete.

    Equal rows (similarity 1) would make k² pairs, so they form a star: each is paired only with the first of
    them, in pool order, and all other pairs join first rows. Hence i and j are similar exactly if
    ``first_equal`` gives them one row or two rows that are paired; a mask may lack the first row itself, so
    whoever asks whether two rows are similar asks it of their first rows.
    """

    left: NDArray[np.uint32]
    right: NDArray[np.uint32]
    similarity: NDArray[np.float32]
    floor: float


@dataclass(frozen=True, kw_only=True)
class Csr:
    """Sparse features: row r has ``indices[indptr[r]:indptr[r+1]]`` (uint32) with float32 ``values``.

    A row without features is missing. ``width`` is the number of features.
    """

    indptr: NDArray[np.int64]
    indices: NDArray[np.uint32]
    values: NDArray[np.float32]
    width: int


class Columns(Protocol):
    """Read access to the columns of one pool; signals implement it over files, tests over arrays."""

    @property
    def rows(self) -> int:
        """n."""
        ...

    @property
    def source_names(self) -> tuple[str, ...]:
        """Names of the sources, in pool order."""
        ...

    @property
    def source_codes(self) -> NDArray[np.uint16]:
        """Index into ``source_names`` [n]."""
        ...

    @property
    def names(self) -> frozenset[str]:
        """Names of the scalars, groups, pairs and features that exist."""
        ...

    def scalar(self, name: str) -> Scalar:
        """Return a scalar column; DataError names what exists when it is missing."""
        ...

    def groups(self, name: str) -> NDArray[np.int32]:
        """Return group numbers [n]; rows with one number are identical in the sense of ``name``."""
        ...

    def pairs(self, name: str) -> Pairs:
        """Return similar pairs."""
        ...

    def features(self, name: str) -> Csr:
        """Return sparse features."""
        ...


def rank_of(values: NDArray[np.float32]) -> NDArray[np.uint32]:
    """Return the stored order of ``values`` [n]: stable, ascending, missing (NaN) rows get n."""
    n = len(values)
    present = np.flatnonzero(~np.isnan(values))
    order = present[np.argsort(values[present], kind="stable")]
    ranks = np.full(n, n, dtype=np.uint32)
    ranks[order] = np.arange(len(order), dtype=np.uint32)
    return ranks


def first_equal(pairs: Pairs, rows: int) -> NDArray[np.uint32]:
    """Return for each row [n] the first row that equals it (similarity 1), itself if none comes before."""
    first = np.arange(rows, dtype=np.uint32)
    equal = pairs.similarity == 1.0
    first[pairs.right[equal]] = pairs.left[equal]
    return first
