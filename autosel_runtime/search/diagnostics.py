"""Why a proposal was made: everything that was considered, and what the surrogate thought of it."""

from collections.abc import Mapping
from dataclasses import dataclass

from autosel_runtime.api.search import Recipe
from autosel_runtime.search.history import Origin


@dataclass(frozen=True, kw_only=True)
class CandidateRow:
    """One candidate. ``value`` is what the ranker ordered by; ``rank`` 1 was proposed."""

    recipe: Recipe
    recipe_digest: str
    size: int
    origin: Origin
    note: str
    mean: float | None
    deviation: float | None
    value: float
    rank: int


@dataclass(frozen=True, kw_only=True)
class SurrogateState:
    """What the surrogate knew. ``skill`` is its leave-one-out skill, ``noise`` the learned deviation of a score."""

    trials: int
    informative: bool
    skill: float | None
    noise: float | None


@dataclass(frozen=True, kw_only=True)
class ProposalDiagnostics:
    """One proposal, or why there is none.

    ``reason`` is empty for a proposal. ``rejected`` counts refused recipes by reason; ``warnings`` are for the person
    who runs the search (an LLM that failed, a seed recipe that cannot be used).
    """

    ordinal: int
    phase: int
    stagnation: int
    anchor: int | None
    policy: str
    ranker: str
    surrogate: SurrogateState
    candidates: tuple[CandidateRow, ...]
    rejected: Mapping[str, int]
    credit: Mapping[str, float]
    warnings: tuple[str, ...]
    reason: str


@dataclass(frozen=True, kw_only=True)
class Diagnostics:
    """All that ``propose`` considered, one entry for every proposal that was asked for and tried."""

    proposals: tuple[ProposalDiagnostics, ...]

    @property
    def warnings(self) -> tuple[str, ...]:
        """All warnings, each once, in order."""
        return tuple(dict.fromkeys(w for p in self.proposals for w in p.warnings))

    @property
    def reason(self) -> str:
        """Why fewer proposals came than were asked for; empty when all came."""
        return next((p.reason for p in self.proposals if p.reason), "")
