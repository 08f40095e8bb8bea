"""Making ``recipe.lock``: the chosen recipe and those it refers to are executed once more and written down."""

from collections.abc import Mapping, Sequence
from typing import Any

from autosel_runtime.api.search import Recipe
from autosel_runtime.digest import digest
from autosel_runtime.errors import DataError
from autosel_runtime.recipe import mask as masks
from autosel_runtime.recipe.catalog import CATALOG, canonical_recipe, parse_step, recipe_digest
from autosel_runtime.recipe.columns import Columns
from autosel_runtime.recipe.execute import execute
from autosel_runtime.recipe.model import Mask
from autosel_runtime.recipe.operator import Catalog
from autosel_runtime.recipe.prepared import prepare
from autosel_runtime.recipe.union import UnionParams, trial_key
from autosel_runtime.report.column_digest import column_digest, ids_digest, sources_digest
from autosel_runtime.report.lock_file import (
    Lock,
    LockedFile,
    LockedInputs,
    LockedPool,
    LockedRecipe,
    LockedSettings,
)


def make_lock(
    *,
    search: str,
    trial: str,
    seed: int,
    recipe: Recipe,
    ancestors: Mapping[str, Recipe],
    columns: Columns,
    ids: Sequence[str],
    signals_fingerprint: str,
    files: Sequence[LockedFile],
    training: Mapping[str, Any],
    evaluation: Mapping[str, Any],
    versions: Mapping[str, str],
    inputs: LockedInputs | None = None,
    catalog: Catalog = CATALOG,
) -> Lock:
    """Return the lock of ``recipe``, executing it and its ancestors once.

    ``ancestors``: recipe by the key that unions use, at least all that are referred to, in any order.
    ``ids``: sample ids in pool order. ``inputs``: what making pool and signals again takes.

    DataError when a union names an unknown recipe or a step cannot run.
    """
    _check_rows(columns, ids)
    order = _parents_first(recipe, ancestors, catalog)
    realised, subsets = [], dict[str, Mask]()
    for key in [*order, ""]:
        plan = canonical_recipe(ancestors[key] if key else recipe, catalog)
        mask = realise(plan, columns, seed, subsets, catalog)
        subsets[key] = mask
        realised.append(
            LockedRecipe(
                key=key,
                recipe=plan,
                recipe_digest=recipe_digest(plan, catalog),
                subset_digest=masks.subset_digest(ids, mask),
                size=masks.count(mask),
            )
        )
    used = sorted({name for one in realised for name in columns_of(one.recipe, columns, catalog)})
    return Lock(
        search=search,
        trial=trial,
        seed=seed,
        pool=LockedPool(
            digest=ids_digest(ids), rows=len(ids), sources_digest=sources_digest(columns), files=tuple(files)
        ),
        signals_fingerprint=signals_fingerprint,
        columns={name: column_digest(columns, name) for name in used},
        ancestors=tuple(realised[:-1]),
        chosen=realised[-1],
        training=LockedSettings(settings=dict(training), digest=digest(dict(training))),
        evaluation=LockedSettings(settings=dict(evaluation), digest=digest(dict(evaluation))),
        inputs=inputs,
        versions=dict(sorted(versions.items())),
    ).sealed()


def realise(
    recipe: Recipe, columns: Columns, seed: int, subsets: Mapping[str, Mask], catalog: Catalog
) -> Mask:
    """Return the rows that ``recipe`` keeps; ``subsets`` are those that unions name."""
    return execute(recipe, prepare(columns), seed=seed, catalog=catalog, unions=subsets, drift=False).mask


def columns_of(recipe: Recipe, columns: Columns, catalog: Catalog) -> set[str]:
    """Return the columns that exist and that ``recipe`` reads."""
    parsed = [parse_step(step, index, catalog) for index, step in enumerate(recipe.steps)]
    needed = {name for operator, params in parsed for name in operator.needs(params, columns.names)}
    return needed & columns.names


def _references(recipe: Recipe, catalog: Catalog) -> list[str]:
    parsed = [parse_step(step, index, catalog)[1] for index, step in enumerate(recipe.steps)]
    return [trial_key(params.trial) for params in parsed if isinstance(params, UnionParams)]


def _parents_first(recipe: Recipe, ancestors: Mapping[str, Recipe], catalog: Catalog) -> list[str]:
    """Return the keys of all recipes that ``recipe`` refers to, directly or not, each after those it needs."""
    order: list[str] = []
    open_keys: list[str] = []

    def visit(key: str) -> None:
        if key in order:
            return
        if key in open_keys:
            raise DataError(f"the union of trial {key} refers to itself: {' → '.join([*open_keys, key])}")
        if key not in ancestors:
            raise DataError(f"a union refers to trial {key}, whose recipe is not known")
        open_keys.append(key)
        for other in _references(ancestors[key], catalog):
            visit(other)
        open_keys.pop()
        order.append(key)

    for key in _references(recipe, catalog):
        visit(key)
    return order


def _check_rows(columns: Columns, ids: Sequence[str]) -> None:
    if len(ids) != columns.rows:
        raise DataError(f"there are {len(ids):,} ids but {columns.rows:,} rows of columns")
