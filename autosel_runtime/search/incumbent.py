"""The model of the history, and the incumbent: the best trial so far.

Two answers exist. ``best_observed`` has the highest score; it is what stagnation and the anchor of phase 0 use, since
they must not change when a later fit changes its mind. From four trials on, ``pick``, the recipe that a search finally
hands over, has the highest posterior mean, which corrects the luck of the best of many noisy scores; also when the
surrogate shows no skill: its posterior then leans towards the scores themselves, and measured regret is lower
(benchmarks/search_regret.py).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from autosel_runtime.search.features import Encoder, Point, encoder
from autosel_runtime.search.history import TrialRecord
from autosel_runtime.search.phases import alive, succeeded
from autosel_runtime.search.space import Space
from autosel_runtime.search.surrogate import MIN_TRIALS, Surrogate, fit

Matrix = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Model:
    """The surrogate of a history: ``surrogate`` saw the succeeded trials, ``guarded`` also believes the pending
    ones. Both are None below two scores."""

    encoder: Encoder
    surrogate: Surrogate | None
    guarded: Surrogate | None
    scored: tuple[TrialRecord, ...]
    live: tuple[TrialRecord, ...]

    def groups(self, points: Sequence[Point]) -> tuple[Matrix, Matrix]:
        """Return the two feature groups of points: realised state and recipe."""
        return self.encoder.state(points), self.encoder.recipe(points)


@dataclass(frozen=True, kw_only=True)
class Incumbent:
    """The best trial. ``mean`` and ``deviation`` are the posterior of ``pick``, None while nothing is known."""

    pick: TrialRecord
    best_observed: TrialRecord
    mean: float | None
    deviation: float | None
    informative: bool


def point_of(record: TrialRecord, rows: int | None = None) -> Point:
    """Return what the surrogate sees of a trial."""
    retain = {} if rows is None else {"retain_ratio": record.size / max(rows, 1)}
    return Point(recipe=record.recipe, state={**retain, **record.state_vector})


def model_of(
    history: Sequence[TrialRecord],
    space: Space,
    *,
    rows: int | None = None,
    seed: int = 0,
    candidates: Sequence[Point] = (),
) -> Model:
    """Fit the surrogate to a history. ``candidates`` only widen the standardisation of the features.

    Failed and invalid trials are not seen. ``rows`` is the size of the pool.
    """
    live = alive(history)
    pairs = succeeded(history)
    coder = encoder([*(point_of(r, rows) for r in live), *candidates], space)
    scored = tuple(r for r, _ in pairs)
    stderr = np.array([np.nan if r.stderr is None else r.stderr for r in scored], dtype=np.float64)
    scores = np.array([score for _, score in pairs], dtype=np.float64)
    known = [point_of(r, rows) for r in scored]
    surrogate = fit((coder.state(known), coder.recipe(known)), scores, stderr, seed=seed)
    waiting = [point_of(r, rows) for r in live if r.state == "pending"]
    guarded = None if surrogate is None else surrogate.believe((coder.state(waiting), coder.recipe(waiting)))
    return Model(encoder=coder, surrogate=surrogate, guarded=guarded, scored=scored, live=tuple(live))


def incumbent(
    history: Sequence[TrialRecord], space: Space, *, rows: int | None = None, seed: int = 0
) -> Incumbent | None:
    """Return the best trial, or None while none succeeded; DataError for a score that is NaN or outside 0..1."""
    pairs = succeeded(history)
    if not pairs:
        return None
    best = max(pairs, key=lambda pair: (pair[1], -pair[0].ordinal))[0]
    model = model_of(history, space, rows=rows, seed=seed)
    if model.surrogate is None:
        return Incumbent(pick=best, best_observed=best, mean=None, deviation=None, informative=False)
    mean, deviation = model.surrogate.predict(model.groups([point_of(r, rows) for r in model.scored]))
    at = max(range(len(mean)), key=lambda i: (float(mean[i]), -model.scored[i].ordinal))
    if len(model.scored) < MIN_TRIALS:
        at = next(i for i, r in enumerate(model.scored) if r.ordinal == best.ordinal)
    return Incumbent(
        pick=model.scored[at],
        best_observed=best,
        mean=float(mean[at]),
        deviation=float(deviation[at]),
        informative=model.surrogate.informative,
    )
