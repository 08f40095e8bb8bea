"""What ``recipe.lock`` holds, and how it is written and read: everything that the chosen subset follows from.

The lock is JSON. Executing its recipe over the same columns gives the same rows, hence the same
``subset_digest``, on any machine, without an accelerator. ``lock_digest`` covers every other field, so that a
lock that was edited is found out.
"""

from pathlib import Path
from typing import Literal, Self

import orjson
from pydantic import Field, JsonValue, ValidationError

from autosel_runtime.api.problems import first_problem
from autosel_runtime.api.search import Recipe
from autosel_runtime.digest import digest
from autosel_runtime.errors import DataError, NoInputError
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
        return self.model_copy(update={"lock_digest": own_digest(self)})


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


def own_digest(lock: Lock) -> str:
    """Return the digest of all fields but ``lock_digest``."""
    left_out = {"lock_digest"} if lock.inputs is not None else {"lock_digest", "inputs"}
    return digest(lock.model_dump(mode="json", by_alias=True, exclude=left_out))
