"""A proposal in the making: what was taken in, what the model thinks of it, and why the choice fell as it did."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from autosel_runtime.api.search import SearchSettings
from autosel_runtime.progress import plural
from autosel_runtime.search.candidates import Candidate, Intake, Materialise, state_of
from autosel_runtime.search.diagnostics import CandidateRow, ProposalDiagnostics, SurrogateState
from autosel_runtime.search.history import Proposal, TrialRecord
from autosel_runtime.search.incumbent import Model, model_of, point_of
from autosel_runtime.search.llm_proposer import Completion
from autosel_runtime.search.phases import Phase
from autosel_runtime.search.rank import (
    Matrix,
    distance_to_known,
    expected_improvement,
    order,
    upper_confidence_bound,
)
from autosel_runtime.search.space import Space


@dataclass(frozen=True, kw_only=True)
class Inputs:
    """What stays the same from one proposal to the next."""

    settings: SearchSettings
    space: Space
    rows: int
    materialise: Materialise
    complete: Completion | None


@dataclass(kw_only=True)
class Draft:
    """A proposal in the making: its inputs, what was taken in so far, the model once it is needed."""

    inputs: Inputs
    history: Sequence[TrialRecord]
    phase: Phase
    ordinal: int
    intake: Intake
    credit: Mapping[str, float] = field(default_factory=dict[str, float])
    warnings: list[str] = field(default_factory=list[str])
    model: Model | None = None

    def fit(self, candidates: Sequence[Candidate]) -> Model:
        """Fit the surrogate to the history; candidates widen the standardisation."""
        self.model = model_of(
            self.history,
            self.inputs.space,
            rows=self.inputs.rows,
            seed=self.inputs.settings.seed,
            candidates=[candidate.point for candidate in candidates],
        )
        return self.model

    def exhausted(self) -> str:
        """Return the sentence that says why nothing new could be made."""
        counts = ", ".join(refused(n, why) for why, n in sorted(self.intake.rejected.items()))
        return f"no new recipe could be made: {counts or 'nothing was drawn'}"

    def nothing(self, policy: str, reason: str) -> tuple[None, ProposalDiagnostics]:
        """Return no proposal and the reason."""
        return None, self._explain(policy, (), reason)

    def only(self, chosen: Candidate, policy: str) -> tuple[Proposal, ProposalDiagnostics]:
        """Return ``chosen``, which no ranking decided."""
        mean, deviation = self._posterior([chosen])
        row = _row(chosen, _at(mean, 0), _at(deviation, 0), 0.0, 1)
        return self._proposal(chosen, row), self._explain(policy, (row,), "")

    def _posterior(self, candidates: Sequence[Candidate]) -> tuple[Matrix | None, Matrix | None]:
        model = self.model
        if model is None or model.guarded is None or not model.guarded.trusted:
            return None, None
        return model.guarded.predict(model.groups([c.point for c in candidates]))

    def ranked(
        self, candidates: Sequence[Candidate], policy: str, rng: np.random.Generator
    ) -> tuple[Proposal, ProposalDiagnostics]:
        """Return the best candidate of the settings' ranker, the others beside it in the diagnostics."""
        model = self.fit(candidates)
        mean, deviation = self._posterior(candidates)
        digests = [candidate.recipe_digest for candidate in candidates]
        ranker: str = self.inputs.settings.ranker
        if ranker == "random":
            values = rng.random(len(candidates))
        elif mean is None or deviation is None or model.surrogate is None:
            ranker = "distance"
            known = [point_of(r, self.inputs.rows) for r in model.live]
            values = distance_to_known(model.groups([c.point for c in candidates]), model.groups(known))
        elif ranker == "ucb":
            values = upper_confidence_bound(mean, deviation)
        else:
            scored = [point_of(r, self.inputs.rows) for r in model.scored]
            best = float(model.surrogate.predict(model.groups(scored))[0].max())
            values = expected_improvement(mean, deviation, best, self.inputs.settings.min_improvement)
        places = order(values, digests)
        rows = tuple(
            _row(candidates[i], _at(mean, i), _at(deviation, i), float(values[i]), rank)
            for rank, i in enumerate(places, start=1)
        )
        return self._proposal(candidates[places[0]], rows[0]), self._explain(policy, rows, "", ranker)

    def _proposal(self, chosen: Candidate, row: CandidateRow) -> Proposal:
        return Proposal(
            ordinal=self.ordinal,
            recipe=chosen.recipe,
            recipe_digest=chosen.recipe_digest,
            subset_digest=chosen.realised.subset_digest,
            size=chosen.realised.size,
            state_vector=state_of(chosen.realised),
            origin=chosen.origin,
            phase=self.phase.number,
            parent=chosen.parent,
            mean=row.mean,
            deviation=row.deviation,
            rationale=chosen.note,
        )

    def _explain(
        self, policy: str, rows: tuple[CandidateRow, ...], reason: str, ranker: str = "none"
    ) -> ProposalDiagnostics:
        surrogate = None if self.model is None else self.model.surrogate
        state = SurrogateState(
            trials=0 if self.model is None else len(self.model.scored),
            informative=surrogate is not None and surrogate.informative,
            skill=None if surrogate is None else surrogate.skill,
            noise=None if surrogate is None else surrogate.noise,
        )
        anchor = self.phase.anchor
        return ProposalDiagnostics(
            ordinal=self.ordinal,
            phase=self.phase.number,
            stagnation=self.phase.stagnation,
            anchor=None if anchor is None else anchor.ordinal,
            policy=policy,
            ranker=ranker,
            surrogate=state,
            candidates=rows,
            rejected=dict(sorted(self.intake.rejected.items())),
            credit=self.credit,
            warnings=tuple(self.warnings),
            reason=reason,
        )


# The reasons of ``Intake``, in words for one recipe and for many.
REFUSED = {
    "against the rules": ("recipe is against the rules", "recipes are against the rules"),
    "recipe was proposed before": ("recipe was proposed before", "recipes were proposed before"),
    "no tries left": ("recipe was not tried any more", "recipes were not tried any more"),
    "cannot be materialised": ("recipe cannot be materialised", "recipes cannot be materialised"),
    "keeps too few samples": ("recipe keeps too few samples", "recipes keep too few samples"),
    "subset was proposed before": ("subset was proposed before", "subsets were proposed before"),
    "nearly equals a trial": ("subset nearly equals a trial's", "subsets nearly equal those of trials"),
}


def refused(number: int, why: str) -> str:
    """Return how many recipes were refused for a reason: ``1 recipe was proposed before``."""
    one, many = REFUSED[why]
    return plural(number, one, many=many)


def _row(
    candidate: Candidate, mean: float | None, deviation: float | None, value: float, rank: int
) -> CandidateRow:
    return CandidateRow(
        recipe=candidate.recipe,
        recipe_digest=candidate.recipe_digest,
        size=candidate.realised.size,
        origin=candidate.origin,
        note=candidate.note,
        mean=mean,
        deviation=deviation,
        value=value,
        rank=rank,
    )


def _at(values: Matrix | None, place: int) -> float | None:
    return None if values is None else float(values[place])
