"""Reading a pool: columns, streams of chosen rows, and damage that is noticed."""

from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from autosel_runtime.errors import DataError, NoInputError, UsageError
from autosel_runtime.pool import Pool, writer
from tests.pool.conftest import Build
from tests.pool.records import chat, jsonl


@pytest.fixture
def pool(build: Build, monkeypatch: pytest.MonkeyPatch) -> Pool:
    """Ten samples in three shards of up to two row groups."""
    monkeypatch.setattr(writer, "GROUP_ROWS", 3)
    return Pool.open(
        build({"x.jsonl": jsonl([chat(str(i), "a " * i + "z") for i in range(10)])}, rows_per_shard=4)[1]
    )


def questions(pool: Pool, *arguments: Any, **options: Any) -> list[int]:
    return [int(sample.prompt[0].content) for sample in pool.samples(*arguments, **options)]


def test_columns_are_whole_and_in_order(pool: Pool) -> None:
    assert pool.rows == len(pool.ids()) == 10
    assert pool.words().tolist() == [i + 2 for i in range(10)]
    assert pool.words().dtype == np.uint32
    assert pool.records()[9].as_py() == "x.jsonl:10"
    assert [sample.id for sample in pool.samples()] == pool.ids().to_pylist()
    assert pool.manifest.words == int(pool.words().sum())
    assert pool.digest == pool.manifest.digest
    pool.verify()


@pytest.mark.parametrize("rows", [[], [0], [9], [0, 1, 2], [2, 3, 4, 7, 8], list(range(10))])
def test_chosen_rows_come_in_pool_order(pool: Pool, rows: list[int]) -> None:
    assert questions(pool, np.array(rows, dtype=np.uint32)) == rows
    mask = np.zeros(10, dtype=bool)
    mask[rows] = True
    assert questions(pool, mask) == rows
    by_shard = [questions(pool, mask, shard=shard) for shard in range(3)]
    assert list(chain.from_iterable(by_shard)) == rows


def test_one_shard_is_read_alone(pool: Pool) -> None:
    assert questions(pool, shard=1) == [4, 5, 6, 7]
    with pytest.raises(UsageError, match="no shard 3"):
        questions(pool, shard=3)


@pytest.mark.parametrize("rows", [[3, 2], [1, 1], [-1], [10], [0.5], [[1]]])
def test_rows_out_of_range_or_order_are_refused(pool: Pool, rows: list[Any]) -> None:
    with pytest.raises(UsageError):
        questions(pool, np.array(rows))
    with pytest.raises(UsageError, match="mask"):
        questions(pool, np.ones(9, dtype=bool))


def test_damage_is_noticed(pool: Pool, tmp_path: Path) -> None:
    shard = pool.folder / "part-00001.parquet"
    data = shard.read_bytes()
    shard.write_bytes(data[:-1] + b"?")
    with pytest.raises(DataError, match=r"part-00001\.parquet has sha256"):
        Pool.open(pool.folder).verify()
    shard.write_bytes(data + b"?")
    with pytest.raises(DataError, match="the manifest says"):
        Pool.open(pool.folder)
    shard.unlink()
    with pytest.raises(DataError, match="is missing"):
        Pool.open(pool.folder)
    with pytest.raises(NoInputError, match="is not a pool"):
        Pool.open(tmp_path / "nowhere")


@pytest.mark.parametrize(
    "change", [('"autosel.pool/1"', '"autosel.pool/9"'), ('"rows": 10', '"rows": "x"'), ("{", "")]
)
def test_a_manifest_of_another_schema_is_refused(pool: Pool, change: tuple[str, str]) -> None:
    path = pool.folder / "pool.json"
    path.write_text(path.read_text().replace(*change, 1))
    with pytest.raises(DataError, match=r"is not a pool manifest of schema autosel\.pool/1"):
        Pool.open(pool.folder)
