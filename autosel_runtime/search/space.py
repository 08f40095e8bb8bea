"""The space of recipes: operators, their knobs on a unit scale, random recipes and structural rules.

Notation
    u   a knob's position on its own scale, 0..1
"""

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np

from autosel_runtime.api.search import Recipe, RecipeStep, SearchSettings
from autosel_runtime.errors import ConfigError
from autosel_runtime.recipe.catalog import recipe_digest, unknown_operator, validate_recipe
from autosel_runtime.recipe.facts import PoolFacts
from autosel_runtime.recipe.operator import Catalog, Operator, Tunable

RANDOM_SUBSET = "random_subset"  # twice in a recipe it only draws again
RESOLUTION = 0.01  # grid of a fraction, so that two recipes differ visibly or not at all


@dataclass(frozen=True, kw_only=True)
class OperatorSpace:
    """What the search knows of one operator. ``union_field`` names the parameter that refers to a finished
    trial; None for every operator but a union. ``drawn``: new steps may use it; False for operators that only the
    user's seed recipes brought in, whose steps are kept, tuned or removed."""

    name: str
    family: str
    knobs: tuple[Tunable, ...]
    union_field: str | None = None
    at_most_once: bool = False
    drawn: bool = True


class RecipeRules(Protocol):
    """The catalog's word on a whole recipe."""

    def problem(self, recipe: Recipe) -> str | None:
        """Return why the recipe is invalid, or None."""
        ...

    def digest(self, recipe: Recipe) -> str:
        """Return the recipe's identity."""
        ...


@dataclass(frozen=True, kw_only=True)
class Space:
    """Operators that may be proposed, sorted by name, and the rules that every recipe obeys."""

    operators: Mapping[str, OperatorSpace]
    rules: RecipeRules
    max_steps: int

    @property
    def filters(self) -> tuple[OperatorSpace, ...]:
        """All operators but unions that new steps may use, by name."""
        return tuple(o for _, o in sorted(self.operators.items()) if o.union_field is None and o.drawn)

    @property
    def unions(self) -> tuple[OperatorSpace, ...]:
        """Operators that refer to a finished trial, by name."""
        return tuple(o for _, o in sorted(self.operators.items()) if o.union_field is not None and o.drawn)


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


def random_step(operator: OperatorSpace, rng: np.random.Generator) -> RecipeStep:
    """Return one step of ``operator`` with every knob drawn uniformly on its scale."""
    params = {knob.name: knob_value(knob, float(rng.random())) for knob in operator.knobs}
    return RecipeStep(operator=operator.name, params=params)


def random_recipe(
    space: Space,
    rng: np.random.Generator,
    *,
    first: Sequence[str] = (),
    weights: Mapping[str, float] | None = None,
) -> Recipe:
    """Return a random recipe of one to four distinct filters in random order.

    ``first``: operators of which one is drawn before the others (while any is in the space), so that probes
    differ. ``weights``: relative chance of an operator by name, 1 where absent.
    """
    pool = list(space.filters)
    length = 1 + int(rng.integers(min(len(pool), space.max_steps, 4)))
    chosen: list[OperatorSpace] = []
    while len(chosen) < length:
        wanted = [o for o in pool if not chosen and o.name in first] or pool
        odds = np.array([1.0 if weights is None else weights.get(o.name, 1.0) for o in wanted])
        pick = wanted[int(rng.choice(len(wanted), p=odds / odds.sum()))]
        chosen.append(pick)
        pool.remove(pick)
    order = rng.permutation(len(chosen))
    return Recipe(steps=[random_step(chosen[int(i)], rng) for i in order])


def structure_problem(recipe: Recipe, space: Space, finished: Collection[str | int]) -> str | None:
    """Return why a proposed recipe breaks the search's own rules, or None.

    Rules: one to ``max_steps`` steps, known operators only, no step repeated with equal parameters, operators
    marked ``at_most_once`` at most once, unions of finished trials only (``finished``: their recipe digests and
    ordinals), and whatever the catalog demands.
    """
    if not recipe.steps:
        return "the recipe has no steps"
    if len(recipe.steps) > space.max_steps:
        return f"the recipe has {len(recipe.steps)} steps; at most {space.max_steps} are allowed"
    for index, step in enumerate(recipe.steps):
        operator = space.operators.get(step.operator)
        if operator is None:
            known = ", ".join(sorted(space.operators))
            return f"operator {step.operator!r} cannot be used here; there are: {known}"
        earlier = recipe.steps[:index]
        if any(step == other for other in earlier):
            return f"step {index + 1} repeats {step.operator} with the same parameters"
        if operator.at_most_once and any(other.operator == step.operator for other in earlier):
            return f"{step.operator} may be used once in a recipe"
        if operator.union_field is not None and step.params.get(operator.union_field) not in finished:
            return f"step {index + 1} joins {step.params.get(operator.union_field)!r}, which is no finished trial"
    return space.rules.problem(recipe)


