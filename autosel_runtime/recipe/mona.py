"""mona_filter: keep the samples whose features are most like the targets'.

Notation
    b       benchmark (target)
    s_b(x)  relevance of sample x to b, 0..1 (generalised Jaccard; paper, appendix A.1)
    m_b     rows of the mask with s_b;   m  rows with any s_b
    f       fraction

Combining union keeps the best ceil(f·m_b) of every benchmark and joins them, so it keeps more than f: with B
unrelated benchmarks about 1 - (1-f)^B. ``exact_size`` keeps exactly ceil(f·m): the rows whose best place in the
stored order of any benchmark is best.
"""

from collections.abc import Collection, Sequence
from typing import Annotated, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, field_validator, model_validator

from autosel_runtime.errors import DataError
from autosel_runtime.recipe import mask as masks
from autosel_runtime.recipe.cut import BELOW_CUT, Cut, beyond, cut_scalar, finish, split_missing, wanted
from autosel_runtime.recipe.mask import Rows
from autosel_runtime.recipe.model import Mask
from autosel_runtime.recipe.operator import Operator, Outcome, Tunable
from autosel_runtime.recipe.prepared import PreparedColumns
from autosel_runtime.recipe.selection import keep_scored, keep_smallest
from autosel_runtime.recipe.spans import where

__all__ = ["BELOW_CUT", "OPERATORS", "MonaParams", "benchmark_signals"]

Benchmark = Annotated[str, Field(min_length=1, max_length=63)]


class MonaParams(Cut):
    """Relevance to benchmarks."""

    benchmarks: Annotated[list[Benchmark], Field(min_length=1, max_length=64)] | None = Field(
        None, description="Benchmarks to take into account; all when left out.", examples=[["gsm8k", "mmlu"]]
    )
    combine: Literal["union", "max", "mean"] = Field(
        "union",
        description="union: cut by each benchmark and join; max, mean: cut once by the highest or the mean "
        "score over the benchmarks that have one.",
        examples=["max"],
    )
    exact_size: bool = Field(
        False,
        description="With union: keep exactly the wanted number instead of the whole union, the rows that "
        "stand best in any one benchmark.",
        examples=[True],
    )
    signal: Literal["mona", "relevance"] | None = Field(
        None,
        description="Family of scores; when left out mona if the pool has it, else relevance (the trace says "
        "which).",
        examples=["relevance"],
    )

    @field_validator("benchmarks")
    @classmethod
    def _sorted(cls, value: list[str] | None) -> list[str] | None:
        return None if value is None else sorted(set(value))

    @model_validator(mode="after")
    def _exact_size_has_a_number(self) -> Self:
        if self.exact_size and (self.combine != "union" or self.threshold is not None):
            raise ValueError("exact_size goes with combine union and with fraction or top_k")
        return self


def benchmark_signals(
    available: Collection[str], *, signal: str | None = None, benchmarks: Sequence[str] | None = None
) -> dict[str, str]:
    """Return signal name by benchmark, sorted.

    ``signal`` None: mona where the pool has any, else relevance. Asked-for benchmarks are returned whether they
    exist or not; with none asked for, an empty result means that the pool has no such signal.
    """

    def existing(prefix: str) -> dict[str, str]:
        names = sorted(name for name in available if name.startswith(f"{prefix}."))
        return {name.removeprefix(f"{prefix}."): name for name in names}

    prefix = signal or ("mona" if existing("mona") else "relevance")
    if benchmarks is None:
        return existing(prefix)
    return {benchmark: f"{prefix}.{benchmark}" for benchmark in benchmarks}


def _needs(params: MonaParams, available: Collection[str]) -> Sequence[str]:
    found = benchmark_signals(available, signal=params.signal, benchmarks=params.benchmarks)
    return tuple(found.values()) or (f"{params.signal or 'relevance'}.*",)


