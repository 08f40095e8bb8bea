"""What the surrogate sees of a recipe: the realised state vector and the ordered recipe itself.

Notation
    n    records
    S    [n, ds] realised state: logarithms of positive quantities beside the plain values, standardised
    R    [n, dr] recipe: per operator on or off, place, knobs on their unit scale; adjacent pairs, projected
    P    pair dimensions, 4

The state says what a recipe made, whatever the words; the recipe keeps two orders apart that made nearly the same
subset. A string encoding without order and state cannot tell recipes apart that train differently.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from autosel_runtime.api.search import Recipe
from autosel_runtime.search.knobs import knob_features
from autosel_runtime.search.space import Space

PAIR_DIMENSIONS = 4
LOGARITHMIC = frozenset({"retain_ratio", "token_ratio"})  # gains from more data diminish
REPEATED = "_clipped"  # such quantities are functions of others in the vector
Matrix = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Point:
    """A recipe with the state vector of its subset, evaluated or not."""

    recipe: Recipe
    state: Mapping[str, float]


@dataclass(frozen=True, kw_only=True)
class Encoder:
    """Turns points into rows of numbers. ``keys`` state quantities; ``centre`` and ``spread`` [ds]."""

    space: Space
    keys: tuple[str, ...]
    centre: Matrix
    spread: Matrix

    def state(self, points: Sequence[Point]) -> Matrix:
        """Return S [n, ds]; a quantity that a point lacks lies at the centre (0)."""
        rows = (
            _raw_state([point.state for point in points], self.keys) - self.centre
        ) / self.spread  # [n, ds]
        return np.where(np.isnan(rows), 0.0, rows)

    def recipe(self, points: Sequence[Point]) -> Matrix:
        """Return R [n, dr]."""
        width = len(_recipe_row(Recipe(steps=[]), self.space))
        rows = [_recipe_row(point.recipe, self.space) for point in points]
        return np.array(rows, dtype=np.float64).reshape(len(points), width)


def encoder(points: Sequence[Point], space: Space) -> Encoder:
    """Return an encoder whose standardisation comes from ``points`` (evaluated, pending and candidates).

    A quantity that does not vary, or that no point has, is left out.
    """
    names = sorted({name for point in points for name in point.state if not name.endswith(REPEATED)})
    raw = _raw_state([point.state for point in points], tuple(names))
    keep: list[int] = []
    for column in range(raw.shape[1]):
        values = raw[:, column][~np.isnan(raw[:, column])]
        if len(values) and float(values.std()) > 1e-9 * max(1.0, float(np.abs(values).max())):
            keep.append(column)
    kept = raw[:, keep]
    return Encoder(
        space=space,
        keys=tuple(names[i] for i in keep),
        centre=np.nanmean(kept, axis=0) if keep else np.zeros(0),
        spread=np.nanstd(kept, axis=0) if keep else np.ones(0),
    )


def _raw_state(states: Sequence[Mapping[str, float]], keys: tuple[str, ...]) -> Matrix:
    """Return [n, keys], NaN where missing; ``LOGARITHMIC`` quantities as logarithms."""
    rows = np.full((len(states), len(keys)), np.nan)
    for i, state in enumerate(states):
        for j, key in enumerate(keys):
            if key in state:
                value = float(state[key])
                rows[i, j] = np.log(max(value, 1e-6)) if key in LOGARITHMIC else value
    return rows


def _recipe_row(recipe: Recipe, space: Space) -> list[float]:
    places = {step.operator: index for index, step in reversed(list(enumerate(recipe.steps)))}
    length = max(len(recipe.steps), 1)
    row: list[float] = []
    for name, operator in sorted(space.operators.items()):
        index = places.get(name)
        row.append(0.0 if index is None else 1.0)
        row.append(0.0 if index is None else 0.5 * ((index + 0.5) / length - 0.5))
        for knob in operator.knobs:
            row += knob_features(knob, None if index is None else recipe.steps[index].params)
    pairs = np.zeros(PAIR_DIMENSIONS)
    for one, two in pairwise(recipe.steps):
        pairs += 0.25 * _signs(f"{one.operator}>{two.operator}")
    return [*row, *pairs.tolist()]


@lru_cache(maxsize=4096)
def _signs(pair: str) -> Matrix:
    """Return a fixed +-1 vector [P] of an ordered pair; SHA-256, never the string hash of the process."""
    bits = hashlib.sha256(pair.encode()).digest()
    return np.array([1.0 if bits[i] & 1 else -1.0 for i in range(PAIR_DIMENSIONS)])
