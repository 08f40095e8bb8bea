"""``pool.json``: what a pool holds, how it was read, and its digest."""

from pathlib import Path
from typing import Annotated, Literal

import orjson
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from autosel_runtime.api.common import Digest
from autosel_runtime.api.problems import first_problem
from autosel_runtime.errors import DataError, NoInputError
from autosel_runtime.pool.convert import KnownFormat

SCHEMA = "autosel.pool/1"
MANIFEST_FILE = "pool.json"
REJECTS_FILE = "rejects.jsonl"

Count = Annotated[int, Field(ge=0)]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)


class SourceReport(_Part):
    """One source of the document: read = rows + rejected; duplicates are rows that repeat an earlier row."""

    name: str
    uri: str
    format: KnownFormat
    why: str = Field(description="How the format was chosen.")
    files: Count
    left_out: list[str] = Field(
        description="Files or splits that were not read since they are for evaluation."
    )
    read: Count
    rows: Count
    rejected: Count
    duplicates: Count


class SourceRows(_Part):
    """A value of the ``source`` column and its number of rows."""

    name: str
    rows: Count


class Shard(_Part):
    """One Parquet file of the pool."""

    file: str
    rows: Count
    bytes: Count
    sha256: Digest


class PoolManifest(_Part):
    """What ``pool.json`` holds.

    ``sources`` are those of the document in their order; ``source_rows`` are the values of the ``source`` column
    in the order of their codes: other names, where records name their source. ``digest`` is SHA-256 over the
    ids in pool order, each followed by a newline.
    """

    schema_name: Literal["autosel.pool/1"] = Field(alias="schema")
    rows: Count
    rejected: Count
    duplicates: Count
    words: Count
    digest: Digest
    sources: list[SourceReport]
    source_rows: list[SourceRows]
    shards: list[Shard]


def write_manifest(folder: Path, manifest: PoolManifest) -> None:
    """Write ``pool.json`` into ``folder``, in the same bytes for the same manifest."""
    data = orjson.dumps(
        manifest.model_dump(by_alias=True), option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE
    )
    (folder / MANIFEST_FILE).write_bytes(data)


def read_manifest(folder: Path) -> PoolManifest:
    """Return the manifest of the pool in ``folder``; NoInputError when there is none, DataError when damaged."""
    path = folder / MANIFEST_FILE
    try:
        data = path.read_bytes()
    except OSError as error:
        raise NoInputError(f"{folder} is not a pool: {path} cannot be read ({error.strerror})") from None
    try:
        return PoolManifest.model_validate_json(data)
    except ValidationError as error:
        raise DataError(
            f"{path} is not a pool manifest of schema {SCHEMA}: {first_problem(error, PoolManifest)}; build the pool "
            "again"
        ) from None
