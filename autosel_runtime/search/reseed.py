"""The reseeder: a new anchor, away from the old ones, from operators that earned credit.

Random recipes are drawn with operators weighted by credit and materialised; of the half that lies farthest from all
anchors so far, the one with the highest upper confidence bound is taken, or the farthest when the surrogate knows
nothing.

Notation
    g_o        credit of operator o, in score (see ``phases``)
    g          typical credit: root mean square of the g_o
    w_o        relative chance of operator o in a random recipe: e^clip(g_o / g, -1, 1), a softmax at temperature g; the
               clip keeps the least and the most creditable operator within e^2 = 7.4 of each other, since credits are
               means of few noisy differences
"""

from collections.abc import Mapping, Sequence

import numpy as np

from autosel_runtime.search.candidates import Candidate, Intake
from autosel_runtime.search.history import TrialRecord
from autosel_runtime.search.incumbent import Model, point_of
from autosel_runtime.search.rank import distance_to_known, order, upper_confidence_bound
from autosel_runtime.search.space import Space, random_recipe

MIN_POOL = 8  # recipes drawn for one reseed, at least


def credit_weights(credit: Mapping[str, float]) -> Mapping[str, float]:
    """Return the relative chance of each operator: e^(credit / typical credit), held within e^-1 .. e^1."""
    values = np.array(list(credit.values()), dtype=np.float64)
    typical = float(np.sqrt(np.mean(values**2))) if len(values) else 0.0
    if typical <= 0:
        return {}
    return {name: float(np.exp(np.clip(value / typical, -1.0, 1.0))) for name, value in credit.items()}


def draw_seeds(
    space: Space, intake: Intake, credit: Mapping[str, float], count: int, rng: np.random.Generator
) -> list[Candidate]:
    """Return up to ``max(count, 8)`` new random recipes, operators weighted by credit."""
    wanted, weights = max(count, MIN_POOL), credit_weights(credit)
    for _ in range(8 * wanted):
        if len(intake.accepted) >= wanted or intake.tries <= 0:
            break
        intake.offer(
            random_recipe(space, rng, weights=weights),
            origin="reseed",
            parent=None,
            note="new anchor from operators with credit",
        )
    return list(intake.accepted)


def choose_seed(
    seeds: Sequence[Candidate], model: Model, anchors: Sequence[TrialRecord], rows: int
) -> Candidate | None:
    """Return the new anchor, or None when there is no new recipe."""
    if not seeds:
        return None
    groups = model.groups([seed.point for seed in seeds])
    digests = [seed.recipe_digest for seed in seeds]
    known = model.groups([point_of(a, rows) for a in anchors])
    far = order(distance_to_known(groups, known), digests)[: max((len(seeds) + 1) // 2, 1)]
    surrogate = model.guarded
    if surrogate is None or not surrogate.trusted:
        return seeds[far[0]]
    bound = upper_confidence_bound(*surrogate.predict(groups))
    best = order(bound[far], [digests[i] for i in far])[0]
    return seeds[far[best]]
