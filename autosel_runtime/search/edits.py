"""Typed local edits: insert, delete, swap, retune, replace, add a union.

An edit is one small change of one recipe; a candidate is one to three edits away from the anchor (one edit is
most likely), so that a phase searches a neighbourhood and not only its rim.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np

from autosel_runtime.api.search import Recipe, RecipeStep
from autosel_runtime.search.knobs import applies, chosen, knob_unit, knob_value, moved
from autosel_runtime.search.space import OperatorSpace, Space, random_step

MORE_EDITS = 0.35  # chance of one more edit
MOST_EDITS = 3
RETUNE_STEP = 0.2  # standard deviation of a retune on the knob's unit scale


@dataclass(frozen=True, kw_only=True)
class Edit:
    """An edited recipe and what was done, in words."""

    recipe: Recipe
    description: str


Steps = tuple[RecipeStep, ...]
Change = tuple[Steps, str]


def edit(
    recipe: Recipe,
    space: Space,
    rng: np.random.Generator,
    *,
    finished: Sequence[str | int] = (),
    weights: Mapping[str, float] | None = None,
) -> Edit | None:
    """Return ``recipe`` after one to three random edits, or None if no edit applies.

    ``finished``: what a union may refer to. ``weights``: relative chance of operators to be inserted. The result
    obeys ``max_steps``; all other rules are checked by ``structure_problem``.
    """
    count = 1
    while count < MOST_EDITS and rng.random() < MORE_EDITS:
        count += 1
    steps: Steps = tuple(recipe.steps)
    words: list[str] = []
    for _ in range(count):
        change = _one(steps, space, rng, finished, weights)
        if change is not None:
            steps, said = change
            words.append(said)
    if not words:
        return None
    return Edit(recipe=Recipe(steps=list(steps)), description=", then ".join(words))


def _one(
    steps: Steps,
    space: Space,
    rng: np.random.Generator,
    finished: Sequence[str | int],
    weights: Mapping[str, float] | None,
) -> Change | None:
    """Apply one edit of a kind that is possible here; kinds are tried in random order, retunes most often."""
    kinds: list[tuple[float, Callable[[], Change | None]]] = [
        (3.0, lambda: _retune(steps, space, rng)),
        (2.0, lambda: _insert(steps, space, rng, weights)),
        (1.0, lambda: _delete(steps, rng)),
        (1.0, lambda: _swap(steps, rng)),
        (1.5, lambda: _replace(steps, space, rng, weights)),
        (0.5, lambda: _union(steps, space, rng, finished)),
    ]
    odds = np.array([weight for weight, _ in kinds])
    for index in rng.choice(len(kinds), size=len(kinds), replace=False, p=odds / odds.sum()):
        change = kinds[int(index)][1]()
        if change is not None:
            return change
    return None


def _retune(steps: Steps, space: Space, rng: np.random.Generator) -> Change | None:
    places = [
        (index, knob)
        for index, step in enumerate(steps)
        for knob in (space.operators[step.operator].knobs if step.operator in space.operators else ())
        if (knob.name in step.params or knob.scale == "choice") and applies(knob, step.params)
    ]
    if not places:
        return None
    index, knob = places[int(rng.integers(len(places)))]
    step = steps[index]
    before = step.params.get(knob.name)
    if knob.scale == "composition":
        after = moved(knob, before, rng, RETUNE_STEP)
        if after is None or after == before:
            return None
        tuned = step.model_copy(update={"params": {**step.params, knob.name: after}})
        said = f"move weight in {step.operator} {knob.name} to {_show(after)}"
        return (*steps[:index], tuned, *steps[index + 1 :]), said
    u = knob_unit(knob, before)
    for _ in range(8):
        shift = float(rng.random()) - u if knob.scale == "choice" else float(rng.normal(0.0, RETUNE_STEP))
        after = knob_value(knob, u + shift)
        if after != before:
            if knob.scale == "choice":
                tuned = chosen(space.operators[step.operator].knobs, step, knob, after, rng)
            else:
                tuned = step.model_copy(update={"params": {**step.params, knob.name: after}})
            said = f"retune {step.operator} {knob.name} from {_show(before)} to {_show(after)}"
            return (*steps[:index], tuned, *steps[index + 1 :]), said
    return None


def _insert(
    steps: Steps, space: Space, rng: np.random.Generator, weights: Mapping[str, float] | None
) -> Change | None:
    unused = _unused(steps, space)
    if len(steps) >= space.max_steps or not unused:
        return None
    step = random_step(_draw(unused, rng, weights), rng)
    index = int(rng.integers(len(steps) + 1))
    return (*steps[:index], step, *steps[index:]), f"insert {step.operator} at {index + 1}"


def _delete(steps: Steps, rng: np.random.Generator) -> Change | None:
    if len(steps) < 2:
        return None
    index = int(rng.integers(len(steps)))
    return (*steps[:index], *steps[index + 1 :]), f"delete {steps[index].operator}"


def _swap(steps: Steps, rng: np.random.Generator) -> Change | None:
    if len(steps) < 2:
        return None
    i = int(rng.integers(len(steps) - 1))
    j = int(rng.integers(i + 1, len(steps)))
    order = list(steps)
    order[i], order[j] = order[j], order[i]
    return tuple(order), f"swap {steps[i].operator} and {steps[j].operator}"


def _replace(
    steps: Steps, space: Space, rng: np.random.Generator, weights: Mapping[str, float] | None
) -> Change | None:
    unused = _unused(steps, space)
    if not steps or not unused:
        return None
    index = int(rng.integers(len(steps)))
    step = random_step(_draw(unused, rng, weights), rng)
    said = f"replace {steps[index].operator} by {step.operator}"
    return (*steps[:index], step, *steps[index + 1 :]), said


def _union(
    steps: Steps, space: Space, rng: np.random.Generator, finished: Sequence[str | int]
) -> Change | None:
    digests = sorted(reference for reference in finished if isinstance(reference, str))
    if len(steps) >= space.max_steps or not digests or not space.unions:
        return None
    if any(step.operator == union.name for step in steps for union in space.unions):
        return None
    operator = space.unions[int(rng.integers(len(space.unions)))]
    target = digests[int(rng.integers(len(digests)))]
    step = random_step(operator, rng)
    step = step.model_copy(update={"params": {**step.params, str(operator.union_field): target}})
    return (*steps, step), f"join the subset of {target}"


def _unused(steps: Steps, space: Space) -> list[OperatorSpace]:
    used = {step.operator for step in steps}
    return [operator for operator in space.filters if operator.name not in used]


def _draw(
    operators: Sequence[OperatorSpace], rng: np.random.Generator, weights: Mapping[str, float] | None
) -> OperatorSpace:
    odds = np.array([1.0 if weights is None else weights.get(o.name, 1.0) for o in operators])
    return operators[int(rng.choice(len(operators), p=odds / odds.sum()))]


def _show(value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {weight:g}" for name, weight in cast(dict[str, float], value).items())
    return f"{value:g}" if isinstance(value, float) else str(value)
