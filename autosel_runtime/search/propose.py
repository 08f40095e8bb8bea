"""``propose``: from the history of a search to the recipes to try next. Pure and replayable.

Proposals are made one after another: each one is pending for the next. So asking twice for one gives the same as
asking once for two. The randomness of a proposal comes from ``SeedSequence([seed, ordinal])`` and from nothing else;
an LLM, where one is used, is an input like the history.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from autosel_runtime.api.search import SearchSettings
from autosel_runtime.recipe.facts import PoolFacts
from autosel_runtime.recipe.operator import Catalog
from autosel_runtime.search.candidates import Candidate, Intake, Materialise, known_of
from autosel_runtime.search.diagnostics import (
    Diagnostics,
    ProposalDiagnostics,
)
from autosel_runtime.search.draft import Draft, Inputs
from autosel_runtime.search.edits import edit
from autosel_runtime.search.history import Proposal, TrialRecord
from autosel_runtime.search.incumbent import point_of
from autosel_runtime.search.llm_proposer import Completion, LlmContext, llm_candidates
from autosel_runtime.search.phases import alive, current_phase, operator_credit, succeeded
from autosel_runtime.search.reseed import choose_seed, credit_weights, draw_seeds
from autosel_runtime.search.space import random_recipe, space_of
from autosel_runtime.search.warmup import PROBE_TRIES, probe, probes_missing

TRIES_PER_CANDIDATE = 6  # recipes materialised for each candidate that is wanted
DRAWS_PER_CANDIDATE = 60  # recipes drawn (most repeat others and cost nothing)


def propose(
    settings: SearchSettings,
    history: Sequence[TrialRecord],
    *,
    count: int,
    catalog: Catalog,
    facts: PoolFacts,
    rows: int,
    materialise: Materialise,
    complete: Completion | None,
    first_ordinal: int,
) -> tuple[list[Proposal], Diagnostics]:
    """Return up to ``count`` recipes to try, and why these.

    ``catalog`` operators by name, built in and extensions; ``facts`` of the pool; ``rows``
    of it; ``materialise(recipe, seed)`` gives the realised subset or the reason why there is none;
    ``complete`` asks an LLM and is used by the llm proposer only. Fewer proposals than asked for come with a reason
    in the diagnostics. ConfigError and DataError for settings or a history that cannot be.
    """
    inputs = Inputs(
        settings=settings,
        space=space_of(catalog, facts, settings),
        rows=rows,
        materialise=materialise,
        complete=complete,
    )
    seen = list(history)
    proposals: list[Proposal] = []
    details: list[ProposalDiagnostics] = []
    for ordinal in range(first_ordinal, first_ordinal + count):
        proposal, detail = _next(inputs, seen, ordinal)
        details.append(detail)
        if proposal is None:
            break
        proposals.append(proposal)
        seen.append(as_pending(proposal))
    return proposals, Diagnostics(proposals=tuple(details))


def as_pending(proposal: Proposal) -> TrialRecord:
    """Return the history record of a proposal that was accepted and not yet finished."""
    return TrialRecord(
        ordinal=proposal.ordinal,
        recipe=proposal.recipe,
        recipe_digest=proposal.recipe_digest,
        subset_digest=proposal.subset_digest,
        size=proposal.size,
        state_vector=proposal.state_vector,
        origin=proposal.origin,
        phase=proposal.phase,
        parent=proposal.parent,
        state="pending",
        score=None,
        stderr=None,
    )


def _next(
    inputs: Inputs, history: Sequence[TrialRecord], ordinal: int
) -> tuple[Proposal | None, ProposalDiagnostics]:
    """Make one proposal. Policies in order: seed recipes, probes, reseed, candidates around the anchor."""
    settings, space = inputs.settings, inputs.space
    rng = np.random.default_rng(np.random.SeedSequence([settings.seed, ordinal]))
    phase = current_phase(history, patience=settings.patience, min_improvement=settings.min_improvement)
    draft = Draft(
        inputs=inputs,
        history=history,
        phase=phase,
        ordinal=ordinal,
        intake=_intake(inputs, history),
        credit=operator_credit(history),
    )
    if inputs.rows < 1:
        return draft.nothing("none", "the pool has no rows")
    wished = _seed_recipe(draft)
    if wished is not None:
        return draft.only(wished, "seed")
    if not space.filters:
        return draft.nothing("none", "no operator can be used: none is allowed whose signals exist")
    if probes_missing(settings, alive(history)) > 0:
        draft.intake.tries = PROBE_TRIES
        found = probe(space, draft.intake, alive(history), inputs.rows, rng)
        return draft.nothing("warmup", draft.exhausted()) if found is None else draft.only(found, "warmup")
    if phase.reseed_due:
        return _reseed(draft, rng)
    return _neighbourhood(draft, rng)


def _intake(inputs: Inputs, history: Sequence[TrialRecord]) -> Intake:
    done = [r for r, _ in succeeded(history)]
    finished = [*sorted({r.recipe_digest for r in done}), *(r.ordinal for r in done)]
    return Intake(
        space=inputs.space,
        materialise=inputs.materialise,
        seed=inputs.settings.seed,
        min_samples=inputs.settings.min_samples,
        finished=finished,
        known=known_of(history),
        tries=TRIES_PER_CANDIDATE * max(inputs.settings.candidates, 4),
    )


def _seed_recipe(draft: Draft) -> Candidate | None:
    settings, space = draft.inputs.settings, draft.inputs.space
    taken = {r.recipe_digest for r in draft.history}
    for place, recipe in enumerate(settings.seed_recipes):
        if space.rules.problem(recipe) is None and space.rules.digest(recipe) in taken:
            continue
        offered = draft.intake.offer(recipe, origin="seed", parent=None, note=f"seed recipe {place + 1}")
        if isinstance(offered, Candidate):
            return offered
        draft.warnings.append(f"seedRecipes[{place}] is not tried: {offered}")
    return None


def _reseed(draft: Draft, rng: np.random.Generator) -> tuple[Proposal | None, ProposalDiagnostics]:
    inputs = draft.inputs
    credit = draft.credit
    seeds = draw_seeds(inputs.space, draft.intake, credit, inputs.settings.candidates, rng)
    chosen = choose_seed(seeds, draft.fit(seeds), draft.phase.previous_anchors, inputs.rows)
    if chosen is None:
        return draft.nothing("reseed", draft.exhausted())
    return draft.only(chosen, "reseed")


def _neighbourhood(draft: Draft, rng: np.random.Generator) -> tuple[Proposal | None, ProposalDiagnostics]:
    """Fill up to ``candidates``: the LLM first where there is one, then local edits, then random recipes."""
    inputs, intake, anchor = draft.inputs, draft.intake, draft.phase.anchor
    wanted = inputs.settings.candidates
    credit = draft.credit
    policy = inputs.settings.proposer if anchor is not None else "random"
    if policy == "llm":
        draft.warnings.extend(_ask(draft, credit))
    if policy != "random" and anchor is not None:
        for _ in range(DRAWS_PER_CANDIDATE * wanted):
            if len(intake.accepted) >= wanted or intake.tries <= 0:
                break
            made = edit(
                anchor.recipe, inputs.space, rng, finished=intake.finished, weights=credit_weights(credit)
            )
            if made is not None:
                intake.offer(made.recipe, origin="edit", parent=anchor.ordinal, note=made.description)
    intake.tries += wanted if not intake.accepted else 0
    for _ in range(DRAWS_PER_CANDIDATE * wanted):
        if len(intake.accepted) >= wanted or intake.tries <= 0:
            break
        note = "random recipe" if policy == "random" else "random recipe, since the neighbourhood is used up"
        intake.offer(random_recipe(inputs.space, rng), origin="random", parent=None, note=note)
    if not intake.accepted:
        return draft.nothing(policy, draft.exhausted())
    return draft.ranked(intake.accepted, policy, rng)


def _ask(draft: Draft, credit: Mapping[str, float]) -> list[str]:
    inputs = draft.inputs
    if inputs.complete is None:
        return ["search.proposer is llm but no endpoint can be asked; local edits fill in"]
    model = draft.fit([])
    posterior: dict[int, tuple[float, float]] = {}
    if model.surrogate is not None:
        mean, deviation = model.surrogate.predict(
            model.groups([point_of(r, inputs.rows) for r in model.scored])
        )
        posterior = {
            r.ordinal: (float(m), float(d)) for r, m, d in zip(model.scored, mean, deviation, strict=True)
        }
    context = LlmContext(
        space=inputs.space,
        phase=draft.phase,
        history=draft.history,
        posterior=posterior,
        informative=model.surrogate is not None and model.surrogate.informative,
        credit=credit,
        rows=inputs.rows,
        wanted=inputs.settings.candidates,
    )
    return llm_candidates(inputs.complete, context, draft.intake)
