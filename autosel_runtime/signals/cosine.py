"""All pairs of rows whose embeddings have a cosine of at least a floor: an exact product, block by block.

Notation
    n   rows        d   dimensions        B   rows of a block
    c   cosine of two stored embeddings, in float64
    f   floor: pairs with c >= f are wanted, both rounded to float32

The work is n^2 d / 2 multiplications, on the accelerator where there is one; 2 B d + B^2 numbers are in memory at a
time. The product only finds candidates, with a margin for its rounding; c itself is computed pair by pair in
float64, so neither blocks nor threads nor devices decide what is stored. Equal embeddings have similarity 1 and form
a star (see ``recipe.columns.Pairs``), all others less than 1. When more pairs reach f than may be kept, f is raised
on a grid and the result says so.
"""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from autosel_runtime.recipe.columns import Pairs

BLOCK = 2048
_VERIFY = 1 << 14
_MARGIN = 1e-5  # more than a product in float32 is off
_BELOW_ONE = np.nextafter(np.float32(1), np.float32(0))
# Floors to raise to: 0.001 apart, then closer to 1.
_GRID: NDArray[np.float64] = np.concatenate(
    [np.arange(1, 1000) / 1000, 1 - np.array([5e-4, 2e-4, 1e-4, 5e-5, 2e-5, 1e-5, 1e-6]), [1.0]]
)

Product = Callable[[NDArray[np.float32], NDArray[np.float32]], NDArray[np.float32]]


@dataclass(frozen=True, kw_only=True)
class CosineSearch:
    """Pairs, and how many rows had an embedding."""

    pairs: Pairs
    embedded: int


def cosine_pairs(
    vectors: NDArray[np.float16],
    *,
    floor: float,
    max_pairs: int | None = None,
    product: Product | None = None,
    report: Callable[[int], None] = lambda _: None,
) -> CosineSearch:
    """Return all pairs of rows of ``vectors`` [n, d] with a cosine of ``floor`` or more; rows of zeros have none.

    ``max_pairs`` (default 1e6 + 64 n) bounds the pairs kept, and raises the floor when exceeded. ``report`` is told
    how many rows are done.
    """
    n = len(vectors)
    first, empty = _first_equal(vectors)
    rows = np.flatnonzero((first == np.arange(n)) & ~empty)
    kept = _Kept(
        vectors=vectors, rows=rows, floor=floor, limit=1_000_000 + 64 * n if max_pairs is None else max_pairs
    )
    multiply = product or best_product()
    report(n - len(rows))
    starts = range(0, len(rows), BLOCK)
    for low in starts:
        left = _units(vectors, rows[low : low + BLOCK])
        for start in range(low, len(rows), BLOCK):
            right = left if start == low else _units(vectors, rows[start : start + BLOCK])
            found = multiply(left, right)
            if start == low:
                found[np.tril_indices(len(left))] = -1.0
            one, two = np.nonzero(found >= kept.floor - _MARGIN)
            kept.add(one + low, two + start, found[one, two])
        report(len(left))
    left, right, similarity = kept.finish()

    stars = np.flatnonzero((first != np.arange(n)) & ~empty)
    all_left = np.concatenate([rows[left], first[stars]]).astype(np.uint32)
    all_right = np.concatenate([rows[right], stars]).astype(np.uint32)
    values = np.concatenate([similarity, np.ones(len(stars), dtype=np.float32)])
    order = np.argsort((all_right.astype(np.uint64) << np.uint64(32)) | all_left)
    pairs = Pairs(
        left=all_left[order], right=all_right[order], similarity=values[order], floor=float(kept.floor)
    )
    return CosineSearch(pairs=pairs, embedded=int(n - np.count_nonzero(empty)))


def best_product() -> Product:
    """Return the product of two blocks [a, d] and [b, d], a x b, on the accelerator where there is one."""
    try:
        import torch
    except ImportError:
        return lambda left, right: left @ right.T
    device = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else None
    if device is None:
        return lambda left, right: left @ right.T

    def multiply(left: NDArray[np.float32], right: NDArray[np.float32]) -> NDArray[np.float32]:
        both: list[Any] = [torch.from_numpy(block).to(device) for block in (left, right)]
        return (both[0] @ both[1].T).cpu().numpy()

    return multiply


