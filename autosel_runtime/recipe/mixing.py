"""Draws and mixes: how many rows, from which source, at random but always the same for a seed.

Notation
    T     rows to draw
    w_s   weight of source s;  c_s  rows of source s in the mask
    V_s   mean varentropy over the rows of source s that have one
    τ     temperature

Without oversampling a source gives at most c_s; what it cannot give is shared among the others by weight.
"""

import math
import sys
from collections.abc import Collection, Sequence
from typing import Annotated, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from autosel_runtime.errors import DataError
from autosel_runtime.recipe import mask as masks
from autosel_runtime.recipe.columns import Columns
from autosel_runtime.recipe.model import Mask
from autosel_runtime.recipe.operator import Operator, Outcome, Params, Tunable
from autosel_runtime.recipe.prepared import PreparedColumns
from autosel_runtime.recipe.selection import apportion, exact_share, keep_random, mix
from autosel_runtime.recipe.spans import map_spans, span_rows

NOT_DRAWN = "not drawn"
OUTSIDE_MIX = "source not in the mix"

Weight = Annotated[float, Field(ge=0.0, le=1e9)]
SourceName = Annotated[str, Field(min_length=1, max_length=63)]


class Draw(Params):
    """Exactly one of size and fraction, and where the random choice comes from."""

    size: int | None = Field(
        None, ge=1, le=10_000_000_000, description="Rows to draw; all if there are fewer.", examples=[45000]
    )
    fraction: float | None = Field(
        None, gt=0.0, le=1.0, description="Share of the rows to draw, rounded up.", examples=[0.5]
    )
    seed: int | None = Field(
        None,
        ge=0,
        le=2**31 - 1,
        description="Seed of this draw; when left out it follows from the execution's seed and the step's place.",
        examples=[7],
    )

    @model_validator(mode="after")
    def _one_number(self) -> Self:
        if (self.size is None) == (self.fraction is None):
            raise ValueError("give exactly one of size and fraction")
        return self


class RandomSubsetParams(Draw):
    """A random draw."""

    strategy: Literal["proportional", "balanced", "uniform"] = Field(
        "proportional",
        description="proportional: every source gives its share of the rows; balanced: every source gives the "
        "same number; uniform: sources are not looked at.",
        examples=["balanced"],
    )


class SourceMixParams(Draw):
    """A mix with given weights."""

    weights: Annotated[dict[SourceName, Weight], Field(min_length=1, max_length=256)] = Field(
        description="Weight by source; sources that are not named are left out.",
        examples=[{"gsm8k": 2.0, "alpaca": 1.0}],
    )

    @model_validator(mode="after")
    def _some_weight(self) -> Self:
        if not any(weight > 0 for weight in self.weights.values()):
            raise ValueError("at least one weight must be above 0")
        return self


class VarentropyMixParams(Draw):
    """A mix in favour of the sources about which the model is least settled."""

    temperature: float = Field(
        1.0,
        gt=0.0,
        le=1e6,
        description="High: sources alike; low: the highest mean takes all.",
        examples=[1.0],
    )
    variant: Literal["varentropy", "varentropy_answer"] = Field(
        "varentropy", description="Which varentropy is averaged.", examples=["varentropy"]
    )


def _total(params: Draw, m: int) -> int:
    return min(params.size, m) if params.size is not None else exact_share(params.fraction or 1.0, m)


def _seed(params: Draw, seed: int) -> int:
    return seed if params.seed is None else mix(params.seed)