@dataclass(frozen=True, kw_only=True)
class CatalogRules:
    """The catalog as the judge of a recipe. ``available``: names of the signals that exist."""

    catalog: Catalog
    available: frozenset[str]

    def problem(self, recipe: Recipe) -> str | None:
        """Return the catalog's first objection, or None."""
        problems = validate_recipe(recipe, self.catalog, self.available)
        return problems[0] if problems else None

    def digest(self, recipe: Recipe) -> str:
        """Return the recipe's identity; DataError for a step that is invalid."""
        return recipe_digest(recipe, self.catalog)


def space_of(catalog: Catalog, facts: PoolFacts, settings: SearchSettings) -> Space:
    """Return the part of the catalog that a search may propose.

    Without ``settings.operators`` these are all searchable operators whose signals the pool has; choices of a knob
    whose signals are missing are left out. ConfigError when a listed operator cannot be used.
    """
    for name in settings.operators or ():
        problem = operator_problem(name, catalog, facts)
        if problem is not None:
            raise ConfigError(f"search.operators: {problem}")
    found: dict[str, OperatorSpace] = {}
    for name, operator in sorted(catalog.items()):
        if settings.operators is not None and name not in settings.operators:
            continue
        space = _operator_space(operator, facts.names)
        if space is not None:
            found[name] = space
    for step in (step for recipe in settings.seed_recipes for step in recipe.steps):
        operator = catalog.get(step.operator)
        if operator is not None and operator.name not in found:
            found[operator.name] = OperatorSpace(
                name=operator.name,
                family=operator.family,
                knobs=operator.tunables,
                drawn=False,
                union_field=_union_field(operator) if operator.adds else None,
            )
    return Space(
        operators=found,
        rules=CatalogRules(catalog=catalog, available=facts.names),
        max_steps=settings.max_steps,
    )


def operator_problem(name: str, catalog: Catalog, facts: PoolFacts) -> str | None:
    """Return why a search over this pool cannot propose the operator ``name``, or None."""
    operator = catalog.get(name)
    if operator is None:
        return unknown_operator(name, catalog)
    if _operator_space(operator, facts.names) is not None:
        return None
    if not operator.searchable:
        return f"{name} has nothing that a search can tune; use it in seedRecipes"
    missing = missing_signals(operator, facts)
    return f"{name} needs {', '.join(missing) or 'signals'}, which this search does not compute"


def missing_signals(operator: Operator, facts: PoolFacts) -> list[str]:
    """Return the signals that a step of ``operator`` made of tunables needs and the pool does not have."""
    if not operator.searchable:
        return []
    some = {tunable.name: _some(tunable) for tunable in operator.tunables}
    return sorted(set(_needs(operator, some, facts.names)) - facts.names)


def _operator_space(operator: Operator, available: frozenset[str]) -> OperatorSpace | None:
    """Return the operator's part of the space, or None when its signals are missing or nothing makes a step."""
    if not operator.searchable and not operator.adds:
        return None
    knobs: list[Tunable] = []
    base = {tunable.name: _some(tunable) for tunable in operator.tunables}
    union_field = _union_field(operator) if operator.adds else None
    if union_field is not None:
        base[union_field] = "sha256:" + "0" * 64
    for tunable in operator.tunables:
        if tunable.scale != "choice":
            knobs.append(tunable)
            continue
        usable = [c for c in tunable.choices if _usable(operator, {**base, tunable.name: c}, available)]
        if not usable:
            return None
        base[tunable.name] = usable[0]
        knobs.append(replace(tunable, choices=tuple(usable)))
    if (operator.adds and union_field is None) or not _usable(operator, base, available):
        return None
    return OperatorSpace(
        name=operator.name,
        family=operator.family,
        knobs=tuple(knobs),
        union_field=union_field,
        at_most_once=operator.name == RANDOM_SUBSET,
    )


def _usable(operator: Operator, params: Mapping[str, object], available: frozenset[str]) -> bool:
    return set(_needs(operator, params, available)) <= available


def _needs(operator: Operator, params: Mapping[str, object], available: frozenset[str]) -> Sequence[str]:
    return operator.needs(operator.params.model_validate(dict(params)), available)


def _some(tunable: Tunable) -> object:
    return knob_value(tunable, 0.5 if tunable.scale != "choice" else 0.0)


def _union_field(operator: Operator) -> str | None:
    """Return the one required parameter of a union: the reference to another subset."""
    required = [name for name, field in operator.params.model_fields.items() if field.is_required()]
    return required[0] if len(required) == 1 else None
