"""Building a pool: identity, order, counts, refusals, and the bytes it leaves."""

import hashlib
import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from autosel_runtime.api.pool import FieldMapping, PoolSource, PoolSpec
from autosel_runtime.errors import DataError, NoInputError, OutputError, UsageError
from autosel_runtime.pool import Pool, build_pool
from autosel_runtime.pool.sample import RecordError, make_sample
from tests.pool.conftest import Build
from tests.pool.records import chat, jsonl, rejects

once_a_run = settings(
    max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def expected_pool(records: list[Any], source: str = "s") -> tuple[list[str], int]:
    """Ids as the plainest implementation gives them, and the number of rejects."""
    seen: Counter[str] = Counter()
    ids: list[str] = []
    rejected = 0
    for record in records:
        try:
            if not isinstance(record, dict):
                raise RecordError("not an object")
            base = make_sample(source, record["messages"]).id
        except RecordError:
            rejected += 1
            continue
        ids.append(f"{base}~{seen[base]}" if seen[base] else base)
        seen[base] += 1
    return ids, rejected


record = st.sampled_from(
    [
        *(chat(q, a) for q in ("q", "é\n", "x y") for a in ("a", "b")),
        chat("", "a"),
        chat("q", ""),
        chat("q\0", "a"),
        [1],
        7,
    ]
)


@once_a_run
@given(st.lists(record, max_size=12), st.integers(1, 5), st.data())
def test_ids_follow_the_records_whatever_the_shards_and_files(
    build: Build, records: list[Any], rows_per_shard: int, data: st.DataObject
) -> None:
    records = [chat("first", "one"), *records]
    ids, rejected = expected_pool(records)
    cut = data.draw(st.integers(0, len(records)))
    files = {"d/a.jsonl": jsonl(records[:cut]), "d/b.json": json.dumps(records[cut:]).encode()}
    manifest, out = build(files, uri="d", format="openai", rows_per_shard=rows_per_shard)
    pool = Pool.open(out)
    assert pool.ids().to_pylist() == ids
    assert (manifest.rows, manifest.rejected, len(rejects(out))) == (len(ids), rejected, rejected)
    assert manifest.duplicates == sum("~" in row_id for row_id in ids)
    assert manifest.digest == "sha256:" + hashlib.sha256("".join(i + "\n" for i in ids).encode()).hexdigest()
    assert [shard.rows for shard in manifest.shards] == [
        min(rows_per_shard, len(ids) - first) for first in range(0, len(ids), rows_per_shard)
    ]
    kept = [make_sample("s", r["messages"]).messages for r in records if _is_valid(r)]
    assert [sample.messages for sample in pool.samples()] == kept
    assert pool.words().tolist() == [sum(len(m.content.split()) for m in messages) for messages in kept]


def _is_valid(candidate: Any) -> bool:
    return expected_pool([candidate])[1] == 0


def test_rows_have_the_columns_of_the_contract(build: Build) -> None:
    _, out = build({"x.jsonl": jsonl([b"{", chat("q", "a b"), chat("q", "a b")])}, name="chats")
    table = pq.read_table(out / "part-00000.parquet")
    assert table.schema.names == ["id", "source", "messages", "words", "record"]
    first, second = table.to_pylist()
    messages = '[{"content":"q","role":"user"},{"content":"a b","role":"assistant"}]'
    row_id = hashlib.sha256(f'{{"messages":{messages},"source":"chats"}}'.encode()).hexdigest()[:24]
    assert first == {"id": row_id, "source": "chats", "messages": messages, "words": 3, "record": "x.jsonl:2"}
    assert second == {**first, "id": f"{row_id}~1", "record": "x.jsonl:3"}
    [reject] = rejects(out)
    assert reject == {
        "source": "chats",
        "file": "x.jsonl",
        "line": 1,
        "reason": "not valid JSON",
        "detail": "unexpected end of data at character 1",
        "text": "{",
    }


def test_equal_inputs_give_equal_bytes(build: Build) -> None:
    data = {"x.jsonl": jsonl([chat(str(i % 90), "a") for i in range(100)] + [b"x"])}
    _, one = build(data, rows_per_shard=30)
    _, two = build(data, rows_per_shard=30)
    names = sorted(path.name for path in one.iterdir())
    assert names == [
        "part-00000.parquet",
        "part-00001.parquet",
        "part-00002.parquet",
        "part-00003.parquet",
        "pool.json",
        "rejects.jsonl",
    ]
    assert all((one / name).read_bytes() == (two / name).read_bytes() for name in names)


def test_sources_keep_their_order_and_counts(tmp_path: Path) -> None:
    (tmp_path / "b.jsonl").write_bytes(jsonl([chat("q", "a"), chat("q", ""), chat("q", "a"), chat("z", "a")]))
    pair = {"q": "q", "a": "a"}
    (tmp_path / "a.jsonl").write_bytes(jsonl([{**pair, "from": "Set One"}, {**pair, "from": ""}]))
    mapping = FieldMapping(user="{q}", assistant="{a}", source="{from}")
    spec = PoolSpec(
        sources=[
            PoolSource(name="second", uri="b.jsonl", limit=3),
            PoolSource(name="mapped", uri=str(tmp_path / "a.jsonl"), format="mapping", mapping=mapping),
        ]
    )
    manifest = build_pool(spec, base=tmp_path, out=tmp_path / "new" / "pool")
    pool = Pool.open(tmp_path / "new" / "pool")
    assert pool.source_names == ("second", "set-one", "mapped")
    assert pool.source_codes().tolist() == [0, 0, 1, 2]
    assert pool.source_codes().dtype == np.uint16
    second, mapped = manifest.sources
    assert (second.read, second.rows, second.rejected, second.duplicates) == (3, 2, 1, 1)
    assert (second.format, second.why) == ("openai", "messages with role and content in the first 4 records")
    assert (mapped.format, mapped.why, mapped.duplicates) == ("mapping", "given", 0)
    assert [entry.name for entry in manifest.source_rows] == ["second", "set-one", "mapped"]
    assert [entry.rows for entry in manifest.source_rows] == [2, 1, 1]


def test_a_pool_of_one_is_a_pool(build: Build) -> None:
    manifest, out = build({"x.json": b'[{"prompt":"p","completion":"c"}]'})
    assert manifest.rows == 1
    assert [sample.answer.content for sample in Pool.open(out).samples()] == ["c"]


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "its files are empty"),
        (b"\n\n", "its files are empty"),
        (b"[]", "its files are empty"),
        (b"\xff\xfe{\x00", r"no record that can be read.*x\.json:1: not UTF-8 \(byte 0xff"),
    ],
)
def test_nothing_to_detect_is_one_clear_error(data: bytes, reason: str, build: Build, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=reason):
        build({"x.json": data})
    assert not (tmp_path / "out1").exists()


