"""Choose a number of rows under a mask by counting, never by sorting the pool.

Notation
    n     rows of the pool
    m     rows in the mask
    k     rows to keep
    key   whole number of a row, distinct from every other row's, below 2^w; the k smallest are kept
    w     bits of a key

A histogram of the keys' upper bits says in which bucket the k-th smallest lies; all rows of lower buckets are
in, and one partition settles the bucket itself: two passes over the mask, memory for one bucket.
"""

import math
from collections.abc import Callable, Sequence
from fractions import Fraction
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from autosel_runtime.recipe import mask as masks
from autosel_runtime.recipe.columns import Scalar
from autosel_runtime.recipe.mask import Rows
from autosel_runtime.recipe.model import Mask
from autosel_runtime.recipe.spans import SPAN, map_spans, span_rows, where

Keys = Callable[[Any], NDArray[Any]]  # of rows, or of a slice of rows
Direction = Literal["highest", "lowest"]

BUCKET_BITS = 12
# Up to this many rows the keys of the first pass are kept for the second (16 bytes a row).
KEPT_ROWS = 1 << 21


def exact_share(fraction: float, m: int) -> int:
    """Return ceil(``fraction`` · ``m``) in exact decimal arithmetic: 0.07 of 100 is 7, not 8."""
    return math.ceil(Fraction(repr(fraction)) * m)


