"""The one registry of operators, and what it says of a recipe: is it valid, what is its canonical form.

Two recipes have one digest exactly if they name the same operators in the same order with parameters that are
equal once defaults are filled in.
"""

import difflib
from collections.abc import Collection
from typing import Any

from pydantic import ValidationError

from autosel_runtime.api.search import Recipe, RecipeStep
from autosel_runtime.digest import digest
from autosel_runtime.errors import AutoselError, DataError
from autosel_runtime.recipe import dedup, filters, mixing, mona, union
from autosel_runtime.recipe.columns import Columns
from autosel_runtime.recipe.guard import fault
from autosel_runtime.recipe.operator import Catalog, Operator, Params, make_catalog
from autosel_runtime.recipe.union import UnionParams, trial_key, unknown_trial

CATALOG: Catalog = make_catalog(
    (*mixing.OPERATORS, *mona.OPERATORS, *filters.OPERATORS, *dedup.OPERATORS, *union.OPERATORS)
)


def validate_recipe(
    recipe: Recipe,
    catalog: Catalog = CATALOG,
    available: Columns | Collection[str] | None = None,
    max_steps: int | None = None,
    *,
    trials: Collection[str | int] | None = None,
) -> list[str]:
    """Return every problem of a recipe, each with its place: ``steps[1].params.fraction: …``; empty if valid.

    ``available``: the pool's columns, or only the names of what it has; None skips the checks of signals,
    sources and stored similarities. ``trials``: ordinals and recipe digests that a union may name; None skips
    that check.
    """
    problems: list[str] = []
    if max_steps is not None and len(recipe.steps) > max_steps:
        problems.append(f"steps: {len(recipe.steps)} steps, at most {max_steps} are allowed")
    for index, step in enumerate(recipe.steps):
        place = f"steps[{index}]"
        operator = catalog.get(step.operator)
        if operator is None:
            problems.append(f"{place}.operator: {unknown_operator(step.operator, catalog)}")
            continue
        params, wrong = _parse(operator, step.params)
        problems += [f"{place}.params{problem}" for problem in wrong]
        if params is None:
            continue
        if available is not None:
            problems += [
                f"{place}.params{problem}" for problem in _pool_problems(operator, params, available)
            ]
        if trials is not None and isinstance(params, UnionParams):
            known = frozenset(trial_key(trial) for trial in trials)
            if trial_key(params.trial) not in known:
                problems.append(f"{place}.params.trial: {unknown_trial(params.trial, known)}")
    return problems


def parse_step(step: RecipeStep, index: int, catalog: Catalog = CATALOG) -> tuple[Operator, Params]:
    """Return the operator of a step and its parameters, defaults filled in; DataError says what is wrong."""
    operator = catalog.get(step.operator)
    if operator is None:
        raise DataError(f"steps[{index}].operator: {unknown_operator(step.operator, catalog)}")
    params, wrong = _parse(operator, step.params)
    if params is None:
        raise DataError("; ".join(f"steps[{index}].params{problem}" for problem in wrong))
    return operator, params


def canonical_step(operator: Operator, params: Params) -> RecipeStep:
    """Return a step with defaults filled in and numbers in the type of their field; what is left open is left
    out."""
    return RecipeStep(operator=operator.name, params=params.model_dump(mode="json", exclude_none=True))


def canonical_recipe(recipe: Recipe, catalog: Catalog = CATALOG) -> Recipe:
    """Return the canonical form of a recipe; DataError if a step is invalid."""
    return Recipe(
        steps=[canonical_step(*parse_step(step, index, catalog)) for index, step in enumerate(recipe.steps)]
    )


def recipe_digest(recipe: Recipe, catalog: Catalog = CATALOG) -> str:
    """Return the identity of a recipe: the digest of its canonical form."""
    return digest(canonical_recipe(recipe, catalog).model_dump(mode="json"))


def unknown_operator(name: str, catalog: Catalog) -> str:
    """Return the sentence about an operator that does not exist, with the closest name."""
    close = difflib.get_close_matches(name, catalog, n=1, cutoff=0.5)
    hint = f" (did you mean {close[0]}?)" if close else ""
    return f"unknown operator {name!r}{hint}; there are: {', '.join(sorted(catalog))}"


def _parse(operator: Operator, params: dict[str, Any]) -> tuple[Params | None, list[str]]:
    """Return checked parameters, or None and what is wrong, each as ``.field: problem``."""
    try:
        return operator.params.model_validate(params), []
    except ValidationError as error:
        return None, [_sentence(operator, problem) for problem in error.errors(include_url=False)]
    except (AutoselError, MemoryError):
        raise
    except Exception as error:  # a validator of an extension's own
        whose = f" of extension {operator.extension}" if operator.extension is not None else ""
        what = f"the parameters of operator {operator.name!r}{whose} failed"
        raise fault(what, operator.params, error) from error


def _sentence(operator: Operator, problem: Any) -> str:
    """Turn one finding of pydantic into one clear sentence."""
    # pydantic puts the kind of an alternative ("constrained-int") into the place; it is no field.
    place = "".join(f".{part}" for part in problem["loc"] if not str(part).startswith("constrained-"))
    if problem["type"] == "extra_forbidden":
        name = str(problem["loc"][-1])
        close = difflib.get_close_matches(name, operator.params.model_fields, n=1, cutoff=0.5)
        hint = f" (did you mean {close[0]}?)" if close else ""
        known = ", ".join(operator.params.model_fields)
        return f"{place}: {operator.name} has no such parameter{hint}; there are: {known}"
    if problem["type"] == "value_error":
        return f"{place}: {str(problem['msg']).removeprefix('Value error, ')}"
    if problem["type"] == "missing":
        return f"{place}: {operator.name} needs this parameter"
    message = str(problem["msg"])
    return f"{place}: {message[:1].lower()}{message[1:]}, found {problem['input']!r}"


def _pool_problems(operator: Operator, params: Params, available: Columns | Collection[str]) -> list[str]:
    """Return what the pool lacks for this step."""
    names = available if isinstance(available, Collection) else available.names
    missing = [name for name in operator.needs(params, names) if name not in names]
    if missing:
        listed = ", ".join(sorted(names)) or "none"
        return [
            f": {operator.name} needs {', '.join(missing)}, which the pool does not have; there are: {listed}"
        ]
    if isinstance(available, Collection):
        return []
    try:
        return [f".{problem}" for problem in operator.check(params, available)]
    except DataError as error:  # a name may exist as another kind of column
        return [f": {error}"]