def _by_source(mask: Mask, columns: PreparedColumns) -> list[Mask]:
    """Return the rows of every source in the mask, by source code."""
    codes = columns.source_codes
    found = [masks.empty(columns.rows) for _ in columns.source_names]

    def split(low: int, high: int) -> None:
        part = slice(low // 8, (high + 7) // 8)
        for code, rows in enumerate(found):
            np.bitwise_and(
                np.packbits(codes[low:high] == code, bitorder="little"), mask[part], out=rows[part]
            )

    map_spans(split, columns.rows, threads=columns.threads)
    return found


def _draw(by_source: Sequence[Mask], columns: PreparedColumns, shares: Sequence[int], seed: int) -> Mask:
    """Draw ``shares[s]`` rows of every source."""
    result = masks.empty(columns.rows)
    for rows, share in zip(by_source, shares, strict=True):
        if share > 0:
            drawn = keep_random(rows, columns.rows, share, seed, threads=columns.threads)
            result = masks.either(result, drawn)
    return result


def _apply_random(mask: Mask, columns: PreparedColumns, params: RandomSubsetParams, seed: int) -> Outcome:
    total = _total(params, masks.count(mask))
    if params.strategy == "uniform":
        kept = keep_random(mask, columns.rows, total, _seed(params, seed), threads=columns.threads)
    else:
        by_source = _by_source(mask, columns)
        counts = [masks.count(rows) for rows in by_source]
        weights = counts if params.strategy == "proportional" else [1] * len(counts)
        shares = apportion(weights, counts, total)
        kept = _draw(by_source, columns, shares, _seed(params, seed))
    return Outcome(mask=kept, reasons={NOT_DRAWN: masks.without(mask, kept)})


def _apply_mix(
    mask: Mask, columns: PreparedColumns, params: Draw, seed: int, weights: Sequence[float]
) -> Outcome:
    """Draw by weight; rows of sources without weight are outside the mix."""
    by_source = _by_source(mask, columns)
    counts = [masks.count(rows) for rows in by_source]
    if not any(weight > 0 and count for weight, count in zip(weights, counts, strict=True)):
        raise DataError("none of the rows that are left belongs to a source of the mix")
    shares = apportion(weights, counts, _total(params, masks.count(mask)))
    kept = _draw(by_source, columns, shares, _seed(params, seed))
    inside = masks.empty(columns.rows)
    for rows, weight in zip(by_source, weights, strict=True):
        if weight > 0:
            inside = masks.either(inside, rows)
    reasons = {
        NOT_DRAWN: masks.without(inside, kept),
        OUTSIDE_MIX: masks.without(mask, inside),
    }
    drawn = {name: share for name, share in zip(columns.source_names, shares, strict=True) if share}
    return Outcome(mask=kept, reasons=reasons, notes={"drawn": drawn})


def _apply_source_mix(mask: Mask, columns: PreparedColumns, params: SourceMixParams, seed: int) -> Outcome:
    problem = unknown_sources(params.weights, columns.source_names)
    if problem:
        raise DataError(problem)
    return _apply_mix(mask, columns, params, seed, [params.weights.get(s, 0.0) for s in columns.source_names])


def unknown_sources(weights: Collection[str], sources: Sequence[str]) -> str | None:
    """Return the sentence about weights for sources that a pool does not have, None when it has all."""
    unknown = sorted(set(weights) - set(sources))
    if not unknown:
        return None
    return f"unknown source {', '.join(map(repr, unknown))}; the pool has: {', '.join(sources)}"


def _check_source_mix(params: SourceMixParams, columns: Columns) -> list[str]:
    problem = unknown_sources(params.weights, columns.source_names)
    return [f"weights: {problem}"] if problem else []


def softmax(values: Sequence[float | None], temperature: float) -> list[float]:
    """Return exp(v / τ) over their sum, 0 where v is None and only there.

    The highest v is subtracted first, so that nothing overflows; what underflows is held just above 0, so that
    such a source still gives what the others cannot.
    """
    top = max((value for value in values if value is not None), default=0.0)
    least = sys.float_info.min
    raised = [0.0 if value is None else max(math.exp((value - top) / temperature), least) for value in values]
    whole = math.fsum(raised)
    return [value / whole if whole else 0.0 for value in raised]


def _apply_varentropy_mix(
    mask: Mask, columns: PreparedColumns, params: VarentropyMixParams, seed: int
) -> Outcome:
    means = _means_by_source(mask, columns, params.variant)
    if all(mean is None for mean in means):
        raise DataError(f"none of the {masks.count(mask):,} rows that are left has a score {params.variant}")
    outcome = _apply_mix(mask, columns, params, seed, softmax(means, params.temperature))
    return Outcome(
        mask=outcome.mask, reasons=outcome.reasons, notes={**outcome.notes, "signals": [params.variant]}
    )


def _means_by_source(mask: Mask, columns: PreparedColumns, name: str) -> list[float | None]:
    """Return V_s by source code, None for a source without a score."""
    values, codes, size = columns.scalar(name).values, columns.source_codes, len(columns.source_names)
    scored = masks.both(mask, columns.scored(name))

    def partial(low: int, high: int) -> NDArray[np.float64]:
        rows = span_rows(scored, low, high)
        code = codes[rows]
        sums = np.zeros((2, size), dtype=np.float64)
        sums[0] = np.bincount(code, weights=values[rows], minlength=size)
        sums[1] = np.bincount(code, minlength=size)
        return sums

    total, number = np.stack(map_spans(partial, columns.rows, threads=columns.threads)).sum(axis=0)
    return [float(t / m) if m else None for t, m in zip(total, number, strict=True)]


def _needs_varentropy(params: VarentropyMixParams, available: Collection[str]) -> Sequence[str]:  # noqa: ARG001
    return (params.variant,)


_SHARE = Tunable(name="fraction", scale="log", low=0.05, high=1.0)

OPERATORS = (
    Operator(
        name="random_subset",
        family="mix",
        params=RandomSubsetParams,
        apply=_apply_random,
        summary="Keep a random subset.",
        paper="A.1, Random top-k",
        tunables=(
            _SHARE,
            Tunable(name="strategy", scale="choice", choices=("proportional", "balanced", "uniform")),
        ),
    ),
    Operator(
        name="source_mix",
        family="mix",
        params=SourceMixParams,
        apply=_apply_source_mix,
        check=_check_source_mix,
        summary="Draw from the sources by given weights.",
        tunables=(_SHARE, Tunable(name="weights", scale="composition")),
        # one number a source more to learn: ten evaluations found less with it than without
        by_default=False,
    ),
    Operator(
        name="varentropy_mix",
        family="mix",
        params=VarentropyMixParams,
        apply=_apply_varentropy_mix,
        needs=_needs_varentropy,
        summary="Draw from the sources by the softmax of their mean varentropy.",
        tunables=(_SHARE, Tunable(name="temperature", scale="log", low=0.1, high=10.0)),
    ),
)
