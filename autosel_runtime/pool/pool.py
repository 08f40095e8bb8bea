"""Read access to a built pool: columns whole, samples as a stream.

Notation
    n   rows of the pool
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import Any, Self

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from autosel_runtime.digest import digest_file
from autosel_runtime.errors import DataError, UsageError
from autosel_runtime.pool.manifest import PoolManifest, read_manifest
from autosel_runtime.pool.sample import Sample, decode_chat

_BATCH_ROWS = 1024
_BATCH_CHARACTERS = 4 * 1024 * 1024


@dataclass(frozen=True, kw_only=True)
class Pool:
    """A pool on the local disk; opening reads the manifest only."""

    folder: Path
    manifest: PoolManifest

    @classmethod
    def open(cls, folder: Path) -> Self:
        """Open the pool in ``folder``.

        NoInputError when there is none; DataError when the manifest does not fit its schema, or when a shard is
        missing or has another size than the manifest says.
        """
        manifest = read_manifest(folder)
        for shard in manifest.shards:
            path = folder / shard.file
            size = path.stat().st_size if path.is_file() else None
            if size != shard.bytes:
                found = "is missing" if size is None else f"has {size:,} bytes"
                raise DataError(
                    f"pool {folder}: {shard.file} {found}, the manifest says {shard.bytes:,} bytes"
                )
        if sum(shard.rows for shard in manifest.shards) != manifest.rows:
            raise DataError(f"pool {folder}: the rows of its shards do not add up to {manifest.rows:,}")
        return cls(folder=folder, manifest=manifest)

    def verify(self) -> None:
        """Compare every shard's SHA-256 with the manifest; DataError names the first that differs."""
        for shard in self.manifest.shards:
            found = digest_file(self.folder / shard.file)
            if found != shard.sha256:
                raise DataError(
                    f"pool {self.folder}: {shard.file} has {found}, the manifest says {shard.sha256}"
                )

    @property
    def rows(self) -> int:
        """n."""
        return self.manifest.rows

    @property
    def digest(self) -> str:
        """SHA-256 over the ids in pool order, one a line."""
        return self.manifest.digest

    @property
    def source_names(self) -> tuple[str, ...]:
        """Values of the source column, in the order in which they first appear."""
        return tuple(entry.name for entry in self.manifest.source_rows)

    def source_codes(self) -> NDArray[np.uint16]:
        """Return the index into ``source_names`` of every row, uint16 [n]."""
        codes = np.empty(self.rows, dtype=np.uint16)
        names = pa.array(self.source_names, pa.string())
        first = 0
        for chunk in self._column("source"):
            # Every row group has its own dictionary.
            to_code = pc.call_function("index_in", [chunk.dictionary], pc.SetLookupOptions(names))
            codes[first : first + len(chunk)] = to_code.to_numpy(zero_copy_only=False)[
                chunk.indices.to_numpy()
            ]
            first += len(chunk)
        return codes

    def ids(self) -> pa.ChunkedArray:
        """Return the ids in pool order, a chunked Arrow string array of length n."""
        return pa.chunked_array(list(self._column("id")), pa.string())

    def words(self) -> NDArray[np.uint32]:
        """Return the white-space words of all contents of every row, uint32 [n]."""
        return pa.chunked_array(list(self._column("words")), pa.uint32()).to_numpy()

    def records(self) -> pa.ChunkedArray:
        """Return ``file:line`` or ``file:index`` of every row, a chunked Arrow string array of length n."""
        return pa.chunked_array(list(self._column("record")), pa.string())

    def samples(self, rows: NDArray[Any] | None = None, *, shard: int | None = None) -> Iterator[Sample]:
        """Yield samples in pool order, reading no more than a small batch at a time.

        ``rows`` selects some: row numbers [k], strictly ascending, or a boolean mask [n]; ``shard`` (from 0)
        restricts the stream to one Parquet file. Row groups without a selected row are not read.
        UsageError for rows that are out of range or not ascending, or a shard that does not exist.
        """
        wanted = None if rows is None else self._row_numbers(rows)
        shards = range(len(self.manifest.shards))
        if shard is not None:
            if shard not in shards:
                raise UsageError(f"pool {self.folder} has {len(shards)} shards; there is no shard {shard}")
            shards = range(shard, shard + 1)
        starts = [0, *accumulate(entry.rows for entry in self.manifest.shards)]
        for number in shards:
            yield from self._samples_of(number, starts[number], wanted)

    def texts(self) -> Iterator[list[tuple[str, list[str]]]]:
        """Yield (id, contents of its messages) of all rows, in small batches: less than ``samples``, but faster."""
        batch: list[tuple[str, list[str]]] = []
        characters = 0
        for entry in self.manifest.shards:
            with pq.ParquetFile(self.folder / entry.file) as file:
                columns = ["id", "messages"]
                for rows in file.iter_batches(batch_size=_BATCH_ROWS, columns=columns, use_threads=False):
                    for row_id, chat in zip(
                        *(rows.column(name).to_pylist() for name in columns), strict=True
                    ):
                        batch.append((row_id, [message["content"] for message in orjson.loads(chat)]))
                        characters += len(chat)
                        if len(batch) == _BATCH_ROWS or characters >= _BATCH_CHARACTERS:
                            yield batch
                            batch, characters = [], 0
        if batch:
            yield batch

    def _samples_of(self, shard: int, first: int, wanted: NDArray[np.int64] | None) -> Iterator[Sample]:
        with pq.ParquetFile(self.folder / self.manifest.shards[shard].file) as file:
            for group in range(file.num_row_groups):
                count = file.metadata.row_group(group).num_rows
                chosen = None
                if wanted is not None:
                    low, high = np.searchsorted(wanted, [first, first + count])
                    chosen = wanted[low:high] - first
                first += count
                if chosen is None or len(chosen):
                    yield from _samples_of_group(file, group, chosen)

    def _row_numbers(self, rows: NDArray[Any]) -> NDArray[np.int64]:
        if rows.dtype == np.bool_:
            if rows.shape != (self.rows,):
                raise UsageError(f"a row mask needs shape ({self.rows},), found {rows.shape}")
            return np.flatnonzero(rows)
        if rows.ndim != 1 or not np.issubdtype(rows.dtype, np.integer):
            raise UsageError(f"rows are a list of integers or a mask, found {rows.dtype} {rows.shape}")
        numbers = rows.astype(np.int64)
        if len(numbers) and (numbers[0] < 0 or numbers[-1] >= self.rows or (np.diff(numbers) <= 0).any()):
            raise UsageError(f"rows must ascend strictly within 0 to {self.rows - 1}")
        return numbers

    def _column(self, name: str) -> Iterator[pa.Array]:
        for shard in self.manifest.shards:
            yield from pq.read_table(self.folder / shard.file, columns=[name], use_threads=False)[name].chunks


def _samples_of_group(file: pq.ParquetFile, group: int, chosen: NDArray[np.int64] | None) -> Iterator[Sample]:
    first = 0
    batches = file.iter_batches(
        batch_size=_BATCH_ROWS, row_groups=[group], columns=["id", "source", "messages"], use_threads=False
    )
    for batch in batches:
        count = batch.num_rows
        if chosen is not None:
            low, high = np.searchsorted(chosen, [first, first + count])
            batch = batch.take(pa.array(chosen[low:high] - first))
        first += count
        columns = (batch.column(name).to_pylist() for name in ("id", "source", "messages"))
        for row_id, source, chat in zip(*columns, strict=True):
            yield Sample(id=row_id, source=source, messages=decode_chat(chat))
