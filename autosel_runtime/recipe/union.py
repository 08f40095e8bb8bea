"""union: add the subset that an earlier trial realised (the paper's Mix, C ∪ S)."""

from collections.abc import Mapping
from typing import Annotated

from pydantic import Field, ValidationError, ValidatorFunctionWrapHandler, field_validator

from autosel_runtime.errors import DataError
from autosel_runtime.recipe import mask as masks
from autosel_runtime.recipe.model import Mask
from autosel_runtime.recipe.operator import Operator, Outcome, Params
from autosel_runtime.recipe.prepared import PreparedColumns

Ordinal = Annotated[int, Field(ge=0, le=1_000_000)]
RecipeDigest = Annotated[str, Field(pattern=r"^sha256:[0-9a-f]{64}$", max_length=71)]


class UnionParams(Params):
    """Which subset to add."""

    trial: Ordinal | RecipeDigest = Field(
        description="Ordinal of an earlier trial, or the digest of its recipe.", examples=[3]
    )

    @field_validator("trial", mode="wrap")
    @classmethod
    def _one_problem_for_both_forms(cls, value: object, check: ValidatorFunctionWrapHandler) -> object:
        try:
            return check(value)
        except ValidationError:
            raise ValueError(
                f"found {value!r:.200}; it is the ordinal of a trial (0 to 1,000,000), or the digest of its recipe "
                "(sha256: and 64 hexadecimal digits)"
            ) from None


def trial_key(trial: int | str) -> str:
    """Return the key under which a trial's mask is supplied: the ordinal as text, or the recipe digest."""
    return str(trial)


def unknown_trial(trial: int | str, known: Mapping[str, object] | frozenset[str]) -> str:
    """Return the sentence about a trial that is not there."""
    listed = ", ".join(sorted(known, key=lambda key: (len(key), key))[:8]) or "none"
    return f"trial {trial!r} has no known subset; there are: {listed}"


def _apply(mask: Mask, columns: PreparedColumns, params: UnionParams, seed: int) -> Outcome:  # noqa: ARG001
    other = columns.subsets.get(trial_key(params.trial))
    if other is None:
        raise DataError(unknown_trial(params.trial, columns.subsets))
    masks.check(other, columns.rows, f"the subset of trial {params.trial!r}")
    return Outcome(mask=masks.either(mask, other), notes={"added": masks.count(masks.without(other, mask))})


OPERATORS = (
    Operator(
        name="union",
        family="union",
        params=UnionParams,
        apply=_apply,
        adds=True,
        searchable=False,
        summary="Add the samples of an earlier trial's subset.",
        paper="A.1, Mix",
    ),
)
