"""The state vector: what a realised subset is like, as numbers.

Notation
    D        pool, n = |D| rows;  S  subset
    b        benchmark;  s_b(x)  relevance of x to b, from ``mona.b`` or, without those, ``relevance.b``
    P        pairs (x, b) with x in S that have a score
    w(x)     white-space words
    c_j(S)   share of the rows of S with features in which SAE feature j is active;  d  number of features
    p_s      share of the rows of S that come from source s

name                       definition                                                    source
retain_ratio               |S| / |D|                                                     paper table 8
token_ratio                Σ_S w / Σ_D w                                                 paper table 8
score_mean, score_std      mean and population deviation of s_b(x) over P                paper table 8
score_mean_max             mean over x of max_b s_b(x)                                   reference code
score.<b>                  mean of s_b over S                                            paper table 8
mean_ifd, mean_varentropy  mean over S ÷ mean over D                                     paper table 8
mean_quality, mean_ngram_entropy,
  mean_action_object       the same                                                      ours
mean_ifd_clipped, …        min(max(that ratio, 0), 2) / 2                                reference code
distribution_drift         ‖c(S) − c(D)‖₂ / √d                                           paper table 8
source_share.<s>           p_s                                                           ours
source_entropy             −Σ p_s ln p_s, in nats                                        ours

Means are over the rows that have the value. A quantity that is unknown (no such signal, no row with it, a pool
mean that is not positive) is left out, never replaced by a number.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from autosel_runtime.errors import DataError
from autosel_runtime.recipe import mask as masks
from autosel_runtime.recipe.columns import Columns, Csr
from autosel_runtime.recipe.model import Mask
from autosel_runtime.recipe.mona import benchmark_signals
from autosel_runtime.recipe.prepared import PreparedColumns, prepare
from autosel_runtime.recipe.spans import map_spans, span_rows

# Every signal that a filter cuts by tells what a subset is like; a surrogate that misses one is blind to its filter.
RATIOS = {
    "mean_ifd": "ifd",
    "mean_varentropy": "varentropy",
    "mean_quality": "quality",
    "mean_ngram_entropy": "ngram_entropy",
    "mean_action_object": "action_object",
}
CLIPPED = ("mean_ifd", "mean_varentropy")
FEATURES = "sae"

Sums = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class PoolStatistics:
    """Constants of a pool. ``means`` of the scalars of ``RATIOS``; ``words`` Σ_D w; ``active`` [d] rows of the
    pool in which each feature is active, ``featured`` rows with features; None where the pool lacks them;
    ``width`` the number of features of every row if all have as many, else 0."""

    words: float | None
    means: Mapping[str, float]
    active: NDArray[np.int64] | None
    featured: int
    width: int


def pool_statistics(columns: Columns) -> PoolStatistics:
    """Return the constants of a pool, computed once for prepared columns."""
    prepared = prepare(columns)
    return prepared.remember("pool statistics", lambda: _statistics(prepared))


def state_vector(mask: Mask, columns: Columns, *, drift: bool = True) -> dict[str, float]:
    """Return the state vector of a subset, names in a fixed order.

    One pass over the subset. ``drift`` False leaves out distribution_drift, which reads all features of the
    subset and so costs far more than the rest.
    """
    prepared = prepare(columns)
    pool = pool_statistics(prepared)
    n, size = prepared.rows, masks.count(mask)
    state: dict[str, float] = {"retain_ratio": size / n if n else 0.0}
    benchmarks = benchmark_signals(prepared.names)
    scalars = [name for name in ("words", *RATIOS.values()) if name in prepared.names]
    sums = _subset_sums(mask, prepared, scalars, list(benchmarks.values()))
    if pool.words:
        state["token_ratio"] = sums.total["words"] / pool.words
    state.update(_score_fields(sums, benchmarks))
    for field, name in RATIOS.items():
        if pool.means.get(name, 0.0) > 0 and sums.number.get(name):
            ratio = sums.total[name] / sums.number[name] / pool.means[name]
            state[field] = ratio
            if field in CLIPPED:
                state[f"{field}_clipped"] = min(max(ratio, 0.0), 2.0) / 2
    if drift and pool.active is not None and size:
        distance = _drift(mask, prepared, pool)
        if distance is not None:
            state["distribution_drift"] = distance
    state.update(_source_fields(sums.sources, prepared.source_names))
    return state


@dataclass(frozen=True, kw_only=True)
class _SubsetSums:
    """Sums over a subset. ``total`` and ``number`` of rows by scalar; ``squares`` of the benchmark scores;
    ``highest`` sum and number of the rows' highest benchmark score; ``sources`` rows by source code."""

    total: dict[str, float]
    number: dict[str, int]
    squares: dict[str, float]
    highest: tuple[float, int]
    sources: NDArray[np.int64]


