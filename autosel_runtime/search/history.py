"""The history of a search: the only state that the next proposal depends on."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

from autosel_runtime.api.search import Recipe

TrialState = Literal["pending", "succeeded", "failed", "invalid"]
Origin = Literal["seed", "warmup", "edit", "random", "llm", "reseed"]


@dataclass(frozen=True, kw_only=True)
class TrialRecord:
    """One trial as the search sees it.

    ``score`` is the objective on the search half in 0..1 and ``stderr`` its standard error; both are None unless
    the state is succeeded. ``phase`` counts reseeds before it was proposed; ``parent`` is the ordinal of the trial
    whose recipe was edited. ``state_vector`` is that of the realised subset.
    """

    ordinal: int
    recipe: Recipe
    recipe_digest: str
    subset_digest: str
    size: int
    state_vector: Mapping[str, float]
    origin: Origin
    phase: int
    parent: int | None
    state: TrialState
    score: float | None
    stderr: float | None


@dataclass(frozen=True, kw_only=True)
class Proposal:
    """A recipe to try next and why. ``mean`` and ``deviation`` are the surrogate's prediction, None while it
    knows nothing."""

    ordinal: int
    recipe: Recipe
    recipe_digest: str
    subset_digest: str
    size: int
    state_vector: Mapping[str, float]
    origin: Origin
    phase: int
    parent: int | None
    mean: float | None
    deviation: float | None
    rationale: str


@dataclass(frozen=True, kw_only=True)
class Realised:
    """What materialising a candidate tells before any training.

    ``identify`` returns the digest of the subset. It costs as much as the recipe, so it is called only for what is
    proposed and for subsets of one size.
    """

    size: int
    retain: float
    state_vector: Mapping[str, float]
    identify: Callable[[], str]

    @cached_property
    def subset_digest(self) -> str:
        """Identity of the subset."""
        return self.identify()
