"""Candidates: recipes that were materialised, are new, and keep enough samples.

A recipe is new when no trial of the history (pending, failed and invalid ones included) has its recipe digest
or its subset digest, and when no live trial nearly equals it in size and in every state quantity.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from autosel_runtime.api.search import Recipe
from autosel_runtime.progress import plural
from autosel_runtime.search.features import Point
from autosel_runtime.search.history import Origin, Realised, TrialRecord
from autosel_runtime.search.space import Space, structure_problem

Materialise = Callable[[Recipe, int], Realised | str]

SIZE_TOLERANCE = 0.005  # relative difference below which two sizes are nearly equal
STATE_TOLERANCE = 0.01  # the same for every state quantity

Refusal = Literal[
    "against the rules",
    "recipe was proposed before",
    "no tries left",
    "cannot be materialised",
    "keeps too few samples",
    "subset was proposed before",
    "nearly equals a trial",
]


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """A realised recipe that may be proposed. ``note`` says how it came about."""

    recipe: Recipe
    recipe_digest: str
    realised: Realised
    origin: Origin
    parent: int | None
    note: str

    @property
    def point(self) -> Point:
        """What the surrogate sees."""
        return Point(recipe=self.recipe, state=state_of(self.realised))


def state_of(realised: Realised) -> Mapping[str, float]:
    """Return the state vector, with the retained fraction in any case."""
    return {"retain_ratio": realised.retain, **realised.state_vector}


@dataclass(frozen=True, kw_only=True)
class Known:
    """What is taken already: digests of every trial, and size and state of the live ones.

    ``trials`` has the sizes of the trials' subsets by digest, ``accepted`` the subsets of new candidates.
    """

    recipes: set[str]
    trials: Mapping[str, int]
    accepted: list[Realised]
    live: list[tuple[int, Mapping[str, float]]]

    def has(self, realised: Realised) -> bool:
        """Return whether the subset is taken. Only subsets of its size are compared by digest."""
        same = {digest for digest, size in self.trials.items() if size == realised.size}
        alike = [other for other in self.accepted if other.size == realised.size]
        return bool(same or alike) and (
            realised.subset_digest in same or any(realised.subset_digest == o.subset_digest for o in alike)
        )


def known_of(history: Sequence[TrialRecord]) -> Known:
    """Return what the history takes. Invalid and failed trials block their digests and nothing else."""
    return Known(
        recipes={r.recipe_digest for r in history},
        trials={r.subset_digest: r.size for r in history if r.subset_digest},
        accepted=[],
        live=[(r.size, r.state_vector) for r in history if r.state in ("pending", "succeeded")],
    )


@dataclass(kw_only=True)
class Intake:
    """Takes recipes, materialises the new ones, keeps those that pass, counts why the others did not.

    ``tries`` bounds materialisations: they cost seconds at a hundred million rows.
    """

    space: Space
    materialise: Materialise
    seed: int
    min_samples: int
    finished: Sequence[str | int]
    known: Known
    tries: int
    accepted: list[Candidate] = field(default_factory=list[Candidate])
    rejected: dict[str, int] = field(default_factory=dict[str, int])

    def offer(self, recipe: Recipe, *, origin: Origin, parent: int | None, note: str) -> Candidate | str:
        """Return the accepted candidate, or why the recipe was refused.

        A seed recipe is the user's explicit wish: only the catalog's rules and exact repetition refuse it.
        """
        refusal, candidate = self._check(recipe, origin, parent, note)
        if candidate is None:
            reason, text = refusal
            self.rejected[reason] = self.rejected.get(reason, 0) + 1
            return text
        self.accepted.append(candidate)
        self.known.recipes.add(candidate.recipe_digest)
        self.known.accepted.append(candidate.realised)
        self.known.live.append((candidate.realised.size, candidate.realised.state_vector))
        return candidate

    def _check(
        self, recipe: Recipe, origin: Origin, parent: int | None, note: str
    ) -> tuple[tuple[Refusal | Literal[""], str], Candidate | None]:
        wished = origin == "seed"
        problem = (
            self.space.rules.problem(recipe)
            if wished
            else structure_problem(recipe, self.space, self.finished)
        )
        if problem is not None:
            return ("against the rules", problem), None
        recipe_digest = self.space.rules.digest(recipe)
        if recipe_digest in self.known.recipes:
            return ("recipe was proposed before", "the recipe was proposed before"), None
        if self.tries <= 0:
            return ("no tries left", "the bound on materialised recipes was reached"), None
        self.tries -= 1
        self.known.recipes.add(recipe_digest)
        realised = self.materialise(recipe, self.seed)
        if isinstance(realised, str):
            return ("cannot be materialised", realised), None
        if realised.size < self.min_samples:
            text = f"keeps {plural(realised.size, 'sample')}; at least {self.min_samples:,} are needed"
            return ("keeps too few samples", text), None
        if self.known.has(realised):
            return ("subset was proposed before", "the same subset was proposed before"), None
        if not wished and any(nearly_equal(realised, size, state) for size, state in self.known.live):
            return ("nearly equals a trial", "the subset nearly equals one that was proposed before"), None
        return ("", ""), Candidate(
            recipe=recipe,
            recipe_digest=recipe_digest,
            realised=realised,
            origin=origin,
            parent=parent,
            note=note,
        )


def nearly_equal(realised: Realised, size: int, state: Mapping[str, float]) -> bool:
    """Return whether a subset has nearly the size and nearly every state quantity of another one."""
    if abs(realised.size - size) > SIZE_TOLERANCE * max(realised.size, size):
        return False
    shared = set(realised.state_vector) & set(state)
    if not shared:
        return False
    return all(
        abs(realised.state_vector[k] - state[k])
        <= STATE_TOLERANCE * max(abs(realised.state_vector[k]), abs(state[k]), 1e-9)
        for k in shared
    )
