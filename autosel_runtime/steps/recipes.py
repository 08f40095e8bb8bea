"""Recipes and operators that a search names: do they exist, and could any pool make them valid?"""

import re
from contextlib import suppress

from autosel_runtime.api.recipe_search import RecipeSearch, RecipeSearchSpec
from autosel_runtime.api.search import Recipe
from autosel_runtime.api.yaml_tree import Path_
from autosel_runtime.digest import canonical_json
from autosel_runtime.errors import AutoselError, DataError
from autosel_runtime.recipe.catalog import parse_step, unknown_operator, validate_recipe
from autosel_runtime.recipe.dedup import minhash_threshold
from autosel_runtime.recipe.operator import Catalog
from autosel_runtime.steps.catalog import catalog_of
from autosel_runtime.steps.summary import RECIPE_BYTES


def recipe_problems(search: RecipeSearch) -> list[tuple[Path_, str]]:
    """Return (field, sentence) of every problem; see ``spec_problems``."""
    return [(("spec", *path), message) for path, message in spec_problems(search.spec)]


def spec_problems(spec: RecipeSearchSpec) -> list[tuple[Path_, str]]:
    """Return (field below spec, sentence) of extensions that cannot be loaded, unknown operators, bad seed recipes."""
    try:
        catalog = catalog_of(spec)
    except AutoselError as error:
        return [(("search", "extensions"), str(error))]
    problems: list[tuple[Path_, str]] = [
        (("search", "operators", index), unknown_operator(name, catalog))
        for index, name in enumerate(spec.search.operators or ())
        if name not in catalog
    ]
    for index, recipe in enumerate(spec.search.seed_recipes):
        field: Path_ = ("search", "seedRecipes", index)
        for problem in validate_recipe(recipe, catalog):
            place, _, message = problem.partition(": ")
            problems.append(((*field, *_parts(place)), message))
        problems += _below_floor(recipe, catalog, spec, field)
        size = len(canonical_json(recipe.model_dump(mode="json")))
        if size > RECIPE_BYTES:
            problems.append(
                (field, f"the recipe takes {size:,} bytes of JSON, at most {RECIPE_BYTES:,} are allowed")
            )
    return problems


def _below_floor(
    recipe: Recipe, catalog: Catalog, spec: RecipeSearchSpec, field: Path_
) -> list[tuple[Path_, str]]:
    """Return thresholds of near-duplicates for which the pool of this search will store no pairs."""
    floor = spec.signals.minhash.floor
    found: list[tuple[Path_, str]] = []
    for index, step in enumerate(recipe.steps):
        with suppress(DataError):  # told already
            threshold = minhash_threshold(parse_step(step, index, catalog)[1])
            if threshold is not None and threshold < floor:
                message = (
                    f"found {threshold:g}; must be at least spec.signals.minhash.floor, {floor:g}: pairs below it are "
                    "not stored"
                )
                found.append(((*field, "steps", index, "params", "threshold"), message))
    return found


def _parts(place: str) -> Path_:
    """Return ``steps[1].params.fraction`` as ("steps", 1, "params", "fraction")."""
    return tuple(
        int(part[1:-1]) if part.startswith("[") else part for part in re.findall(r"\[\d+\]|[^.\[\]]+", place)
    )
