"""The cut that all score filters share: a fraction, a number or a threshold of the rows that have a score.

Notation
    m   rows of the input mask that have a score
    f   fraction; ceil(f·m) rows are kept (paper, appendix A.1), computed exactly
"""

from collections.abc import Sequence
from typing import Literal, Self

import numpy as np
from pydantic import Field, model_validator

from autosel_runtime.errors import DataError
from autosel_runtime.recipe import mask as masks
from autosel_runtime.recipe.model import Mask
from autosel_runtime.recipe.operator import Outcome, Params, Tunable
from autosel_runtime.recipe.prepared import PreparedColumns
from autosel_runtime.recipe.selection import Direction, exact_share, keep_ranked
from autosel_runtime.recipe.spans import where

BELOW_CUT = "below cut"
MISSING_SCORE = "missing score"

FRACTION = Tunable(name="fraction", scale="linear", low=0.05, high=1.0)
DIRECTION = Tunable(name="direction", scale="choice", choices=("highest", "lowest"))


class Cut(Params):
    """Exactly one of fraction, top_k and threshold."""

    fraction: float | None = Field(
        None,
        gt=0.0,
        le=1.0,
        description="Keep this share of the rows that have a score, rounded up.",
        examples=[0.5],
    )
    top_k: int | None = Field(
        None,
        ge=1,
        le=10_000_000_000,
        description="Keep this many rows; all if there are fewer.",
        examples=[10000],
    )
    threshold: float | None = Field(
        None,
        ge=-1e30,
        le=1e30,
        description="Keep scores of at least (direction lowest: at most) this, compared in float32.",
        examples=[0.8],
    )
    direction: Direction = Field(
        "highest",
        description="Which end of the order is kept; among equal scores the earlier rows are.",
        examples=["lowest"],
    )
    missing: Literal["drop", "keep", "error"] = Field(
        "drop", description="What becomes of rows without a score.", examples=["keep"]
    )

    @model_validator(mode="after")
    def _one_cut(self) -> Self:
        if sum(value is not None for value in (self.fraction, self.top_k, self.threshold)) != 1:
            raise ValueError("give exactly one of fraction, top_k and threshold")
        return self


def wanted(params: Cut, m: int) -> int:
    """Return how many of ``m`` scored rows a fraction or a number keeps."""
    if params.fraction is not None:
        return exact_share(params.fraction, m)
    if params.top_k is None:
        raise ValueError("a threshold has no fixed number")
    return min(params.top_k, m)


def split_missing(
    mask: Mask, scored: Mask, names: Sequence[str], missing: Literal["drop", "keep", "error"]
) -> tuple[Mask, Mask]:
    """Return the rows of the mask with and without a score.

    DataError if no row has one, or if some lack it and ``missing`` is error.
    """
    present = masks.both(mask, scored)
    absent = masks.without(mask, scored)
    what = " or ".join(names)
    if not present.any():
        raise DataError(f"none of the {masks.count(mask):,} rows that are left has a score {what}")
    if missing == "error" and absent.any():
        raise DataError(f"{masks.count(absent):,} of {masks.count(mask):,} rows have no score {what}")
    return present, absent


def cut_scalar(mask: Mask, columns: PreparedColumns, name: str, params: Cut) -> tuple[Mask, float | None]:
    """Return the rows of ``mask`` that the cut keeps by the scalar ``name``, which all of them have, and the
    score at the cut (None when all are kept)."""
    column = columns.scalar(name)
    if params.threshold is not None:
        return masks.both(mask, beyond(columns, name, params.threshold, params.direction)), params.threshold
    return keep_ranked(
        mask, column, wanted(params, masks.count(mask)), params.direction, threads=columns.threads
    )


def beyond(columns: PreparedColumns, name: str, threshold: float, direction: Direction) -> Mask:
    """Return the pool rows whose scalar ``name`` is at least (lowest: at most) ``threshold`` in float32."""
    values, limit = columns.scalar(name).values, np.float32(threshold)
    if direction == "highest":
        return where(columns.rows, lambda low, high: values[low:high] >= limit, threads=columns.threads)
    return where(columns.rows, lambda low, high: values[low:high] <= limit, threads=columns.threads)


def finish(
    mask: Mask, kept: Mask, absent: Mask, params: Cut, *, cut: float | None, signals: Sequence[str]
) -> Outcome:
    """Put the outcome together: kept rows, rows without a score as ``missing`` says, reasons and notes."""
    keep_absent = params.missing == "keep"
    result = masks.either(kept, absent) if keep_absent else kept
    reasons = {BELOW_CUT: masks.without(masks.without(mask, kept), absent)}
    if not keep_absent:
        reasons[MISSING_SCORE] = absent
    notes: dict[str, object] = {"signals": list(signals)}
    if cut is not None:
        notes["cut"] = cut
    return Outcome(mask=result, reasons=reasons, notes=notes)