def _units(vectors: NDArray[np.float16], rows: NDArray[np.int64]) -> NDArray[np.float32]:
    block = vectors[rows].astype(np.float32)
    return block / np.linalg.norm(block, axis=1, keepdims=True)


def _first_equal(vectors: NDArray[np.float16]) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Return for each row the first row with an equal embedding [n], and which rows have none [n]."""
    n = len(vectors)
    first = np.arange(n)
    empty = np.zeros(n, dtype=np.bool_)
    seen: dict[bytes, int] = {}
    for low in range(0, n, _VERIFY):
        block = np.asarray(vectors[low : low + _VERIFY])
        block = np.where(block == 0, np.float16(0), block)  # -0 and 0 are one number
        empty[low : low + len(block)] = ~block.any(axis=1)
        for index, row in enumerate(block):
            first[low + index] = seen.setdefault(_key(row), low + index)
    return first, empty


def _key(row: NDArray[np.float16]) -> bytes:
    return hashlib.sha256(row.tobytes()).digest()[:16]


class _Kept:
    """Candidates found so far, by the product's cosine; the floor rises when they are more than ``limit``."""

    def __init__(
        self, *, vectors: NDArray[np.float16], rows: NDArray[np.int64], floor: float, limit: int
    ) -> None:
        self.floor = floor
        self._vectors = vectors
        self._rows = rows
        self._limit = limit
        self._parts: list[tuple[NDArray[Any], NDArray[Any], NDArray[np.float32]]] = []
        self._size = 0

    def add(self, left: NDArray[np.int64], right: NDArray[np.int64], cosine: NDArray[np.float32]) -> None:
        """Take candidates."""
        if len(left):
            self._parts.append((left.astype(np.uint32), right.astype(np.uint32), cosine))
            self._size += len(left)
        if self._size > 2 * self._limit:
            # A part of the pairs has no more pairs above any floor than all of them, so this raises the floor no
            # further than the end would.
            left, right, values = self._joined()
            self._raise(values)
            self._keep(left, right, values, values >= self.floor - _MARGIN)
            if (
                self._size > 2 * self._limit
            ):  # so near to 1 that the margin holds nearly all: memory goes first
                self._keep(left, right, values, values >= np.float32(self.floor))

    def finish(self) -> tuple[NDArray[Any], NDArray[Any], NDArray[np.float32]]:
        """Return left, right and the exact cosine of the pairs that reach the floor."""
        left, right, values = self._joined()
        for low in range(0, len(left), _VERIFY):
            part = slice(low, low + _VERIFY)
            values[part] = self._exact(left[part], right[part])
        self._raise(values)
        self._keep(left, right, values, values >= np.float32(self.floor))
        return self._joined()

    def _exact(self, left: NDArray[Any], right: NDArray[Any]) -> NDArray[np.float32]:
        one = self._vectors[self._rows[left]].astype(np.float64)
        two = self._vectors[self._rows[right]].astype(np.float64)
        dot, ones, twos = (np.einsum("ij,ij->i", a, b) for a, b in ((one, two), (one, one), (two, two)))
        return np.minimum((dot / np.sqrt(ones * twos)).astype(np.float32), _BELOW_ONE)

    def _raise(self, values: NDArray[np.float32]) -> None:
        """Raise the floor to the lowest of the grid that at most ``limit`` of ``values`` reach."""
        if np.count_nonzero(values >= np.float32(self.floor)) <= self._limit:
            return
        ordered = np.sort(values)
        for step in _GRID[self.floor < _GRID]:
            if len(ordered) - np.searchsorted(ordered, np.float32(step)) <= self._limit:
                self.floor = float(step)
                return

    def _keep(self, left: NDArray[Any], right: NDArray[Any], values: NDArray[np.float32], which: Any) -> None:
        self._parts = [(left[which], right[which], values[which])]
        self._size = len(self._parts[0][0])

    def _joined(self) -> tuple[NDArray[Any], NDArray[Any], NDArray[np.float32]]:
        parts: Sequence[Any] = self._parts or [
            (np.zeros(0, np.uint32), np.zeros(0, np.uint32), np.zeros(0, np.float32))
        ]
        left, right, values = (np.concatenate([part[item] for part in parts]) for item in range(3))
        return left, right, values
