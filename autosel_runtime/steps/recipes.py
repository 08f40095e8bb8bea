"""Recipes and operators that a search names: do they exist, and can they run on the signals that it asks for?"""

import difflib
import re
from collections.abc import Iterable, Iterator, Sequence

from autosel_runtime.api.findings import Finding
from autosel_runtime.api.recipe_search import RecipeSearchSpec
from autosel_runtime.api.search import Recipe
from autosel_runtime.api.yaml_tree import Path_
from autosel_runtime.digest import canonical_json
from autosel_runtime.errors import AutoselError, DataError
from autosel_runtime.recipe.catalog import CATALOG, parse_step, recipe_digest, validate_recipe
from autosel_runtime.recipe.dedup import stored_pairs
from autosel_runtime.recipe.extension import extend_catalog, load_extensions
from autosel_runtime.recipe.facts import KIND_WORDS, PoolFacts
from autosel_runtime.recipe.mixing import SourceMixParams, unknown_sources
from autosel_runtime.recipe.operator import Catalog, Operator, Params
from autosel_runtime.search.space import missing_signals, operator_problem
from autosel_runtime.signals.expected import expected_columns, how_to_get
from autosel_runtime.steps.summary import RECIPE_BYTES

# What decides which columns and which sources there are.
_COLUMNS: tuple[Path_, ...] = (("signals",), ("targets",), ("search", "extensions"))
_SOURCES: tuple[Path_, ...] = (("pool", "sources"),)


def spec_problems(spec: RecipeSearchSpec, *, sources: Iterable[str] | None = None) -> list[Finding]:
    """Return what cannot run of extensions, operators and seed recipes; fields start below spec.

    ``sources`` are those of the pool once it is built.
    """
    try:
        extensions = load_extensions(spec.search.extensions)
        catalog = extend_catalog(CATALOG, extensions)
    except AutoselError as error:
        return [Finding(field=("search", "extensions"), message=str(error))]
    facts = expected_columns(spec, [name for name, _ in extensions.signals], sources=sources)
    problems = list(_operator_problems(spec, catalog, facts))
    earlier: list[str | int] = []  # trials that a union may name
    for index, recipe in enumerate(spec.search.seed_recipes):
        found = list(
            _recipe_problems(recipe, catalog, facts, spec, earlier, ("search", "seedRecipes", index))
        )
        problems += found
        earlier += [index + 1] if found else [index + 1, recipe_digest(recipe, catalog)]
    return problems


def _operator_problems(spec: RecipeSearchSpec, catalog: Catalog, facts: PoolFacts) -> Iterator[Finding]:
    whole = True
    for index, name in enumerate(spec.search.operators or ()):
        message = operator_problem(name, catalog, facts)
        if message is None:
            continue
        whole = False
        operator = catalog.get(name)
        missing = missing_signals(operator, facts) if operator is not None else []
        yield Finding(
            field=("search", "operators", index),
            message=message + _remedy(missing, facts),
            reads=_COLUMNS if missing else _SOURCES if operator is not None else (),
        )
    if whole and spec.search.operators and all(catalog[name].adds for name in spec.search.operators):
        message = "a union joins earlier subsets and makes no first one; name another operator, too"
        yield Finding(field=("search", "operators"), message=message)


def _recipe_problems(
    recipe: Recipe,
    catalog: Catalog,
    facts: PoolFacts,
    spec: RecipeSearchSpec,
    earlier: Sequence[str | int],
    place: Path_,
) -> Iterator[Finding]:
    """Yield what is wrong with the seed recipe at ``place``; a union may name the trials in ``earlier``."""
    for problem in validate_recipe(recipe, catalog, max_steps=spec.search.max_steps, trials=earlier):
        where, _, message = problem.partition(": ")
        reads = (("search", "maxSteps"),) if where == "steps" else ()
        yield Finding(field=(*place, *_parts(where)), message=message, reads=reads)
    for index, step in enumerate(recipe.steps):
        try:
            operator, params = parse_step(step, index, catalog)
        except DataError:
            continue  # told already
        yield from _step_problems(operator, params, facts, (*place, "steps", index))
    size = len(canonical_json(recipe.model_dump(mode="json")))
    if size > RECIPE_BYTES:
        message = f"the recipe takes {size:,} bytes of JSON, at most {RECIPE_BYTES:,} are allowed"
        yield Finding(field=place, message=message)


def _step_problems(operator: Operator, params: Params, facts: PoolFacts, place: Path_) -> Iterator[Finding]:
    missing = [name for name in operator.needs(params, facts.names) if name not in facts.names]
    if missing:
        message = f"{operator.name} needs {', '.join(missing)}, which this search does not compute"
        message += _remedy(
            missing, facts, scalars=set(missing) <= set(_named_scalars(operator, params).values())
        )
        yield Finding(field=(*place, "operator"), message=message, reads=_COLUMNS)
    for field, name in _named_scalars(operator, params).items():
        kind = facts.kinds.get(name)
        if kind is not None and kind != "scalar":
            message = (
                f"found {name!r}, which holds {KIND_WORDS[kind]}; {field} must name a column that holds "
                f"{KIND_WORDS['scalar']}; there are: {', '.join(facts.of_kind('scalar'))}"
            )
            yield Finding(field=(*place, "params", field), message=message, reads=_COLUMNS)
    pairs = stored_pairs(params)
    if pairs is not None and pairs[1] < facts.floors.get(pairs[0], 0.0):
        message = (
            f"found {pairs[1]:g}; must be at least spec.signals.{pairs[0]}.floor, {facts.floors[pairs[0]]:g}: pairs "
            "below it are not stored"
        )
        yield Finding(field=(*place, "params", "threshold"), message=message, reads=_COLUMNS)
    if isinstance(params, SourceMixParams) and facts.sources is not None:
        message = unknown_sources(params.weights, facts.sources)
        if message:
            yield Finding(field=(*place, "params", "weights"), message=message, reads=_SOURCES)


def _named_scalars(operator: Operator, params: Params) -> dict[str, str]:
    """Return the scalar columns that a step's parameters name, by parameter."""
    values = {field: getattr(params, field) for field in operator.scalars}
    return {field: name for field, name in values.items() if isinstance(name, str)}


def _remedy(missing: Sequence[str], facts: PoolFacts, *, scalars: bool = False) -> str:
    """Return what to set so that the search has the missing columns, as the end of a sentence.

    ``scalars``: only scalar columns could stand in their place.
    """
    ways = list(dict.fromkeys(way for way in map(how_to_get, missing) if way is not None))
    if ways or not missing:
        return f": {'; '.join(ways)}" if ways else ""
    names = facts.of_kind("scalar") if scalars else sorted(facts.names)
    close = difflib.get_close_matches(missing[0], names, n=1, cutoff=0.6)
    hint = f" (did you mean {close[0]}?)" if close else ""
    return f"{hint}; there are: {', '.join(names)}"


def _parts(place: str) -> Path_:
    """Return ``steps[1].params.fraction`` as ("steps", 1, "params", "fraction")."""
    return tuple(
        int(part[1:-1]) if part.startswith("[") else part for part in re.findall(r"\[\d+\]|[^.\[\]]+", place)
    )
