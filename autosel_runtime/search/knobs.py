"""Knobs: parameters that a search draws and retunes, each on a scale of its own.

Notation
    u   a knob's position on its own scale, 0..1
    w   a composition: weights by source in parts of 1/PARTS that sum to 1; a source without a part is left out
"""

import math
from collections.abc import Mapping
from typing import Any, cast

import numpy as np

from autosel_runtime.api.search import RecipeStep
from autosel_runtime.recipe.operator import Tunable

RESOLUTION = 0.01  # grid of a fraction, so that two recipes differ visibly or not at all
PARTS = 20
MIXED = 8  # sources in one composition; a recipe must stay short
SHOWN = 16  # sources whose weights the surrogate sees


def knob_value(knob: Tunable, u: float) -> object:
    """Return the value at position ``u`` (clipped to 0..1) of the knob's scale, on its grid and inside its
    bounds."""
    u = min(max(u, 0.0), 1.0)
    if knob.scale == "choice":
        return knob.choices[min(int(u * len(knob.choices)), len(knob.choices) - 1)]
    if knob.scale == "log":
        value = math.exp(math.log(knob.low) + u * (math.log(knob.high) - math.log(knob.low)))
    else:
        value = knob.low + u * (knob.high - knob.low)
    if knob.integer:
        return int(min(max(round(value), math.ceil(knob.low)), math.floor(knob.high)))
    if knob.scale == "log":
        value = float(f"{value:.3g}")
    else:
        width = knob.high - knob.low
        grid = RESOLUTION if 0.1 < width <= 1.0 else 10.0 ** (math.ceil(math.log10(max(width, 1e-12))) - 3)
        value = round(round(value / grid) * grid, 12)
    return float(min(max(value, knob.low), knob.high))


def knob_unit(knob: Tunable, value: object) -> float:
    """Return the position (0..1) of ``value`` on the knob's scale; 0.5 for a value that has none."""
    if knob.scale == "choice":
        return (knob.choices.index(value) + 0.5) / len(knob.choices) if value in knob.choices else 0.5
    if isinstance(value, bool) or not isinstance(value, int | float) or knob.high <= knob.low:
        return 0.5
    number = min(max(float(value), knob.low), knob.high)
    if knob.scale == "log":
        return (math.log(number) - math.log(knob.low)) / (math.log(knob.high) - math.log(knob.low))
    return (number - knob.low) / (knob.high - knob.low)


def applies(knob: Tunable, params: Mapping[str, object]) -> bool:
    """Return whether a step with these parameters has the knob: its condition on another one is met."""
    if knob.when is None:
        return True
    name, value, absent = knob.when
    return params.get(name, absent) == value


def some_value(knob: Tunable) -> object:
    """Return one value of the knob, always the same."""
    if knob.scale == "composition":
        return dict.fromkeys((str(source) for source in knob.choices), 1.0)
    return knob_value(knob, 0.0 if knob.scale == "choice" else 0.5)


def drawn_value(knob: Tunable, rng: np.random.Generator) -> object:
    """Return a random value of the knob, uniform on its scale."""
    if knob.scale == "composition":
        sources = rng.permutation(len(knob.choices))[:MIXED]
        parts = rng.multinomial(PARTS, rng.dirichlet(np.ones(len(sources))))
        return _composition(knob, {int(s): int(p) for s, p in zip(sources, parts, strict=True)})
    return knob_value(knob, float(rng.random()))


def drawn_params(knobs: tuple[Tunable, ...], rng: np.random.Generator) -> dict[str, object]:
    """Return a random value of every knob that applies."""
    params: dict[str, object] = {}
    for knob in knobs:
        if applies(knob, params):
            params[knob.name] = drawn_value(knob, rng)
    return params


def chosen(
    knobs: tuple[Tunable, ...], step: RecipeStep, knob: Tunable, value: object, rng: np.random.Generator
) -> RecipeStep:
    """Return the step with another choice: what belonged to the old one goes, what belongs to the new one is drawn."""
    params: dict[str, object] = {**step.params, knob.name: value}
    bound = [other for other in knobs if other.when is not None and other.when[0] == knob.name]
    for other in bound:
        params.pop(other.name, None)
    for other in bound:
        if applies(other, params):
            params[other.name] = drawn_value(other, rng)
    return step.model_copy(update={"params": params})


def moved(knob: Tunable, weights: object, rng: np.random.Generator, spread: float) -> object | None:
    """Return a composition after some weight went from one source to another, None when there is nothing to move.

    ``spread``: standard deviation of what is moved, as a share of the whole.
    """
    given = cast(Mapping[Any, Any], weights) if isinstance(weights, Mapping) else {}
    known = {i: float(given.get(source, 0.0)) for i, source in enumerate(knob.choices)}
    whole = math.fsum(known.values())
    if whole <= 0.0 or len(known) < 2:
        return None
    parts = {i: round(PARTS * weight / whole) for i, weight in known.items()}
    having = [i for i, part in parts.items() if part > 0]
    if not having:
        return None
    source = having[int(rng.integers(len(having)))]
    full = len(having) >= MIXED
    others = [i for i in (having if full else list(parts)) if i != source]
    if not others:
        return None
    target = others[int(rng.integers(len(others)))]
    amount = min(max(1, round(abs(float(rng.normal(0.0, spread))) * PARTS)), parts[source])
    parts[source] -= amount
    parts[target] += amount
    return _composition(knob, parts)


def knob_features(knob: Tunable, params: Mapping[str, object] | None) -> list[float]:
    """Return what the surrogate sees of a knob, around 0; 0 for a step that is not there (None) or lacks the knob."""
    if knob.scale != "composition":
        present = params is not None and applies(knob, params)
        return [knob_unit(knob, params.get(knob.name)) - 0.5] if params is not None and present else [0.0]
    listed = knob.choices[:SHOWN]
    given: Any = {} if params is None else params.get(knob.name)
    if not isinstance(given, Mapping):
        return [0.0] * len(listed)
    weights = cast(Mapping[Any, Any], given)
    whole = math.fsum(float(weight) for weight in weights.values())
    if whole <= 0.0:
        return [0.0] * len(listed)
    return [float(weights.get(source, 0.0)) / whole - 1.0 / len(knob.choices) for source in listed]


def _composition(knob: Tunable, parts: Mapping[int, int]) -> dict[str, float]:
    return {str(knob.choices[i]): round(part / PARTS, 4) for i, part in sorted(parts.items()) if part > 0}
