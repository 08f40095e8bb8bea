"""Shards: the unit of work, retry and resume of a signals run.

The raw values of one shard of one family lie in one ``.npz`` file of the work folder. A file appears under its
name only when it is whole and on the disk, so a killed run loses at most the shard it was in, and several
processes may fill one folder.
"""

import os
import zipfile
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from autosel_runtime.errors import DataError, OutputError


@dataclass(frozen=True, kw_only=True)
class Shard:
    """Rows ``start`` to ``stop`` of a pool."""

    index: int
    start: int
    stop: int

    @property
    def rows(self) -> int:
        """Rows in the shard."""
        return self.stop - self.start

    def row_numbers(self) -> NDArray[np.int64]:
        """Return the pool rows of the shard."""
        return np.arange(self.start, self.stop)


def plan_shards(rows: int, rows_per_shard: int) -> list[Shard]:
    """Return the shards of a pool: all of ``rows_per_shard`` rows but the last."""
    return [
        Shard(index=index, start=start, stop=min(start + rows_per_shard, rows))
        for index, start in enumerate(range(0, rows, rows_per_shard))
    ]


def shard_file(folder: Path, shard: Shard) -> Path:
    """Return where a shard of a family's work folder lies."""
    return folder / f"shard-{shard.index:05d}.npz"


def missing_shards(folder: Path, shards: Sequence[Shard]) -> list[Shard]:
    """Return the shards that are not there or cannot be read."""
    return [shard for shard in shards if not _is_whole(shard_file(folder, shard))]


def write_shard(folder: Path, shard: Shard, arrays: Mapping[str, NDArray[Any]]) -> None:
    """Write a shard's arrays, whole or not at all; the same arrays give the same bytes."""
    path = shard_file(folder, shard)
    with replacing(path) as temporary, temporary.open("wb") as stream:
        np.savez(stream, **dict(arrays))  # pyright: ignore[reportArgumentType]  # typed as if names were options


def read_shard(folder: Path, shard: Shard, name: str) -> NDArray[Any]:
    """Return one array of a shard; only this array is read."""
    with np.load(shard_file(folder, shard), allow_pickle=False) as file:
        return file[name]


def array_names(folder: Path, shard: Shard) -> list[str]:
    """Return the names of a shard's arrays, in the order they were written."""
    path = shard_file(folder, shard)
    if not _is_whole(path):
        raise DataError(f"{path}: the shard is missing; compute all shards before they are merged")
    with np.load(path, allow_pickle=False) as file:
        return list(file.files)


@contextmanager
def replacing(path: Path) -> Generator[Path]:
    """Give a temporary path; when the block ends well, sync it to the disk and rename it to ``path``.

    OutputError when the folder cannot be written or the disk is full; nothing is left behind then.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        with temporary.open("rb") as stream:
            os.fsync(stream.fileno())
        temporary.replace(path)
    except OSError as error:
        raise OutputError(f"{path}: cannot write: {error.strerror or error}") from error
    finally:
        temporary.unlink(missing_ok=True)


def _is_whole(path: Path) -> bool:
    """Tell whether a file is there with its table of contents, which an .npz has at its end."""
    try:
        with zipfile.ZipFile(path) as file:
            return bool(file.namelist())
    except (OSError, zipfile.BadZipFile):
        return False
