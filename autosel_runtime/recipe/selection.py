"""Choose a number of rows under a mask without sorting the pool.

Notation
    n     rows of the pool
    m     rows in the mask
    k     rows to keep
    key   whole number of a row, distinct from every other row's; the k smallest are kept
    t     keys in a sample of the mask, in order

The k-th smallest key lies near place t·k/m of the sample, so two keys of the sample some deviations to either side
bracket it. One pass then keeps all rows below the bracket and gathers the few within, and one partition settles those.
A bracket that missed is widened: the sample decides how long this takes, never what comes out.
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
from autosel_runtime.recipe.spans import map_spans, span_rows, where

Keys = Callable[[Any], NDArray[Any]]  # of rows, or of a slice of rows
Direction = Literal["highest", "lowest"]

# Rows looked at for a bracket: one of 512, within these bounds. Smaller pools are settled by the partition alone.
SAMPLE_SHARE, SAMPLE_LEAST, SAMPLE_MOST = 512, 1 << 14, 1 << 18
DEVIATIONS, WIDER = (
    5.0,
    4.0,
)  # of the place of the k-th smallest key in a sample; what a missed bracket grows by


def exact_share(fraction: float, m: int) -> int:
    """Return ceil(``fraction`` · ``m``) in exact decimal arithmetic: 0.07 of 100 is 7, not 8."""
    return math.ceil(Fraction(repr(fraction)) * m)


def keep_smallest(
    mask: Mask, n: int, k: int, keys: Keys, *, dense: float = math.inf, threads: int = 1
) -> tuple[Mask, int]:
    """Keep the ``k`` rows of the mask with the smallest keys.

    ``keys``: rows -> unsigned keys, distinct within the mask. ``dense``: share of rows in the mask from which the keys
    of a whole span (``keys`` gets a slice) cost less than those of its rows in the mask alone. Returns the mask and
    the kept row with the largest key (-1 when all or none are kept).
    """
    m = masks.count(mask)
    if k <= 0:
        return masks.empty(n), -1
    if k >= m:
        return mask.copy(), -1
    sample = np.sort(keys(_sampled_rows(mask, n)))
    deviations = DEVIATIONS
    while True:
        low, high = _bracket(sample, k / m, deviations)
        result, rows, found = _split(mask, n, keys, low, high, dense=dense, threads=threads)
        missing = k - masks.count(result)
        if 0 < missing <= len(rows):
            break
        deviations *= WIDER
    chosen = rows[np.argpartition(found, missing - 1)[:missing]]
    _add_rows(result, chosen, n)
    return result, int(chosen[-1])


def _sampled_rows(mask: Mask, n: int) -> Rows:
    """Return rows of the mask that lie one in each of many equal stretches of the pool, at a place drawn by hash."""
    number = min(max(n // SAMPLE_SHARE, SAMPLE_LEAST), SAMPLE_MOST)
    stretch = n // number
    if stretch < 2:
        return np.zeros(0, dtype=np.int64)
    places = np.arange(number)
    rows = places * stretch + (row_hash(0, places) % np.uint64(stretch)).astype(np.int64)
    return rows[masks.contains(mask, rows)]


def _bracket(sample: NDArray[Any], share: float, deviations: float) -> tuple[Any, Any]:
    """Return two keys between which the key at ``share`` of the mask lies, but for bad luck. ``sample`` is sorted."""
    t = len(sample)
    reach = deviations * (1 + math.sqrt(t * share * (1 - share)))
    first, last = math.floor(t * share - reach), math.ceil(t * share + reach)
    low = sample[first] if first >= 0 else sample.dtype.type(0)
    high = sample[last] if last < t else np.iinfo(sample.dtype).max
    return low, sample.dtype.type(high)


def _split(
    mask: Mask, n: int, keys: Keys, low: Any, high: Any, *, dense: float, threads: int
) -> tuple[Mask, Rows, NDArray[Any]]:
    """Return the mask of the rows with keys below ``low``, the rows with keys in ``low`` to ``high`` and those keys."""
    result = np.zeros_like(mask)
    width = high - low

    def split(start: int, end: int) -> tuple[Rows, NDArray[Any]] | None:
        part = slice(start // 8, (end + 7) // 8)
        within = masks.count(mask[part])
        if not within:
            return None
        if within < dense * (end - start):
            found = span_rows(mask, start, end)
            values = keys(found)
            bits = np.zeros(end - start, dtype=np.bool_)
            bits[found - start] = values < low
            result[part] = np.packbits(bits, bitorder="little")
            edge = np.flatnonzero(values - low <= width)  # unsigned: what is below wraps round
            return found[edge], values[edge]
        values = keys(slice(start, end))
        np.bitwise_and(np.packbits(values < low, bitorder="little"), mask[part], out=result[part])
        edge = np.flatnonzero(values - low <= width)
        edge = edge[masks.contains(mask[part], edge)]
        return edge + start, values[edge]

    edges = [edge for edge in map_spans(split, n, threads=threads) if edge is not None]
    return result, np.concatenate([rows for rows, _ in edges]), np.concatenate([found for _, found in edges])


def keep_ranked(
    mask: Mask, column: Scalar, k: int, direction: Direction, *, threads: int = 1
) -> tuple[Mask, float | None]:
    """Keep the ``k`` rows with the highest or lowest scores; among equal scores the earlier rows.

    Every row of the mask must have a score. Returns the mask and the last score that was kept (None when all or
    none are kept).
    """
    n = len(column.ranks)
    top = np.uint32(n - 1)

    def keys(rows: Rows | slice) -> NDArray[np.uint32]:
        ranks = column.ranks[rows]
        return ranks if direction == "lowest" else top - ranks  # a missing row wraps to the largest key

    kept, last = keep_smallest(mask, n, k, keys, dense=0.0, threads=threads)
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

    return keep_smallest(mask, n, k, keys, threads=threads)[0]


def keep_random(mask: Mask, n: int, k: int, seed: int, *, threads: int = 1) -> Mask:
    """Keep ``k`` rows of the mask, every subset equally likely, the same ones for the same seed.

    A row's key depends on the seed and the row alone, so a row that is in the draw from a large mask is also in
    the draw of as many rows from any part of it that holds the row.
    """

    def keys(rows: Rows | slice) -> NDArray[np.uint64]:
        return row_hash(seed, np.arange(rows.start, rows.stop) if isinstance(rows, slice) else rows)

    return keep_smallest(mask, n, k, keys, dense=0.5, threads=threads)[0]


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
