"""The space of recipes: operators, their knobs, random recipes and structural rules."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np

from autosel_runtime.api.search import Recipe, RecipeStep, SearchSettings
from autosel_runtime.errors import ConfigError
from autosel_runtime.recipe.catalog import recipe_digest, unknown_operator, validate_recipe
from autosel_runtime.recipe.facts import PoolFacts
from autosel_runtime.recipe.operator import Catalog, Operator, Tunable
from autosel_runtime.search.knobs import applies, drawn_params, some_value

RANDOM_SUBSET = "random_subset"  # twice in a recipe it only draws again


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


def random_step(operator: OperatorSpace, rng: np.random.Generator) -> RecipeStep:
    """Return one step of ``operator`` with every knob drawn uniformly on its scale."""
    return RecipeStep(operator=operator.name, params=drawn_params(operator.knobs, rng))


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

    Without ``settings.operators`` these are all that a search tries by default and whose signals exist; choices of
    a knob whose signals are missing are left out. ConfigError when a listed operator cannot be used.
    """
    for name in settings.operators or ():
        problem = operator_problem(name, catalog, facts)
        if problem is not None:
            raise ConfigError(f"search.operators: {problem}")
    found: dict[str, OperatorSpace] = {}
    for name, operator in sorted(catalog.items()):
        if name not in settings.operators if settings.operators is not None else not operator.by_default:
            continue
        space = _operator_space(operator, facts, listed=settings.operators is not None)
        if space is not None:
            found[name] = space
    for step in (step for recipe in settings.seed_recipes for step in recipe.steps):
        operator = catalog.get(step.operator)
        if operator is not None and operator.name not in found:
            found[operator.name] = OperatorSpace(
                name=operator.name,
                family=operator.family,
                knobs=_knobs(operator, facts, listed=settings.operators is not None) or (),
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
    mixes = any(tunable.scale == "composition" for tunable in operator.tunables)
    if _operator_space(operator, facts, listed=True) is not None or (mixes and facts.sources is None):
        return None
    if not operator.searchable:
        return f"{name} has nothing that a search can tune; use it in seedRecipes"
    if mixes and len(facts.sources or ()) < 2:
        return f"{name} needs a pool of at least two sources"
    missing = missing_signals(operator, facts)
    return f"{name} needs {', '.join(missing) or 'signals'}, which this search does not compute"


def missing_signals(operator: Operator, facts: PoolFacts) -> list[str]:
    """Return the signals that a step of ``operator`` made of tunables needs and the pool does not have."""
    if not operator.searchable:
        return []
    bound = [
        t if t.scale != "composition" else replace(t, choices=facts.sources or ("-",))
        for t in operator.tunables
    ]
    return sorted(set(_needs(operator, _some(bound, {}), facts.names)) - facts.names)


def _operator_space(operator: Operator, facts: PoolFacts, *, listed: bool) -> OperatorSpace | None:
    """Return the operator's part of the space, or None when its signals are missing or nothing makes a step."""
    if not operator.searchable and not operator.adds:
        return None
    knobs = _knobs(operator, facts, listed=listed)
    union_field = _union_field(operator) if operator.adds else None
    if knobs is None or (operator.adds and union_field is None):
        return None
    return OperatorSpace(
        name=operator.name,
        family=operator.family,
        knobs=knobs,
        union_field=union_field,
        at_most_once=operator.name == RANDOM_SUBSET,
    )


def _knobs(operator: Operator, facts: PoolFacts, *, listed: bool) -> tuple[Tunable, ...] | None:
    """Return the tunables as this pool has them, None when no step made of them could run on it."""
    base: dict[str, object] = {}
    union_field = _union_field(operator) if operator.adds else None
    if union_field is not None:
        base[union_field] = "sha256:" + "0" * 64
    tunables = operator.tunables if listed else _tuned_by_default(operator.tunables)
    bound = [_on_this_pool(tunable, facts) for tunable in tunables]
    if any(tunable.scale == "composition" and len(tunable.choices) < 2 for tunable in bound):
        return None
    if not operator.searchable and not operator.adds:
        return tuple(bound)  # a step needs more than tunables; what a user wrote is retuned as it stands
    knobs: list[Tunable] = []
    for tunable in bound:
        if tunable.scale != "choice":
            knobs.append(tunable)
            continue
        usable = [
            c
            for c in tunable.choices
            if _usable(operator, {**_some(bound, {**base, tunable.name: c}), **base}, facts.names)
        ]
        if not usable:
            return None
        base[tunable.name] = usable[0]
        knobs.append(replace(tunable, choices=tuple(usable)))
    return tuple(knobs) if _usable(operator, {**_some(bound, base), **base}, facts.names) else None


def _tuned_by_default(tunables: Sequence[Tunable]) -> tuple[Tunable, ...]:
    """Return the tunables without those that only a listed operator has; what hangs on them has their absent value."""
    fixed = {tunable.name for tunable in tunables if not tunable.by_default}
    kept: list[Tunable] = []
    for tunable in tunables:
        if tunable.when is None or tunable.when[0] not in fixed:
            kept += [tunable] if tunable.by_default else []
        elif tunable.when[1] == tunable.when[2]:
            kept.append(tunable)
    return tuple(kept)


def _on_this_pool(tunable: Tunable, facts: PoolFacts) -> Tunable:
    """Return a tunable with the pool's sources, and without values below the least similarity that is stored."""
    if tunable.scale == "composition":
        return replace(tunable, choices=facts.sources or ())
    floor = facts.floors.get(str(tunable.when[1])) if tunable.when is not None else None
    return tunable if floor is None else replace(tunable, low=min(max(tunable.low, floor), tunable.high))


def _usable(operator: Operator, params: Mapping[str, object], available: frozenset[str]) -> bool:
    return set(_needs(operator, params, available)) <= available


def _needs(operator: Operator, params: Mapping[str, object], available: frozenset[str]) -> Sequence[str]:
    return operator.needs(operator.params.model_validate(dict(params)), available)


def _some(tunables: Sequence[Tunable], chosen: Mapping[str, object]) -> dict[str, object]:
    """Return parameters of one step made of tunables, with the values of ``chosen`` where it has them."""
    params: dict[str, object] = {}
    for tunable in tunables:
        if tunable.name in chosen:
            params[tunable.name] = chosen[tunable.name]
        elif applies(tunable, params):
            params[tunable.name] = some_value(tunable)
    return params


def _union_field(operator: Operator) -> str | None:
    """Return the one required parameter of a union: the reference to another subset."""
    required = [name for name, field in operator.params.model_fields.items() if field.is_required()]
    return required[0] if len(required) == 1 else None