def keep_smallest(
    mask: Mask, n: int, k: int, keys: Keys, *, key_bits: int, stored: bool = False, threads: int = 1
) -> tuple[Mask, int]:
    """Keep the ``k`` rows of the mask with the smallest keys.

    ``keys``: rows -> unsigned keys, distinct, below 2^``key_bits``. ``stored``: keys are a column, so that reading
    a whole span (``keys`` gets a slice) costs less than picking rows of it. Returns the mask and the kept row with
    the largest key (-1 when all or none are kept).
    """
    if k <= 0:
        return masks.empty(n), -1
    shift = max(0, key_bits - BUCKET_BITS)
    remember = n <= KEPT_ROWS and not stored

    def histogram(low: int, high: int) -> tuple[NDArray[np.int64], tuple[Rows, NDArray[Any]] | None]:
        found = span_rows(mask, low, high)
        values = keys(found)
        counts = np.bincount((values >> shift).astype(np.intp), minlength=1 << BUCKET_BITS)
        return counts, (found, values) if remember else None

    first = map_spans(histogram, n, threads=threads)
    counts = np.sum([counts for counts, _ in first], axis=0)
    if k >= int(counts.sum()):
        return mask.copy(), -1
    ends = np.cumsum(counts)
    bucket = int(np.searchsorted(ends, k))
    missing = k - (int(ends[bucket - 1]) if bucket else 0)
    result = np.zeros_like(mask)

    def settle(low: int, high: int) -> tuple[Rows, NDArray[Any]]:
        known = first[low // SPAN][1]
        if known is None:
            found = span_rows(mask, low, high)
            values = keys(found)
        else:
            found, values = known
        buckets = values >> shift
        bits = np.zeros(high - low, dtype=np.bool_)
        bits[found - low] = buckets < bucket
        result[low // 8 : (high + 7) // 8] = np.packbits(bits, bitorder="little")
        edge = np.flatnonzero(buckets == bucket)
        return found[edge], values[edge]

    def settle_stored(low: int, high: int) -> tuple[Rows, NDArray[Any]]:
        values = keys(slice(low, high))
        buckets = values >> shift
        part = slice(low // 8, (high + 7) // 8)
        np.bitwise_and(np.packbits(buckets < bucket, bitorder="little"), mask[part], out=result[part])
        edge = np.flatnonzero(buckets == bucket)
        edge = edge[masks.contains(mask[part], edge)]
        return edge + low, values[edge]

    edges = map_spans(settle_stored if stored else settle, n, threads=threads)
    rows_at_edge = np.concatenate([found for found, _ in edges])
    keys_at_edge = np.concatenate([values for _, values in edges])
    chosen = rows_at_edge[np.argpartition(keys_at_edge, missing - 1)[:missing]]
    _add_rows(result, chosen, n)
    return result, int(chosen[-1])


def keep_ranked(
    mask: Mask, column: Scalar, k: int, direction: Direction, *, threads: int = 1
) -> tuple[Mask, float | None]:
    """Keep the ``k`` rows with the highest or lowest scores; among equal scores the earlier rows.

    Every row of the mask must have a score. Returns the mask and the last score that was kept (None when all or
    none are kept).
    """
    n = len(column.ranks)
    bits = max(1, n.bit_length())
    top = np.uint32(n - 1)

    def keys(rows: Rows | slice) -> NDArray[np.uint32]:
        ranks = column.ranks[rows]
        return ranks if direction == "lowest" else top - ranks  # a missing row wraps to the largest key

    kept, last = keep_smallest(mask, n, k, keys, key_bits=bits, stored=True, threads=threads)
    if direction == "lowest":
        return kept, None if last < 0 else float(column.values[last])
    if last < 0:
        return kept, None
    # Read from its end, the stored order has the later of equal rows first: exchange them.
    cut = column.values[last]
    equal = masks.both(mask, where(n, lambda low, high: column.values[low:high] == cut, threads=threads))
    taken = masks.count(masks.both(kept, equal))
    if taken < masks.count(equal):
        kept = masks.without(kept, equal)
        _add_rows(kept, masks.rows_of(equal, n)[:taken], n)
    return kept, float(cut)


def keep_scored(
    mask: Mask,
    n: int,
    k: int,
    scores: Callable[[Rows], NDArray[np.float32]],
    direction: Direction,
    *,
    threads: int = 1,
) -> Mask:
    """Keep the ``k`` rows with the highest or lowest computed score; among equal scores the earlier rows.

    ``scores``: rows -> float32 without NaN.
    """

    def keys(rows: Rows) -> NDArray[np.uint64]:
        upper = _orderable(scores(rows))
        if direction == "highest":
            upper = ~upper
        return upper.astype(np.uint64) << np.uint64(32) | rows.astype(np.uint64)

    return keep_smallest(mask, n, k, keys, key_bits=64, threads=threads)[0]


def keep_random(mask: Mask, n: int, k: int, seed: int, *, threads: int = 1) -> Mask:
    """Keep ``k`` rows of the mask, every subset equally likely, the same ones for the same seed.

    A row's key depends on the seed and the row alone, so a row that is in the draw from a large mask is also in
    the draw of as many rows from any part of it that holds the row.
    """
    return keep_smallest(mask, n, k, lambda rows: row_hash(seed, rows), key_bits=64, threads=threads)[0]


def row_hash(seed: int, rows: Rows) -> NDArray[np.uint64]:
    """Return SplitMix64 of (seed, row), uint64; distinct for distinct rows (Steele et al. 2014)."""
    z = rows.astype(np.uint64)
    z += np.uint64(1)
    z *= np.uint64(0x9E3779B97F4A7C15)
    z += np.uint64(mix(seed))
    scratch = z >> np.uint64(30)
    z ^= scratch
    z *= np.uint64(0xBF58476D1CE4E5B9)
    np.right_shift(z, np.uint64(27), out=scratch)
    z ^= scratch
    z *= np.uint64(0x94D049BB133111EB)
    np.right_shift(z, np.uint64(31), out=scratch)
    z ^= scratch
    return z


def mix(seed: int, position: int = 0) -> int:
    """Return one 64-bit SplitMix64 output for a seed and a position: the seed of one step of a recipe."""
    limit = (1 << 64) - 1
    z = (seed * 0x9E3779B97F4A7C15 + (position + 1) * 0xD1B54A32D192ED03) & limit
    z = ((z ^ z >> 30) * 0xBF58476D1CE4E5B9) & limit
    z = ((z ^ z >> 27) * 0x94D049BB133111EB) & limit
    return z ^ z >> 31


def apportion(weights: Sequence[Fraction | float], capacities: Sequence[int], total: int) -> list[int]:
    """Share ``total`` among groups in proportion to their weights, no group beyond its capacity.

    Largest remainder in exact arithmetic; what a full group cannot take goes to the others in proportion to
    their weights, until ``total`` or every capacity with a positive weight is used. Ties go to the earlier group.
    """
    shares = [0] * len(weights)
    exact = [Fraction(weight) for weight in weights]
    left = min(total, sum(c for c, w in zip(capacities, exact, strict=True) if w > 0))
    while left > 0:
        open_groups = [i for i, w in enumerate(exact) if w > 0 and shares[i] < capacities[i]]
        whole = sum(exact[i] for i in open_groups)
        quota = {i: left * exact[i] / whole for i in open_groups}
        given = {i: math.floor(quota[i]) for i in open_groups}
        by_remainder = sorted(open_groups, key=lambda i: (given[i] - quota[i], i))
        for i in by_remainder[: left - sum(given.values())]:
            given[i] += 1
        for i in open_groups:
            given[i] = min(given[i], capacities[i] - shares[i])
            shares[i] += given[i]
        left -= sum(given.values())
    return shares


def _add_rows(mask: Mask, rows: Rows, n: int) -> None:
    """Set the given rows in ``mask``, in place."""
    if len(rows) < n // 64:
        np.bitwise_or.at(mask, rows >> 3, np.left_shift(1, rows & 7).astype(np.uint8))
    else:
        np.bitwise_or(mask, masks.from_rows(rows, n), out=mask)


def _orderable(scores: NDArray[np.float32]) -> NDArray[np.uint32]:
    """Return whole numbers in the order of the scores (-0.0 equals 0.0)."""
    raw = (scores + np.float32(0.0)).view(np.uint32)
    return raw ^ np.where(raw >> 31, np.uint32(0xFFFFFFFF), np.uint32(0x80000000))