def _apply(mask: Mask, columns: PreparedColumns, params: MonaParams, seed: int) -> Outcome:  # noqa: ARG001
    names = tuple(
        benchmark_signals(columns.names, signal=params.signal, benchmarks=params.benchmarks).values()
    )
    if not names:
        raise DataError(f"the pool has no signal {params.signal or 'mona.* or relevance'}.*")
    anywhere = masks.empty(columns.rows)
    for name in names:
        anywhere = masks.either(anywhere, columns.scored(name))
    present, absent = split_missing(mask, anywhere, names, params.missing)
    if params.combine != "union":
        kept = _keep_combined(present, columns, names, params)
    elif params.exact_size:
        kept = _keep_best_placed(present, columns, names, params)
    else:
        kept = masks.empty(columns.rows)
        for name in names:
            scored = masks.both(present, columns.scored(name))
            kept = masks.either(kept, cut_scalar(scored, columns, name, params)[0])
    return finish(mask, kept, absent, params, cut=params.threshold, signals=names)


def _keep_combined(present: Mask, columns: PreparedColumns, names: Sequence[str], params: MonaParams) -> Mask:
    """Cut once by the highest or the mean score."""
    if len(names) == 1:
        return cut_scalar(present, columns, names[0], params)[0]
    values = [columns.scalar(name).values for name in names]

    def scores(rows: Rows | slice) -> NDArray[np.float32]:
        taken = [value[rows] for value in values]
        if params.combine == "max":
            return np.fmax.reduce(taken)
        with np.errstate(invalid="ignore"):  # rows without any score: 0 / 0, never kept
            known = np.sum([~np.isnan(value) for value in taken], axis=0)
            total = np.sum([np.nan_to_num(value.astype(np.float64)) for value in taken], axis=0)
            return (total / known).astype(np.float32)

    n = columns.rows
    if params.threshold is None:
        number = wanted(params, masks.count(present))
        return keep_scored(present, n, number, scores, params.direction, threads=columns.threads)
    limit = np.float32(params.threshold)
    if params.combine == "max" and params.direction == "highest":
        kept = masks.empty(n)
        for name in names:
            kept = masks.either(kept, beyond(columns, name, params.threshold, "highest"))
        return masks.both(present, kept)
    if params.direction == "highest":
        passed = where(n, lambda low, high: scores(slice(low, high)) >= limit, threads=columns.threads)
    else:
        passed = where(n, lambda low, high: scores(slice(low, high)) <= limit, threads=columns.threads)
    return masks.both(present, passed)


def _keep_best_placed(
    present: Mask, columns: PreparedColumns, names: Sequence[str], params: MonaParams
) -> Mask:
    """Keep exactly the wanted number: rows by their best place in the stored order of any benchmark."""
    n = columns.rows
    ranks = [columns.scalar(name).ranks for name in names]
    scored = [masks.count(columns.scored(name)) for name in names]

    def keys(rows: Rows) -> NDArray[np.uint64]:
        best = np.full(len(rows), n, dtype=np.int64)
        for rank, m in zip(ranks, scored, strict=True):
            place = rank[rows].astype(np.int64)
            if params.direction == "highest":
                place = np.where(place < n, m - 1 - place, n)
            np.minimum(best, place, out=best)
        return best.astype(np.uint64) << np.uint64(32) | rows.astype(np.uint64)

    number = wanted(params, masks.count(present))
    return keep_smallest(present, n, number, keys, threads=columns.threads)[0]


OPERATORS = (
    Operator(
        name="mona_filter",
        family="filter",
        params=MonaParams,
        apply=_apply,
        needs=_needs,
        summary="Keep the samples most relevant to the target benchmarks.",
        paper="A.1, MONA top-k",
        tunables=(
            Tunable(name="fraction", scale="log", low=0.01, high=1.0),
            Tunable(name="combine", scale="choice", choices=("union", "max", "mean")),
        ),
    ),
)
