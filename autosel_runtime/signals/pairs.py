"""Near-duplicate pairs from MinHash signatures: banded locality-sensitive hashing, then verification.

Notation
    n   rows                   P   positions of a signature
    b   bands of r positions   k   rows that share a band
    s   estimated Jaccard similarity: share of equal positions
    f   floor: pairs with s >= f are wanted

Two rows are compared when all r positions of at least one band are equal, which a pair of similarity s does
with probability 1 - (1 - s^r)^b. r is the largest number for which this is at least 0.99 at s = f (f = 0.5 and
P = 128: r = 3, b = 42, probability 0.996). Every candidate is verified on its whole signature, so no pair below
the floor is reported.

Two things keep the work bounded when a pool has huge clusters:

* equal signatures form a star (see ``recipe.columns.Pairs``), since k equal rows would make k^2 pairs;
* when the candidates at f are too many to compare, or the pairs too many to keep, f is raised and the
  result says so: ``floor`` is what the list is complete for, never what was wished for.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from autosel_runtime.recipe.columns import Pairs
from autosel_runtime.signals.minhash import without_words
from autosel_runtime.signals.text import mix

RECALL = 0.99
_HIGHEST_FLOOR = 0.95
_BLOCK_PAIRS = 1 << 15
_BLOCK_ROWS = 1 << 14


@dataclass(frozen=True, kw_only=True)
class Bands:
    """``count`` bands of ``rows`` positions; ``recall`` is the probability of a pair of similarity f."""

    count: int
    rows: int
    recall: float


@dataclass(frozen=True, kw_only=True)
class PairSearch:
    """Pairs, and how they were found: candidates compared and the bands used."""

    pairs: Pairs
    bands: Bands
    candidates: int


def choose_bands(floor: float, permutations: int) -> Bands:
    """Return the widest bands whose recall at ``floor`` is at least 0.99, single positions if none has it."""
    best = Bands(count=permutations, rows=1, recall=1.0 - (1.0 - floor) ** permutations)
    for rows in range(2, permutations + 1):
        count = permutations // rows
        recall = 1.0 - (1.0 - floor**rows) ** count
        if recall < RECALL:
            break
        best = Bands(count=count, rows=rows, recall=recall)
    return best


def similar_pairs(
    signature_rows: NDArray[np.uint32],
    *,
    floor: float,
    max_candidates: int | None = None,
    max_pairs: int | None = None,
) -> PairSearch:
    """Return all pairs of rows of similarity ``floor`` or more, as far as the bands find them.

    ``signature_rows`` is uint32 [n, P], in memory or mapped. ``max_candidates`` (default 2e7 + 200 n) bounds the
    comparisons and ``max_pairs`` (default 1e6 + 64 n) the pairs kept; both raise the floor when exceeded.
    """
    n, permutations = signature_rows.shape
    most_candidates = 20_000_000 + 200 * n if max_candidates is None else max_candidates
    most_pairs = 1_000_000 + 64 * n if max_pairs is None else max_pairs
    first, empty = _first_equal(signature_rows)
    rows = np.flatnonzero((first == np.arange(n)) & ~empty)
    distinct = signature_rows[rows] if len(rows) < n else signature_rows

    bands = choose_bands(floor, permutations)
    while (candidates := _count_candidates(distinct, bands)) > most_candidates and floor < _HIGHEST_FLOOR:
        floor = min(round(floor + 0.05, 2), _HIGHEST_FLOOR)
        bands = choose_bands(floor, permutations)

    kept = _Kept(permutations=permutations, least=_least_count(floor, permutations), limit=most_pairs)
    for band in range(bands.count):
        for left, right in _band_pairs(_band_keys(distinct, bands, band)):
            kept.add(*_verify(distinct, left, right, bands, band, kept.least))
    left, right, equal = kept.finish()
    floor = max(floor, kept.least / permutations) if kept.raised else floor

    stars = np.flatnonzero((first != np.arange(n)) & ~empty)
    all_left = np.concatenate([rows[left], first[stars]]).astype(np.uint32)
    all_right = np.concatenate([rows[right], stars]).astype(np.uint32)
    similarity = np.concatenate([equal / permutations, np.ones(len(stars))]).astype(np.float32)
    order = np.argsort((all_right.astype(np.uint64) << np.uint64(32)) | all_left)
    pairs = Pairs(left=all_left[order], right=all_right[order], similarity=similarity[order], floor=floor)
    return PairSearch(pairs=pairs, bands=bands, candidates=candidates)


def _least_count(floor: float, permutations: int) -> int:
    """Return the fewest equal positions that make a pair; the small term undoes rounding up of exact products."""
    return int(np.ceil(floor * permutations - 1e-9))


def _row_hash(block: NDArray[np.uint32]) -> NDArray[np.uint64]:
    """Return a 64-bit hash of each row of ``block`` [m, c]."""
    hashes = np.zeros(len(block), dtype=np.uint64)
    for column in range(block.shape[1]):
        hashes = mix(hashes * np.uint64(0x9E3779B97F4A7C15) + block[:, column])
    return hashes


def _blocks(n: int) -> Iterator[slice]:
    for start in range(0, n, _BLOCK_ROWS):
        yield slice(start, min(start + _BLOCK_ROWS, n))


def _first_equal(signature_rows: NDArray[np.uint32]) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Return for each row the first row with an equal signature [n], and which texts had no words [n]."""
    n = len(signature_rows)
    hashes = np.zeros(n, dtype=np.uint64)
    empty = np.zeros(n, dtype=bool)
    for block in _blocks(n):
        hashes[block] = _row_hash(signature_rows[block])
        empty[block] = without_words(signature_rows[block])
    _, index, inverse = np.unique(hashes, return_index=True, return_inverse=True)
    first = index[inverse].astype(np.int64)
    others = np.flatnonzero(first != np.arange(n))
    for block in _blocks(len(others)):
        rows = others[block]
        # Hashes that meet by chance: the row stays on its own.
        differs = (signature_rows[rows] != signature_rows[first[rows]]).any(axis=1)
        first[rows[differs]] = rows[differs]
    return first, empty


