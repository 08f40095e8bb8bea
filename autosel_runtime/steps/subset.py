"""The files of a subset: written in a stream, so that memory does not grow with the text, and read back.

``mask.npy`` packed bits over pool rows; ``ids.txt`` and ``train.jsonl`` in pool order; ``trace.json`` and
``state.json`` as docs/formats.md describes them.
"""

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.compute as pc

from autosel_runtime.errors import OutputError
from autosel_runtime.pool.pool import Pool
from autosel_runtime.pool.sample import Sample
from autosel_runtime.recipe.mask import rows_of
from autosel_runtime.recipe.model import Execution, StepTrace

MASK_FILE = "mask.npy"
TRACE_FILE = "trace.json"

_PRETTY = orjson.OPT_INDENT_2


def write_subset(pool: Pool, execution: Execution, folder: Path) -> dict[str, Path]:
    """Write the files of a subset into ``folder``, which is made; return them by name. OutputError when that fails."""
    names = (MASK_FILE, "ids.txt", "train.jsonl", TRACE_FILE, "state.json")
    files = {name: folder / name for name in names}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        np.save(files[MASK_FILE], execution.mask, allow_pickle=False)
        with files["ids.txt"].open("wb") as ids, files["train.jsonl"].open("wb") as texts:
            for sample in pool.samples(rows_of(execution.mask, pool.rows)):
                ids.write(f"{sample.id}\n".encode())
                texts.write(_training_line(sample))
        files[TRACE_FILE].write_bytes(orjson.dumps(_with_ids(execution.trace, pool), option=_PRETTY))
        state = dict(execution.state)
        files["state.json"].write_bytes(orjson.dumps(state, option=_PRETTY | orjson.OPT_SORT_KEYS))
    except OSError as error:
        raise OutputError(f"{folder} cannot be written: {error.strerror}") from error
    return files


def read_trace(path: Path, pool: Pool | None = None) -> tuple[StepTrace, ...]:
    """Read ``trace.json``. With the pool its examples become pool rows again; without it they are left out."""
    steps: list[dict[str, Any]] = orjson.loads(path.read_bytes())
    named: list[Mapping[str, list[str]]] = [step.pop("examples") for step in steps]
    rows: Mapping[str, int] = {}
    if pool is not None:
        rows = _rows_by_id(pool, [one for by_reason in named for ids in by_reason.values() for one in ids])
    return tuple(
        StepTrace(
            examples={
                reason: tuple(rows[one] for one in ids if one in rows) for reason, ids in by_reason.items()
            }
            if pool is not None
            else {},
            **step,
        )
        for by_reason, step in zip(named, steps, strict=True)
    )


def _training_line(sample: Sample) -> bytes:
    chat = [message.as_dict() for message in sample.messages]
    return orjson.dumps({"id": sample.id, "messages": chat}) + b"\n"


def _with_ids(trace: tuple[StepTrace, ...], pool: Pool) -> list[dict[str, Any]]:
    """Return the trace as JSON has it: row numbers mean nothing outside this pool's folder, ids do."""
    rows = sorted({row for step in trace for found in step.examples.values() for row in found})
    ids = dict(zip(rows, pool.ids().take(pa.array(rows, pa.int64())).to_pylist(), strict=True))

    def named(examples: Mapping[str, tuple[int, ...]]) -> dict[str, list[str]]:
        return {reason: [ids[row] for row in found] for reason, found in examples.items()}

    return [{**asdict(step), "examples": named(step.examples)} for step in trace]


def _rows_by_id(pool: Pool, ids: list[str]) -> dict[str, int]:
    found = pc.call_function("index_in", [pa.array(ids, pa.string())], pc.SetLookupOptions(pool.ids()))
    return {one: row for one, row in zip(ids, found.to_pylist(), strict=True) if row is not None}
