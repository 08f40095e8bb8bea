"""``recipe.lock``: everything that the chosen subset follows from, and the check that it still does.

The lock is JSON. Executing its recipe over the same columns gives the same rows, hence the same
``subset_digest``, on any machine, without an accelerator. ``lock_digest`` covers every other field, so that a
lock that was edited is found out.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, Self

import orjson
from pydantic import Field, JsonValue, ValidationError

from autosel_runtime.api.problems import first_problem
from autosel_runtime.api.search import Recipe
from autosel_runtime.digest import digest
from autosel_runtime.errors import AutoselError, DataError, NoInputError
from autosel_runtime.recipe import mask as masks
from autosel_runtime.recipe.catalog import CATALOG, canonical_recipe, parse_step, recipe_digest
from autosel_runtime.recipe.columns import Columns
from autosel_runtime.recipe.execute import execute
from autosel_runtime.recipe.model import Mask
from autosel_runtime.recipe.operator import Catalog
from autosel_runtime.recipe.prepared import prepare
from autosel_runtime.recipe.union import UnionParams, trial_key
from autosel_runtime.report.column_digest import column_digest, ids_digest, sources_digest
from autosel_runtime.report.model import Part

LOCK_SCHEMA = "autosel.dev/lock/v1"


class LockedFile(Part):
    """One file of the pool as it was read."""

    source: str = Field(description="Source name.")
    uri: str = Field(description="Where it was read.")
    sha256: str = Field(description="Digest of the file's content.")


class LockedPool(Part):
    """The pool: its rows in order, their sources and the files they came from."""

    digest: str = Field(description="SHA-256 over the ids in pool order, one a line.")
    rows: int = Field(description="Rows.")
    sources_digest: str = Field(description="SHA-256 over source names and the source of every row.")
    files: tuple[LockedFile, ...] = Field(default=(), description="Files of the sources.")


class LockedRecipe(Part):
    """A recipe with the subset it realised; ``key`` is how a union names it, empty for the chosen recipe."""

    key: str = Field(default="", description="Trial ordinal or recipe digest by which a union names it.")
    recipe: Recipe = Field(description="The canonical recipe.")
    recipe_digest: str = Field(description="Identity of the recipe.")
    subset_digest: str = Field(description="SHA-256 over the sorted ids, one a line.")
    size: int = Field(description="Samples in the subset.")


class LockedSettings(Part):
    """Settings that a score depends on, and their digest."""

    settings: dict[str, JsonValue] = Field(description="The settings, as in the search document.")
    digest: str = Field(description="Digest of their canonical JSON.")


class LockedInputs(Part):
    """Where pool and signals come from, as in the search document: what making them again takes."""

    pool: dict[str, JsonValue] = Field(description="Sources and how they are read.")
    signals: dict[str, JsonValue] = Field(description="Settings of the signals.")
    targets: tuple[dict[str, JsonValue], ...] = Field(default=(), description="Targets.")
    model: str = Field(description="Model of the signals of token probabilities.")
    embedding_model: str | None = Field(
        default=None, description="Model of the embeddings, when there are any."
    )
    chat_template: str | None = Field(default=None, description="Its chat template, when it is not its own.")
    extensions: tuple[str, ...] = Field(default=(), description="Extensions.")
    threads: int = Field(default=1, description="Threads of the sums in a model.")


class Lock(Part):
    """The content of ``recipe.lock``."""

    schema_name: Literal["autosel.dev/lock/v1"] = Field(
        default=LOCK_SCHEMA, alias="schema", description="Version."
    )
    search: str = Field(description="Name of the search.")
    trial: str = Field(description="Name of the chosen trial.")
    seed: int = Field(description="Seed of every random draw of a recipe.")
    pool: LockedPool = Field(description="The pool.")
    signals_fingerprint: str = Field(description="Fingerprint of the signals.")
    columns: dict[str, str] = Field(description="Digest of every column that the recipes read, by name.")
    ancestors: tuple[LockedRecipe, ...] = Field(
        default=(), description="Recipes that unions refer to, parents first."
    )
    chosen: LockedRecipe = Field(description="The chosen recipe.")
    training: LockedSettings = Field(description="Model and training settings.")
    evaluation: LockedSettings = Field(description="Evaluation settings.")
    inputs: LockedInputs | None = Field(
        default=None, description="How to make pool and signals again; not in locks of the first version."
    )
    versions: dict[str, str] = Field(default_factory=dict, description="Versions of the software used.")
    lock_digest: str = Field(default="", description="Digest of all other fields.")

    def sealed(self) -> Self:
        """Return the lock with its ``lock_digest``."""
        return self.model_copy(update={"lock_digest": _own_digest(self)})


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
        mask = _realise(plan, columns, seed, subsets, catalog)
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
    used = sorted({name for one in realised for name in _columns_of(one.recipe, columns, catalog)})
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


def lock_text(lock: Lock) -> str:
    """Return the text of ``recipe.lock``: indented JSON in the order of the contract, ending in a newline."""
    return lock.model_dump_json(by_alias=True, indent=2) + "\n"


def read_lock(path: Path) -> Lock:
    """Return the lock in the file ``path``; NoInputError without a file, DataError naming the field that is wrong."""
    try:
        text = path.read_bytes()
    except OSError as error:
        raise NoInputError(f"{path}: cannot read the lock: {error.strerror}") from None
    try:
        return Lock.model_validate(orjson.loads(text))
    except orjson.JSONDecodeError as error:
        raise DataError(f"{path}:{error.lineno}: not JSON: {error.msg}") from None
    except ValidationError as error:
        raise DataError(f"{path} is no lock: {first_problem(error, Lock)}") from None


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
    found = _differs("the lock itself", _own_digest(lock), lock.lock_digest)
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
            names = _columns_of(one.recipe, columns, catalog)
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
            mask = _realise(one.recipe, columns, lock.seed, subsets, catalog)
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


def _realise(
    recipe: Recipe, columns: Columns, seed: int, subsets: Mapping[str, Mask], catalog: Catalog
) -> Mask:
    return execute(recipe, prepare(columns), seed=seed, catalog=catalog, unions=subsets, drift=False).mask


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


def _columns_of(recipe: Recipe, columns: Columns, catalog: Catalog) -> set[str]:
    parsed = [parse_step(step, index, catalog) for index, step in enumerate(recipe.steps)]
    needed = {name for operator, params in parsed for name in operator.needs(params, columns.names)}
    return needed & columns.names


def _own_digest(lock: Lock) -> str:
    left_out = {"lock_digest"} if lock.inputs is not None else {"lock_digest", "inputs"}
    return digest(lock.model_dump(mode="json", by_alias=True, exclude=left_out))


def _differs(what: str, found: str | None, locked: str) -> list[str]:
    if found == locked:
        return []
    return [f"The digest of {what} differs: the lock says {locked}, found {found or 'nothing'}."]


def _name(one: LockedRecipe) -> str:
    return f"trial {one.key}, which a union names," if one.key else "the chosen trial"


def _check_rows(columns: Columns, ids: Sequence[str]) -> None:
    if len(ids) != columns.rows:
        raise DataError(f"there are {len(ids):,} ids but {columns.rows:,} rows of columns")