def _subset_sums(
    mask: Mask, columns: PreparedColumns, scalars: Sequence[str], benchmarks: Sequence[str]
) -> _SubsetSums:
    values = {name: columns.scalar(name).values for name in (*scalars, *benchmarks)}
    complete = {name: columns.complete(name) for name in values}
    codes, sources = columns.source_codes, len(columns.source_names)

    def partial(low: int, high: int) -> tuple[Sums, NDArray[np.int64]]:
        rows = span_rows(mask, low, high)
        line: list[float] = []
        for name in scalars:
            taken = _present(values[name][rows], complete[name])
            line += (float(taken.sum(dtype=np.float64)), len(taken))
        best: NDArray[np.float32] | None = None
        for name in benchmarks:
            scores = values[name][rows]
            best = scores if best is None else np.fmax(best, scores)
            exact = _present(scores, complete[name]).astype(np.float64)
            line += (float(exact.sum()), len(exact), float((exact * exact).sum()))
        if best is not None:
            exact = _present(best, all(complete[name] for name in benchmarks))
            line += (float(exact.sum(dtype=np.float64)), len(exact))
        return np.array(line, dtype=np.float64), np.bincount(codes[rows], minlength=sources)

    none = [0.0] * (2 * len(scalars) + 3 * len(benchmarks) + 2 * bool(benchmarks))  # of a pool without rows
    parts = map_spans(partial, columns.rows, threads=columns.threads)
    # Spans are added in row order, so that the last bits do not depend on the number of threads.
    sums = np.sum([line for line, _ in parts], axis=0).tolist() if parts else none
    total: dict[str, float] = {}
    number: dict[str, int] = {}
    squares: dict[str, float] = {}
    for index, name in enumerate(scalars):
        total[name], number[name] = sums[2 * index], int(sums[2 * index + 1])
    start = 2 * len(scalars)
    for index, name in enumerate(benchmarks):
        at = start + 3 * index
        total[name], number[name], squares[name] = sums[at], int(sums[at + 1]), sums[at + 2]
    highest = (sums[-2], int(sums[-1])) if benchmarks else (0.0, 0)
    by_source = np.sum([line for _, line in parts], axis=0) if parts else np.zeros(sources, dtype=np.int64)
    return _SubsetSums(total=total, number=number, squares=squares, highest=highest, sources=by_source)


def _score_fields(sums: _SubsetSums, benchmarks: Mapping[str, str]) -> dict[str, float]:
    number = sum(sums.number[name] for name in benchmarks.values())
    if not number:
        return {}
    mean = sum(sums.total[name] for name in benchmarks.values()) / number
    variance = sum(sums.squares[name] for name in benchmarks.values()) / number - mean * mean
    fields = {
        "score_mean": mean,
        "score_std": math.sqrt(max(variance, 0.0)),
        "score_mean_max": sums.highest[0] / sums.highest[1],
    }
    for benchmark, name in benchmarks.items():
        if sums.number[name]:
            fields[f"score.{benchmark}"] = sums.total[name] / sums.number[name]
    return fields


def _source_fields(counts: NDArray[np.int64], names: Sequence[str]) -> dict[str, float]:
    size = int(counts.sum())
    if not size:
        return {}
    shares = {name: int(count) / size for name, count in zip(names, counts, strict=True)}
    fields = {f"source_share.{name}": share for name, share in shares.items()}
    fields["source_entropy"] = -math.fsum(share * math.log(share) for share in shares.values() if share) + 0.0
    return fields


def _statistics(columns: PreparedColumns) -> PoolStatistics:
    scalars = [name for name in ("words", *RATIOS.values()) if name in columns.names]
    sums = _subset_sums(masks.full(columns.rows), columns, scalars, [])
    features = _features(columns)
    lengths = np.zeros(0, dtype=np.int64) if features is None else np.diff(features.indptr)
    return PoolStatistics(
        words=sums.total.get("words"),
        means={name: sums.total[name] / sums.number[name] for name in scalars if sums.number[name]},
        active=None if features is None else _active(features, None, 0),
        featured=int(np.count_nonzero(lengths)),
        width=int(lengths[0]) if len(lengths) and bool((lengths == lengths[0]).all()) else 0,
    )


def _features(columns: PreparedColumns) -> Csr | None:
    """Return the SAE features, None if the pool has none."""
    if FEATURES not in columns.names:
        return None
    try:
        return columns.features(FEATURES)
    except DataError:
        return None  # pairs go by the same name and may exist alone


def _drift(mask: Mask, columns: PreparedColumns, pool: PoolStatistics) -> float | None:
    """Return ‖c(S) − c(D)‖₂ / √d, None if no row of S has features. The smaller of S and its rest is read."""
    features = columns.features(FEATURES)
    n = columns.rows
    rows = masks.rows_of(mask, n)
    rest = len(rows) > n // 2
    read = masks.rows_of(masks.without(masks.full(n), mask), n) if rest else rows
    active = _active(features, read, pool.width)
    featured = int(np.count_nonzero(features.indptr[read + 1] - features.indptr[read]))
    if pool.active is None:
        return None
    if rest:
        active, featured = pool.active - active, pool.featured - featured
    if not featured:
        return None
    difference = active / featured - pool.active / pool.featured
    return float(np.sqrt(np.square(difference).sum() / features.width))


def _active(features: Csr, rows: masks.Rows | None, width: int) -> NDArray[np.int64]:
    """Return in how many of the given rows (None: all) each feature is active [d].

    Values do not matter; a row names a feature at most once. ``width``: see ``PoolStatistics``.
    """
    counts = np.zeros(features.width, dtype=np.int64)
    if rows is None:
        step = 1 << 20
        for low in range(0, len(features.indices), step):
            counts += np.bincount(features.indices[low : low + step], minlength=features.width)
        return counts
    lengths = features.indptr[rows + 1] - features.indptr[rows]
    block = 1 << 10  # rows whose entries are gathered at once, so that they stay in the cache
    table = features.indices.reshape(-1, width) if width else None
    for low in range(0, len(rows), block):
        part = rows[low : low + block]
        if table is not None:
            found = table[part].ravel()
        else:
            length = lengths[low : low + block]
            starts = np.repeat(features.indptr[part] - np.cumsum(length) + length, length)
            found = features.indices[starts + np.arange(len(starts))]
        counts += np.bincount(found, minlength=features.width)
    return counts


def _present(values: NDArray[np.float32], complete: bool) -> NDArray[np.float32]:
    return values if complete else values[~np.isnan(values)]
