"""Deduplication from stored groups and pairs: a threshold is a look-up, no text is read."""

from collections.abc import Callable, Collection, Sequence
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from autosel_runtime.errors import DataError
from autosel_runtime.recipe import mask as masks
from autosel_runtime.recipe.columns import Columns
from autosel_runtime.recipe.model import Mask
from autosel_runtime.recipe.neighbours import drop_repeats, drop_similar, neighbourhood, repeats
from autosel_runtime.recipe.operator import Operator, Outcome, Params, Tunable
from autosel_runtime.recipe.prepared import PreparedColumns
from autosel_runtime.recipe.selection import Direction

DUPLICATE = "duplicate of a kept row"
# The lowest floor that a search may set; what a pool has is spec.signals.minhash.floor, or more when it has very many
# similar pairs.
LEAST_FLOOR = 0.1
DEFAULT_THRESHOLDS = {"minhash": 0.8, "embedding": 0.95}


class Preference(Params):
    """Which of several similar rows stays."""

    prefer: Annotated[str, Field(min_length=1, max_length=128)] | None = Field(
        None,
        description="Scalar by which the row that stays is chosen; pool order when left out.",
        examples=["quality"],
    )
    prefer_direction: Direction = Field(
        "highest", description="Which end of prefer stays; rows without it come last.", examples=["lowest"]
    )


class SemanticDedupParams(Preference):
    """Duplicates of the text."""

    strategy: Literal["exact", "minhash", "embedding"] = Field(
        "minhash",
        description="exact: equal normalised text; minhash: Jaccard similarity of word shingles; embedding: "
        "cosine of embeddings.",
        examples=["exact"],
    )
    threshold: float | None = Field(
        None,
        ge=LEAST_FLOOR,
        le=1.0,
        description="Least similarity of a duplicate, at least spec.signals.minhash.floor (0.5) or "
        "spec.signals.embedding.floor (0.9); when left out 0.8 for "
        "minhash and 0.95 for embedding. Not with exact.",
        examples=[0.8],
    )

    @model_validator(mode="after")
    def _threshold_belongs_to_pairs(self) -> Self:
        if self.strategy == "exact":
            if self.threshold is not None:
                raise ValueError("threshold does not go with strategy exact")
        elif self.threshold is None:
            object.__setattr__(self, "threshold", DEFAULT_THRESHOLDS[self.strategy])
        return self


class SemdedupParams(Preference):
    """Duplicates of the meaning, by SAE features."""

    threshold: float = Field(
        0.95, ge=0.0, le=1.0, description="Least cosine of a duplicate.", examples=[0.88]
    )


def _drop(
    mask: Mask, columns: PreparedColumns, pairs: str | None, threshold: float, params: Preference
) -> Outcome:
    """Drop repeats of the exact groups (``pairs`` None) or rows similar by the named pairs."""
    score = columns.scalar(params.prefer).values if params.prefer is not None else None
    n = columns.rows
    if pairs is None:
        known = columns.remember(("repeats", "exact"), lambda: repeats(columns.groups("exact")))
        dropped = drop_repeats(mask, n, known, score, params.prefer_direction)
    else:
        stored = columns.pairs(pairs)
        problem = _floor_problem(pairs, threshold, stored.floor)
        if problem:
            raise DataError(problem)
        near = columns.remember(("neighbourhood", pairs), lambda: neighbourhood(stored, n))
        dropped = drop_similar(mask, n, near, threshold, score, params.prefer_direction)
    notes = {"signals": [pairs or "exact", *([params.prefer] if params.prefer else [])]}
    return Outcome(mask=masks.without(mask, dropped), reasons={DUPLICATE: dropped}, notes=notes)


def _apply_semantic(
    mask: Mask,
    columns: PreparedColumns,
    params: SemanticDedupParams,
    seed: int,  # noqa: ARG001
) -> Outcome:
    pairs = None if params.strategy == "exact" else params.strategy
    return _drop(mask, columns, pairs, params.threshold or 0.0, params)


def _apply_semdedup(
    mask: Mask,
    columns: PreparedColumns,
    params: SemdedupParams,
    seed: int,  # noqa: ARG001
) -> Outcome:
    return _drop(mask, columns, "sae", params.threshold, params)


def _needs_semantic(params: SemanticDedupParams, available: Collection[str]) -> Sequence[str]:  # noqa: ARG001
    return (params.strategy, *([params.prefer] if params.prefer else []))


def _needs_semdedup(params: SemdedupParams, available: Collection[str]) -> Sequence[str]:  # noqa: ARG001
    return ("sae", *([params.prefer] if params.prefer else []))


def _check(
    pairs_of: Callable[[Preference], tuple[str, float] | None],
) -> Callable[[Preference, Columns], list[str]]:
    """Return a check of the threshold against the least stored similarity."""

    def check(params: Preference, columns: Columns) -> list[str]:
        asked = pairs_of(params)
        if asked is None:
            return []
        problem = _floor_problem(asked[0], asked[1], columns.pairs(asked[0]).floor)
        return [f"threshold: {problem}"] if problem else []

    return check


def _semantic_pairs(params: Preference) -> tuple[str, float] | None:
    if not isinstance(params, SemanticDedupParams) or params.strategy == "exact":
        return None
    return params.strategy, params.threshold or 0.0


def _semdedup_pairs(params: Preference) -> tuple[str, float] | None:
    return ("sae", params.threshold) if isinstance(params, SemdedupParams) else None


def _floor_problem(pairs: str, threshold: float, floor: float) -> str | None:
    if threshold >= floor:
        return None
    return f"{threshold:g} is below {floor:g}, the least similarity for which {pairs} pairs were stored" + (
        "" if pairs == "sae" else f" (spec.signals.{pairs}.floor)"
    )


def stored_pairs(params: Params) -> tuple[str, float] | None:
    """Return which pairs a step reads and from which similarity on, None when it reads none."""
    if not isinstance(params, Preference):
        return None
    return _semantic_pairs(params) or _semdedup_pairs(params)


OPERATORS = (
    Operator(
        name="semantic_dedup",
        family="dedup",
        params=SemanticDedupParams,
        apply=_apply_semantic,
        needs=_needs_semantic,
        scalars=("prefer",),
        check=_check(_semantic_pairs),
        summary="Keep one of each set of samples with equal or similar text.",
        paper="table 4, SemDedup",
        tunables=(
            Tunable(
                name="strategy", scale="choice", choices=("minhash", "embedding", "exact"), by_default=False
            ),
            Tunable(
                name="threshold", scale="linear", low=0.5, high=0.99, when=("strategy", "minhash", "minhash")
            ),
            Tunable(
                name="threshold",
                scale="linear",
                low=0.9,
                high=0.999,
                when=("strategy", "embedding", "minhash"),
            ),
        ),
    ),
    Operator(
        name="semdedup",
        family="dedup",
        params=SemdedupParams,
        apply=_apply_semdedup,
        needs=_needs_semdedup,
        scalars=("prefer",),
        check=_check(_semdedup_pairs),
        summary="Keep one of each set of samples with similar SAE features. Cannot run in this version, which "
        "computes none.",
        paper="A.1, SemDedup",
        tunables=(Tunable(name="threshold", scale="linear", low=0.7, high=0.99),),
    ),
)