def test_no_records_in_a_given_format_is_an_error(build: Build) -> None:
    with pytest.raises(DataError, match="the pool has no sample: its sources hold no records"):
        build({"x.jsonl": b"\n"}, format="alpaca")


def test_too_many_rejects_stop_the_build_and_are_kept(build: Build, tmp_path: Path) -> None:
    data = {"x.jsonl": jsonl([chat("q", "a")] * 5 + [chat("q", "")] * 3 + [b"{"] * 2)}
    with pytest.raises(DataError) as caught:
        build(data, max_reject_fraction=0.49)
    message = str(caught.value)
    assert "50.0% of the records" in message
    assert "the answer is empty (3); not valid JSON (2)" in message
    kept = tmp_path / "out1.rejects.jsonl"
    assert str(kept) in message
    assert len(kept.read_bytes().splitlines()) == 5
    assert not (tmp_path / "out1").exists()
    assert build(data, max_reject_fraction=0.5)[0].rows == 5


def test_no_valid_sample_is_an_error_even_when_all_may_be_rejected(build: Build) -> None:
    with pytest.raises(DataError, match="no sample: all 2 of 2 records were rejected: the answer is empty"):
        build({"x.jsonl": jsonl([chat("q", "")] * 2)}, max_reject_fraction=1.0)


def test_a_full_folder_is_never_overwritten(tmp_path: Path) -> None:
    (tmp_path / "x.jsonl").write_bytes(jsonl([chat("q", "a")]))
    spec = PoolSpec(sources=[PoolSource(name="s", uri="x.jsonl")])
    (tmp_path / "out").mkdir()
    build_pool(spec, base=tmp_path, out=tmp_path / "out")
    with pytest.raises(OutputError, match="not an empty folder"):
        build_pool(spec, base=tmp_path, out=tmp_path / "out")
    with pytest.raises(OutputError, match="cannot be written"):
        build_pool(spec, base=tmp_path, out=tmp_path / "x.jsonl" / "out")
    with pytest.raises(UsageError, match="at least 1"):
        build_pool(spec, base=tmp_path, out=tmp_path / "p", rows_per_shard=0)
    with pytest.raises(NoInputError, match="does not exist"):
        build_pool(PoolSpec(sources=[PoolSource(name="s", uri="y")]), base=tmp_path, out=tmp_path / "p")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "x.jsonl"]
