"""What selection did to the pool: histograms of signals and the source mix, before and after.

Notation
    n       rows of the pool
    m       [n] bool, the chosen subset
    B       bins of a histogram, 30
    e       [B + 1] bin edges, shared by pool and subset
"""

import numpy as np
from numpy.typing import NDArray

from autosel_runtime.errors import DataError
from autosel_runtime.recipe import mask as masks
from autosel_runtime.recipe.columns import Columns
from autosel_runtime.recipe.model import Mask
from autosel_runtime.report.model import Histogram, SourceShare

BINS = 30
# The outermost edges cut off this share of the pool on either side, so that one outlier does not flatten the rest.
TAIL = 0.005


def histograms(columns: Columns, mask: Mask | None) -> tuple[Histogram, ...]:
    """Return a histogram for every scalar signal of the pool, by name; without a mask the subset's counts are zero."""
    chosen = _chosen(columns, mask)
    found: list[Histogram] = []
    for name in sorted(columns.names):
        values = _scalar_values(columns, name)
        if values is not None:
            found.append(histogram(name, values, chosen))
    return tuple(found)


def histogram(name: str, values: NDArray[np.float32], chosen: NDArray[np.bool_]) -> Histogram:
    """Return the histogram of ``values`` [n] over all rows and over the ``chosen`` rows [n].

    The outer edges are the 0.5 % and 99.5 % quantiles of the pool; rows beyond them count in the outer bins.
    """
    present = np.isfinite(values)
    pool = values[present].astype(np.float64)
    subset = values[present & chosen].astype(np.float64)
    subset_missing = int(chosen.sum()) - len(subset)
    if len(pool) == 0:
        return Histogram(
            signal=name, edges=(), pool=(), subset=(), pool_missing=len(values), subset_missing=subset_missing
        )
    edges = _edges(pool)
    deviation = float(pool.std())
    shift = float(subset.mean() - pool.mean()) / deviation if deviation > 0 and len(subset) else None
    return Histogram(
        signal=name,
        edges=tuple(float(edge) for edge in edges),
        pool=_counts(pool, edges),
        subset=_counts(subset, edges),
        pool_missing=len(values) - len(pool),
        subset_missing=subset_missing,
        pool_mean=float(pool.mean()),
        subset_mean=float(subset.mean()) if len(subset) else None,
        shift=shift,
    )


def source_mix(columns: Columns, mask: Mask | None) -> tuple[SourceShare, ...]:
    """Return each source's rows and share in the pool and in the subset, in pool order."""
    width = len(columns.source_names)
    pool = np.bincount(columns.source_codes, minlength=width)
    chosen = _chosen(columns, mask)
    subset = np.bincount(columns.source_codes[chosen], minlength=width)
    rows, size = max(columns.rows, 1), int(subset.sum())
    return tuple(
        SourceShare(
            source=name,
            pool_rows=int(pool[i]),
            subset_rows=int(subset[i]),
            pool_share=float(pool[i]) / rows,
            subset_share=float(subset[i]) / size if size else None,
        )
        for i, name in enumerate(columns.source_names)
    )


def _chosen(columns: Columns, mask: Mask | None) -> NDArray[np.bool_]:
    if mask is None:
        return np.zeros(columns.rows, np.bool_)
    masks.check(mask, columns.rows, "the mask of the chosen subset")
    return masks.to_bools(mask, columns.rows)


def _scalar_values(columns: Columns, name: str) -> NDArray[np.float32] | None:
    # ``names`` lists scalars, groups, pairs and features alike; only a scalar has values to count.
    try:
        return columns.scalar(name).values
    except DataError:
        return None


def _edges(pool: NDArray[np.float64]) -> NDArray[np.float64]:
    low, high = np.quantile(pool, [TAIL, 1 - TAIL])
    if high <= low:
        low, high = float(pool.min()), float(pool.max())
    if high <= low:
        # All rows have one value: it goes in the middle of bins of arbitrary width.
        half = max(abs(low) * 0.5, 0.5)
        low, high = low - half, high + half
    return np.linspace(low, high, BINS + 1)


def _counts(values: NDArray[np.float64], edges: NDArray[np.float64]) -> tuple[int, ...]:
    bins = np.clip(np.searchsorted(edges, values, side="right") - 1, 0, BINS - 1)
    return tuple(int(count) for count in np.bincount(bins, minlength=BINS))
