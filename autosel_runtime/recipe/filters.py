"""Score filters: keep the rows that lie at one end of one per-sample signal."""

from collections.abc import Collection, Sequence
from typing import Annotated, Literal

import numpy as np
from pydantic import Field

from autosel_runtime.recipe import mask as masks
from autosel_runtime.recipe.cut import DIRECTION, FRACTION, Cut, cut_scalar, finish, split_missing
from autosel_runtime.recipe.model import Mask
from autosel_runtime.recipe.operator import Apply, Needs, Operator, Outcome
from autosel_runtime.recipe.prepared import PreparedColumns
from autosel_runtime.recipe.spans import where

ABOVE_ONE = "above one"

SignalName = Annotated[str, Field(min_length=1, max_length=128)]


class IfdParams(Cut):
    """Instruction-following difficulty: how much the prompt helps with the answer."""

    variant: Literal["ifd", "ifd_full"] = Field(
        "ifd",
        description="ifd: loss of the answer given the prompt over loss of the answer alone (the paper's); "
        "ifd_full: loss of the whole text over loss of the answer alone.",
        examples=["ifd"],
    )
    reject_above_one: bool = Field(
        False,
        description="First drop rows above one, where the prompt makes the answer harder.",
        examples=[True],
    )


class VarentropyParams(Cut):
    """Mean varentropy of the model's next-token distributions over the answer."""

    variant: Literal["varentropy", "varentropy_answer"] = Field(
        "varentropy",
        description="Of the answer given the prompt, or of the answer alone.",
        examples=["varentropy"],
    )


class NgramEntropyParams(Cut):
    """Unigram Shannon entropy of the text, in bits."""


class ActionObjectParams(Cut):
    """Verbs and the size of their dependency subtrees."""


class QualityParams(Cut):
    """Rule score in 0..1."""


class ScoreParams(Cut):
    """Any scalar column."""

    signal: SignalName = Field(description="Name of the scalar column.", examples=["answer_words"])


def _filter_by(mask: Mask, columns: PreparedColumns, name: str, params: Cut) -> Outcome:
    present, absent = split_missing(mask, columns.scored(name), [name], params.missing)
    kept, cut = cut_scalar(present, columns, name, params)
    return finish(mask, kept, absent, params, cut=cut, signals=[name])


def _by(name: str) -> tuple[Apply, Needs]:
    """Return apply and needs of a filter whose signal is fixed."""

    def apply(mask: Mask, columns: PreparedColumns, params: Cut, seed: int) -> Outcome:  # noqa: ARG001
        return _filter_by(mask, columns, name, params)

    return apply, lambda params, available: (name,)  # noqa: ARG005


def _apply_ifd(mask: Mask, columns: PreparedColumns, params: IfdParams, seed: int) -> Outcome:  # noqa: ARG001
    name = params.variant
    if not params.reject_above_one:
        return _filter_by(mask, columns, name, params)
    values = columns.scalar(name).values
    above = masks.both(
        mask,
        where(columns.rows, lambda low, high: values[low:high] > np.float32(1), threads=columns.threads),
    )
    rest = masks.without(mask, above)
    outcome = _filter_by(rest, columns, name, params)
    return Outcome(mask=outcome.mask, reasons={ABOVE_ONE: above, **outcome.reasons}, notes=outcome.notes)


def _apply_varentropy(
    mask: Mask,
    columns: PreparedColumns,
    params: VarentropyParams,
    seed: int,  # noqa: ARG001
) -> Outcome:
    return _filter_by(mask, columns, params.variant, params)


def _apply_score(mask: Mask, columns: PreparedColumns, params: ScoreParams, seed: int) -> Outcome:  # noqa: ARG001
    return _filter_by(mask, columns, params.signal, params)


def _needs_variant(
    params: IfdParams | VarentropyParams,
    available: Collection[str],  # noqa: ARG001
) -> Sequence[str]:
    return (params.variant,)


def _needs_signal(params: ScoreParams, available: Collection[str]) -> Sequence[str]:  # noqa: ARG001
    return (params.signal,)


_NGRAM, _NGRAM_NEEDS = _by("ngram_entropy")
_ACTION, _ACTION_NEEDS = _by("action_object")
_QUALITY, _QUALITY_NEEDS = _by("quality")

OPERATORS = (
    Operator(
        name="ifd_filter",
        family="filter",
        params=IfdParams,
        apply=_apply_ifd,
        needs=_needs_variant,
        summary="Keep the samples whose answers are hardest (or easiest) to follow from their prompts.",
        paper="A.1, IFD top-k",
        tunables=(FRACTION, DIRECTION),
    ),
    Operator(
        name="ngram_entropy_filter",
        family="filter",
        params=NgramEntropyParams,
        apply=_NGRAM,
        needs=_NGRAM_NEEDS,
        summary="Keep the samples with the richest (or plainest) vocabulary.",
        paper="A.1, N-gram top-k",
        tunables=(FRACTION, DIRECTION),
    ),
    Operator(
        name="action_object_filter",
        family="filter",
        params=ActionObjectParams,
        apply=_ACTION,
        needs=_ACTION_NEEDS,
        summary="Keep the samples that ask for the most (or fewest) actions.",
        paper="A.1, AO top-k",
        tunables=(FRACTION, DIRECTION),
    ),
    Operator(
        name="varentropy_filter",
        family="filter",
        params=VarentropyParams,
        apply=_apply_varentropy,
        needs=_needs_variant,
        summary="Keep the samples on whose answers the model's uncertainty fluctuates most (or least).",
        paper="A.1, Varentropy top-k",
        tunables=(FRACTION, DIRECTION),
    ),
    Operator(
        name="quality_filter",
        family="filter",
        params=QualityParams,
        apply=_QUALITY,
        needs=_QUALITY_NEEDS,
        summary="Keep the samples with the best (or worst) rule score.",
        tunables=(FRACTION,),
    ),
    Operator(
        name="score_filter",
        family="filter",
        params=ScoreParams,
        apply=_apply_score,
        needs=_needs_signal,
        scalars=("signal",),
        summary="Keep the samples at one end of any scalar signal, also one of an extension.",
        tunables=(FRACTION, DIRECTION),
        searchable=False,
    ),
)
