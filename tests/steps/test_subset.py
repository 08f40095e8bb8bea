"""The files of a subset: ids instead of rows, and memory that does not grow with the text."""

import re
import tracemalloc
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import orjson
import pytest

from autosel_runtime.api.pool import PoolSource, PoolSpec
from autosel_runtime.api.search import Recipe
from autosel_runtime.errors import OutputError
from autosel_runtime.pool.build import build_pool
from autosel_runtime.pool.pool import Pool
from autosel_runtime.recipe import mask as masks
from autosel_runtime.recipe.execute import execute
from autosel_runtime.recipe.model import Execution, StepTrace
from autosel_runtime.steps.subset import read_trace, write_subset
from tests.recipe.pools import make_pool

DOCUMENT = Path(__file__).parents[2] / "docs" / "formats.md"


def pool_of(folder: Path, rows: int, *, words: int = 3) -> Pool:
    """Build a pool of chats with answers of so many words."""
    folder.mkdir()
    with (folder / "chats.jsonl").open("wb") as stream:
        for row in range(rows):
            answer = " ".join(f"w{row}x{word}" for word in range(words))
            chat = [{"role": "user", "content": f"ask {row}"}, {"role": "assistant", "content": answer}]
            stream.write(orjson.dumps({"messages": chat}) + b"\n")
    source = PoolSource(name="chats", uri="chats.jsonl")
    build_pool(PoolSpec(sources=[source]), base=folder, out=folder / "pool", rows_per_shard=1000)
    return Pool.open(folder / "pool")


def execution_of(mask: masks.Mask, *traces: StepTrace) -> Execution:
    return Execution(mask=mask, size=masks.count(mask), trace=traces, state={"retain_ratio": 0.5, "a": 1.0})


def trace(**examples: tuple[int, ...]) -> StepTrace:
    return StepTrace(
        operator="ifd_filter",
        params={"fraction": 0.5},
        kept=3,
        dropped=4,
        reasons={name: len(rows) for name, rows in examples.items()},
        examples=examples,
        seconds=0.1,
    )


def test_the_trace_names_samples_by_id_and_reads_back_as_rows(tmp_path: Path) -> None:
    pool = pool_of(tmp_path / "in", 2500)
    ids = pool.ids().to_pylist()
    traces = (trace(low=(0, 7, 2499), high=(1000,)), trace(low=()), trace(again=(7,)))
    execution = execution_of(masks.from_rows(np.array([1, 2, 2400]), pool.rows), *traces)
    files = write_subset(pool, execution, tmp_path / "out")

    written = orjson.loads(files["trace.json"].read_bytes())
    assert written[0]["examples"] == {"low": [ids[0], ids[7], ids[2499]], "high": [ids[1000]]}
    assert [step["examples"] for step in written[1:]] == [{"low": []}, {"again": [ids[7]]}]
    assert read_trace(files["trace.json"], pool) == traces
    assert read_trace(files["trace.json"]) == tuple(replace(one, examples={}) for one in traces)
    assert files["ids.txt"].read_text().split() == [ids[1], ids[2], ids[2400]]
    lines = [orjson.loads(line) for line in files["train.jsonl"].read_bytes().splitlines()]
    assert [line["id"] for line in lines] == [ids[1], ids[2], ids[2400]]
    assert lines[2]["messages"][0] == {"role": "user", "content": "ask 2400"}
    assert orjson.loads(files["state.json"].read_bytes()) == {"a": 1.0, "retain_ratio": 0.5}
    assert np.load(files["mask.npy"]).tolist() == execution.mask.tolist()


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    pool = pool_of(tmp_path / "in", 3)
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match=r"file/out cannot be written: Not a directory"):
        write_subset(pool, execution_of(masks.full(3)), tmp_path / "file" / "out")


def test_memory_does_not_grow_with_the_text_of_a_subset(tmp_path: Path) -> None:
    peaks: list[int] = []
    for rows in (2_000, 8_000):  # some 8 and 32 MB of text
        pool = pool_of(tmp_path / str(rows), rows, words=400)
        tracemalloc.start()
        try:
            files = write_subset(pool, execution_of(masks.full(rows)), tmp_path / f"out-{rows}")
            peaks.append(tracemalloc.get_traced_memory()[1])
        finally:
            tracemalloc.stop()
        assert files["train.jsonl"].stat().st_size > 3_000 * rows
    assert peaks[1] < 1.5 * peaks[0], peaks


def test_the_documentation_has_every_field_of_the_trace_and_every_quantity_of_the_state() -> None:
    text = DOCUMENT.read_text()
    recipe = Recipe.model_validate({"steps": [{"operator": "ifd_filter", "params": {"fraction": 0.5}}]})
    execution = execute(recipe, make_pool(5, 60).columns, seed=1)
    names = [field.name for field in fields(StepTrace)] + list(execution.state)
    told = [re.sub(r"(score|source_share)\..*", r"\1.<", name) for name in names]
    assert [name for name in told if f"`{name}" not in text] == []
    example = orjson.loads(text.partition("```json")[2].partition("```")[0])
    assert set(example[0]) == {field.name for field in fields(StepTrace)}
    assert example[0]["params"] == dict(execution.trace[0].params)
    assert sum(example[0]["reasons"].values()) == example[0]["dropped"]
