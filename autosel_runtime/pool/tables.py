"""Records of Parquet files and Arrow IPC files, batch by batch."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

Rows = Iterator[tuple[int, dict[str, Any] | UnicodeError]]

BATCH_ROWS = 1024


class UnreadableTableError(ValueError):
    """The file is not a readable table from this row on."""


def parquet_rows(path: Path, report: Callable[[int], None]) -> Rows:
    """Yield (0-based row, record) of a Parquet file; UnreadableTableError when it is damaged.

    ``report`` is told about how many bytes of the file have been read.
    """
    try:
        with pq.ParquetFile(path, memory_map=True) as file:
            share = path.stat().st_size / max(file.metadata.num_rows, 1)
            row = 0
            for batch in file.iter_batches(batch_size=BATCH_ROWS, use_threads=False):
                yield from _records(batch, row)
                row += batch.num_rows
                report(int(row * share))
    except (pa.ArrowException, OSError) as error:
        raise UnreadableTableError(f"not a readable Parquet file: {error}") from None


def arrow_rows(path: Path, report: Callable[[int], None]) -> Rows:
    """Yield (0-based row, record) of an Arrow IPC stream or file; UnreadableTableError when damaged."""
    try:
        with pa.memory_map(str(path)) as source:
            row = 0
            for big_batch in _batches(source):
                for start in range(0, big_batch.num_rows, BATCH_ROWS):
                    yield from _records(big_batch.slice(start, BATCH_ROWS), row + start)
                row += big_batch.num_rows
                report(int(source.tell()))
    except (pa.ArrowException, OSError) as error:
        raise UnreadableTableError(f"not a readable Arrow file: {error}") from None


def _batches(source: pa.MemoryMappedFile) -> Iterator[pa.RecordBatch]:
    is_file = source.read(6) == b"ARROW1"
    source.seek(0)
    if is_file:
        reader = pa.ipc.open_file(source)
        yield from (reader.get_batch(i) for i in range(reader.num_record_batches))
    else:
        yield from pa.ipc.open_stream(source)


def _records(batch: pa.RecordBatch, first: int) -> Rows:
    try:
        rows = batch.to_pylist()
    except UnicodeError:
        # One bad string spoils the batch; row by row only its own record is lost.
        for i in range(batch.num_rows):
            try:
                yield first + i, batch.slice(i, 1).to_pylist()[0]
            except UnicodeError as error:
                yield first + i, error
        return
    yield from enumerate(rows, first)
