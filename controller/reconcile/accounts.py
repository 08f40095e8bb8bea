"""What the controller reads of a step's account, checked before it is believed.

An account comes from a pod, whose image is the user's choice. One that lacks a field, or whose score is no number, is a
failure of its step with a reason; it must never stop the controller half-way.
"""

from collections.abc import Mapping
from typing import Annotated, Any

import orjson
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from autosel_runtime.api.common import Digest
from autosel_runtime.api.search import Recipe

# What a record in a status holds.
MAX_ACCOUNT_BYTES = 4096
# The step spoke, but not as agreed: the same image would say the same again.
PROTOCOL = 76

Prefix = Annotated[str, Field(min_length=1, max_length=1024)]
Score = Annotated[float, Field(ge=0.0, le=1.0)]
Deviation = Annotated[float, Field(ge=0.0, le=1e12)]
Quantity = Annotated[float, Field(ge=-1e12, le=1e12)]
Count = Annotated[int, Field(ge=0, le=10**12)]
Warnings = Annotated[list[Annotated[str, Field(max_length=1024)]], Field(max_length=16)]
# Of a task: its items, those whose question is in the pool, those in the targets.
ItemCounts = Annotated[list[Count], Field(min_length=3, max_length=3)]


class Account(BaseModel):
    """Fields that nobody reads are left alone; numbers are finite numbers."""

    model_config = ConfigDict(extra="ignore", frozen=True, strict=True, allow_inf_nan=False)

    accelerator_seconds: Deviation = 0.0


class Prepared(Account):
    """Where the pool lies and what decides the content of everything after it."""

    pool: Prefix
    pool_digest: Prefix
    model_digest: Prefix
    signal_model_digest: Prefix
    targets_digest: Prefix
    tasks_digest: Prefix
    transfer_model_digests: list[Prefix] = Field(default_factory=list[str])
    overlap: dict[str, ItemCounts] = Field(default_factory=dict[str, list[int]])
    overlap_left_out: Count = 0


class Proposal(Account):
    """A trial to be made."""

    recipe: dict[str, Any]
    recipe_digest: Digest
    subset_digest: Digest | None
    size: Count | None
    state_vector: dict[str, Quantity]
    origin: str
    phase: Count
    parent: Count | None
    mean: Quantity | None
    deviation: Deviation | None
    rationale: str


class Suggested(Account):
    """Proposals, or why there are none."""

    proposals: list[Proposal]
    exhausted: str | None = None
    warnings: Warnings = Field(default_factory=list[str])


class Chosen(Account):
    """The ordinal of the recipe that the search ends with."""

    chosen: Count
    why: str = ""


class Materialized(Account):
    """The subset of a trial."""

    subset_digest: Digest
    size: Count


class Scored(Account):
    """A mean and its standard error."""

    mean: Score
    stderr: Score


class TaskScored(Scored):
    """The score of one task."""

    n: Count


class Evaluated(Account):
    """The scores of a model."""

    objective: Scored
    tasks: dict[str, TaskScored] = Field(default_factory=dict[str, TaskScored])
    tasks_left_out: Count = 0


class Missing(Account):
    """An evaluation whose model is not in the store, after so many further trainings."""

    missing: Count


class Gain(Account):
    """A difference on the report half and its interval."""

    mean: Quantity
    low: Quantity | None = None
    high: Quantity | None = None


class Reported(Account):
    """What the report says of the chosen recipe."""

    gain: dict[str, Gain] | None = None


MODELS: Mapping[str, type[Account]] = {
    "prepare": Prepared,
    "score": Account,
    "suggest": Suggested,
    "materialize": Materialized,
    "train": Account,
    "evaluate": Evaluated,
    "report": Reported,
}


def complaint(step: str, account: Mapping[str, Any]) -> str | None:
    """Return what is wrong with the account of a step that says it succeeded, or None."""
    size = len(orjson.dumps(dict(account)))
    if size > MAX_ACCOUNT_BYTES:
        return f"it has {size:,} bytes, at most {MAX_ACCOUNT_BYTES:,} are allowed"
    model = MODELS.get(step, Account)
    if step == "suggest" and "chosen" in account:
        model = Chosen
    if step == "evaluate" and "missing" in account:
        model = Missing
    try:
        found = model.model_validate(dict(account))
        if isinstance(found, Suggested):
            for proposal in found.proposals:
                Recipe.model_validate(proposal.recipe)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"])
        return f"{field}: {first['msg']}"
    return None
