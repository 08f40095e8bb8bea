"""Verifying ``recipe.lock``: does the chosen subset still follow from what is at hand?"""

from collections.abc import Mapping, Sequence

from autosel_runtime.digest import digest
from autosel_runtime.errors import AutoselError
from autosel_runtime.recipe import mask as masks
from autosel_runtime.recipe.catalog import CATALOG, recipe_digest
from autosel_runtime.recipe.columns import Columns
from autosel_runtime.recipe.model import Mask
from autosel_runtime.recipe.operator import Catalog
from autosel_runtime.report.column_digest import column_digest, ids_digest, sources_digest
from autosel_runtime.report.lock import columns_of, realise
from autosel_runtime.report.lock_file import Lock, LockedRecipe, own_digest


def verify_lock(
    lock: Lock,
    columns: Columns,
    ids: Sequence[str],
    *,
    signals_fingerprint: str | None = None,
    files: Mapping[str, str] | None = None,
    catalog: Catalog = CATALOG,
) -> list[str]:
    """Return every way in which ``lock`` does not fit the pool at hand, one sentence each; empty when it holds.

    All recipes are executed again. ``signals_fingerprint`` and ``files`` (sha256 by uri) are compared when given.
    """
    if len(ids) != columns.rows:
        return [f"There are {len(ids):,} ids but {columns.rows:,} rows of columns."]
    found = [*_sealed_problems(lock), *_pool_problems(lock, columns, ids)]
    if signals_fingerprint is not None:
        found += _differs("the signals", signals_fingerprint, lock.signals_fingerprint)
    if files is not None:
        for file in lock.pool.files:
            found += _differs(f"file {file.uri} of source {file.source}", files.get(file.uri), file.sha256)
    found += _column_problems(lock, columns, catalog)
    return found + _recipe_problems(lock, columns, ids, catalog)


def _sealed_problems(lock: Lock) -> list[str]:
    found = _differs("the lock itself", own_digest(lock), lock.lock_digest)
    found += _differs("the training settings", digest(lock.training.settings), lock.training.digest)
    return found + _differs(
        "the evaluation settings", digest(lock.evaluation.settings), lock.evaluation.digest
    )


def _pool_problems(lock: Lock, columns: Columns, ids: Sequence[str]) -> list[str]:
    found = _differs("the pool", ids_digest(ids), lock.pool.digest)
    if len(ids) != lock.pool.rows:
        found.append(f"The pool has {len(ids):,} rows, the lock says {lock.pool.rows:,}.")
    return found + _differs("the source of every row", sources_digest(columns), lock.pool.sources_digest)


def _column_problems(lock: Lock, columns: Columns, catalog: Catalog) -> list[str]:
    found: list[str] = []
    for name, locked in lock.columns.items():
        if name not in columns.names:
            found.append(f"Column {name} does not exist here.")
        else:
            found += _differs(f"column {name}", column_digest(columns, name), locked)
    for one in (*lock.ancestors, lock.chosen):
        try:
            names = columns_of(one.recipe, columns, catalog)
        except AutoselError:
            continue  # the recipe is invalid, which its execution will say
        for name in sorted(names - lock.columns.keys()):
            found.append(f"Column {name} is read by {_name(one)} but has no digest in the lock.")
    return list(dict.fromkeys(found))


def _recipe_problems(lock: Lock, columns: Columns, ids: Sequence[str], catalog: Catalog) -> list[str]:
    found: list[str] = []
    subsets: dict[str, Mask] = {}
    for one in (*lock.ancestors, lock.chosen):
        try:
            found += _differs(
                f"the recipe of {_name(one)}", recipe_digest(one.recipe, catalog), one.recipe_digest
            )
            mask = realise(one.recipe, columns, lock.seed, subsets, catalog)
        except AutoselError as error:
            found.append(f"The recipe of {_name(one)} cannot be executed: {error}.")
            continue
        subsets[one.key] = mask
        found += _differs(f"the subset of {_name(one)}", masks.subset_digest(ids, mask), one.subset_digest)
        if masks.count(mask) != one.size:
            found.append(
                f"The recipe of {_name(one)} keeps {masks.count(mask):,} samples, the lock says {one.size:,}."
            )
    return found


def _differs(what: str, found: str | None, locked: str) -> list[str]:
    if found == locked:
        return []
    return [f"The digest of {what} differs: the lock says {locked}, found {found or 'nothing'}."]


def _name(one: LockedRecipe) -> str:
    return f"trial {one.key}, which a union names," if one.key else "the chosen trial"