def _band_keys(distinct: NDArray[np.uint32], bands: Bands, band: int) -> NDArray[np.uint64]:
    return _row_hash(distinct[:, band * bands.rows : (band + 1) * bands.rows])


def _count_candidates(distinct: NDArray[np.uint32], bands: Bands) -> int:
    """Return the sum of k (k - 1) / 2 over all bands: a pair counts once for each band it shares."""
    total = 0
    for band in range(bands.count):
        keys = np.sort(_band_keys(distinct, bands, band))
        sizes = np.diff(np.flatnonzero(np.concatenate([[True], keys[1:] != keys[:-1]])), append=len(keys))
        total += int((sizes * (sizes - 1) // 2).sum())
    return total


def _band_pairs(keys: NDArray[np.uint64]) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Yield blocks of pairs (left < right) of rows with equal keys.

    Rows are sorted by key; at distance d, a row meets the one d places on as long as both are in one run, and
    only rows that still had a partner at d - 1 are looked at. The work is the number of pairs.
    """
    n = len(keys)
    order = np.argsort(keys, kind="stable")
    ordered = keys[order]
    changes = np.flatnonzero(np.concatenate([ordered[1:] != ordered[:-1], [True]])) + 1
    ends = np.repeat(changes, np.diff(changes, prepend=0)) if n else changes
    places = np.arange(n)
    distance = 1
    lefts: list[NDArray[np.int64]] = []
    rights: list[NDArray[np.int64]] = []
    waiting = 0
    while True:
        places = places[places + distance < ends[places]]
        if len(places) == 0:
            break
        for start in range(0, len(places), _BLOCK_PAIRS):
            part = places[start : start + _BLOCK_PAIRS]
            lefts.append(order[part])
            rights.append(order[part + distance])
            waiting += len(part)
            if waiting >= _BLOCK_PAIRS:
                yield np.concatenate(lefts), np.concatenate(rights)
                lefts, rights, waiting = [], [], 0
        distance += 1
    if waiting:
        yield np.concatenate(lefts), np.concatenate(rights)


def _verify(
    distinct: NDArray[np.uint32],
    left: NDArray[np.int64],
    right: NDArray[np.int64],
    bands: Bands,
    band: int,
    least: int,
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Return the pairs with at least ``least`` equal positions that share no earlier band, and the counts."""
    same = distinct[left] == distinct[right]
    equal = same.sum(axis=1)
    keep = equal >= least
    same, equal, left, right = same[keep], equal[keep], left[keep], right[keep]
    earlier = same[:, : band * bands.rows].reshape(len(same), band, bands.rows).all(axis=2).any(axis=1)
    return left[~earlier], right[~earlier], equal[~earlier]


class _Kept:
    """Pairs found so far; the least count rises when they are more than ``limit``."""

    def __init__(self, *, permutations: int, least: int, limit: int) -> None:
        self.least = least
        self.raised = False
        self._permutations = permutations
        self._limit = limit
        self._parts: list[tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]] = []
        self._size = 0

    def add(self, left: NDArray[np.int64], right: NDArray[np.int64], equal: NDArray[np.int64]) -> None:
        """Take verified pairs with their counts of equal positions."""
        if len(left):
            self._parts.append((left, right, equal))
            self._size += len(left)
        if self._size > 2 * self._limit:
            self._prune()

    def finish(self) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
        """Return left, right and count of the pairs kept."""
        self._prune()
        return self._parts[0]

    def _prune(self) -> None:
        # A subset of the pairs has no more pairs of any count than all of them, so pruning early never raises
        # the least count beyond what the end would.
        empty = np.zeros(0, dtype=np.int64)
        parts = self._parts or [(empty, empty, empty)]
        left, right, equal = (np.concatenate([part[item] for part in parts]) for item in range(3))
        if len(equal) > self._limit:
            at_least = np.cumsum(np.bincount(equal, minlength=self._permutations + 1)[::-1])[::-1]
            allowed = np.flatnonzero(at_least <= self._limit)
            self.least = int(allowed[0]) if len(allowed) else self._permutations
            self.raised = True
            keep = equal >= self.least
            left, right, equal = left[keep], right[keep], equal[keep]
        self._parts = [(left, right, equal)]
        self._size = len(left)
