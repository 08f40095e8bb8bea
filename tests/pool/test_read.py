"""Readers: every file form gives the same records, and damage is a reject with its place."""

import gzip
import hashlib
import io
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from autosel_runtime.pool import streams
from autosel_runtime.pool.files import find_inputs
from autosel_runtime.pool.read import Broken, read_records
from autosel_runtime.pool.streams import ArrayError, TooLongError, elements
from tests.pool.records import jsonl

RECORDS: list[dict[str, Any]] = [{"q": f"é {i}", "a": '"]},{[\\'} for i in range(2500)]


def read(path: Path) -> list[tuple[int, Any]]:
    return [item for file in find_inputs(path.name, path.parent).files for item in read_records(file)]


def arrow_stream(records: list[dict[str, Any]], rows: int) -> bytes:
    table, sink = pa.Table.from_pylist(records), io.BytesIO()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table, max_chunksize=rows)
    return sink.getvalue()


def parquet(records: list[dict[str, Any]]) -> bytes:
    sink = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(records), sink)
    return sink.getvalue()


FORMS = {
    "x.jsonl": jsonl(RECORDS),
    "bom.jsonl": b"\xef\xbb\xbf" + jsonl(RECORDS).replace(b"\n", b"\r\n"),
    "x.jsonl.gz": gzip.compress(jsonl(RECORDS[:1000])) + gzip.compress(jsonl(RECORDS[1000:])),
    "x.jsonl.zst": zstandard.compress(jsonl(RECORDS[:9])) + zstandard.compress(jsonl(RECORDS[9:])),
    "x.json": b"\xef\xbb\xbf \n" + orjson.dumps(RECORDS, option=orjson.OPT_INDENT_2),
    "x.json.gz": gzip.compress(orjson.dumps(RECORDS)),
    "lines.json": jsonl(RECORDS),
    "list.json": orjson.dumps(
        {"version": "1", "tags": ["a", {}], "info": {"data": [{}]}, "data": RECORDS, "n": 2}
    ),
    "indented.json": orjson.dumps({"data": RECORDS}, option=orjson.OPT_INDENT_2),
    "first.json": b'{"data": [\n' + b",\n".join(orjson.dumps(r) for r in RECORDS) + b"\n]}\n",
    "list.json.gz": gzip.compress(orjson.dumps({"rows": RECORDS})),
    "noname": orjson.dumps(RECORDS),
    "x.parquet": parquet(RECORDS),
    "x.arrow": arrow_stream(RECORDS, 700),
    "table.bin": parquet(RECORDS),
}


@pytest.mark.parametrize("name", FORMS)
def test_every_form_gives_the_same_records(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(FORMS[name])
    found = read(tmp_path / name)
    assert [record for _, record in found] == RECORDS
    first = 1 if name in ("x.jsonl", "bom.jsonl", "x.jsonl.gz", "x.jsonl.zst", "lines.json") else 0
    assert [place for place, _ in found] == list(range(first, first + len(RECORDS)))


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (b'{\n  "messages": [\n    {"role": "user"}\n  ]\n}', "one JSON object over several lines"),
        (b'{\n  "question": "a",\n  "choices": [{}]\n}\n{\n}', "one JSON object over several lines"),
        (b'{\n "train": 1}', "one JSON object over several lines"),
        (b'{"train": [{}, {}], "test": [{}]}', "more than one list of records; test is another"),
        (b'{"data": [\n{},\n{}]\n', "the object ends before its closing brace"),
        (b'{"data": [\n{}', "the array ends before"),
        (b'{"data": [\n{}]} {}', "text goes on after the list"),
    ],
)
def test_an_object_that_is_no_list_of_records_gets_one_sentence(
    text: bytes, problem: str, tmp_path: Path
) -> None:
    (tmp_path / "x.json").write_bytes(text)
    broken = [record for _, record in read(tmp_path / "x.json") if isinstance(record, Broken)]
    assert len(broken) == 1
    assert problem in broken[0].reason


@pytest.mark.parametrize(
    "text",
    [
        b'{"tools": [{"n": 1}], "messages": []}',
        b'{"question": "a", "choices": [{}]}\n',
        b'{"data": [{}]}\n{"data": [{}]}\n',
        b'{"data": 1}',
    ],
)
def test_lines_stay_lines_whatever_lists_they_hold(text: bytes, tmp_path: Path) -> None:
    (tmp_path / "x.json").write_bytes(text)
    assert read(tmp_path / "x.json") == [(i, orjson.loads(x)) for i, x in enumerate(text.splitlines(), 1)]


def test_a_file_of_lines_with_a_broken_first_line_loses_that_line_alone(tmp_path: Path) -> None:
    (tmp_path / "x.json").write_bytes(b'{"q": "half\n{"n": 2}\n')
    (first, broken), (second, record) = read(tmp_path / "x.json")
    assert (first, second, record) == (1, 2, {"n": 2})
    assert isinstance(broken, Broken)


@pytest.mark.parametrize(
    ("line", "reason", "detail"),
    [
        (b'{"q": "half', "not valid JSON", "unexpected end of data"),
        (b'{"q": NaN}', "not valid JSON", "character"),
        (b'{"q": "\xe9"}', "not UTF-8", "byte 0xe9 at position 7"),
        (b'{"q": "\\ud800"}', "not valid JSON", "surrogate"),
        (b"[1, 2]", "not a JSON object", "an array"),
        (b'"text"', "not a JSON object", "a string"),
        (b"null", "not a JSON object", "null"),
        (b"[" * 5000, "not valid JSON", "depth"),
    ],
)
def test_a_bad_line_is_broken_and_the_next_is_read(
    line: bytes, reason: str, detail: str, tmp_path: Path
) -> None:
    (tmp_path / "x.jsonl").write_bytes(b'{"n":1}\n\n' + line + b'\n{"n":4}')
    (_, first), (place, broken), (last, after) = read(tmp_path / "x.jsonl")
    assert (first, place, last, after) == ({"n": 1}, 3, 4, {"n": 4})
    assert isinstance(broken, Broken)
    assert reason in broken.reason
    assert detail in broken.detail
    assert len(broken.text) <= 200


@pytest.mark.parametrize("array", [False, True])
def test_a_record_that_is_too_long_is_broken_and_never_held(array: bool, tmp_path: Path) -> None:
    huge = b'{"q":"' + b"x" * (50 * 2**20) + b'"}'
    path = tmp_path / ("x.json" if array else "x.jsonl")
    path.write_bytes(
        b"[" + b",".join([b"{}", huge, b"{}"]) + b"]" if array else b"\n".join([b"{}", huge, b"{}"])
    )
    (_, first), (_, broken), (_, last) = read(path)
    assert (first, last) == ({}, {})
    assert isinstance(broken, Broken)
    assert (broken.reason, broken.detail) == ("the record is too long", "the limit is 16 MiB")
    assert broken.text.startswith('{"q":"xxx')


@pytest.mark.parametrize("name", ["x.jsonl.gz", "x.jsonl.zst", "x.parquet", "x.arrow"])
def test_half_a_file_is_one_broken_record_at_its_end(name: str, tmp_path: Path) -> None:
    records = [{"q": hashlib.sha256(b"%d" % i).hexdigest()} for i in range(20_000)]
    data = {
        "x.jsonl.gz": lambda: gzip.compress(jsonl(records)),
        "x.jsonl.zst": lambda: zstandard.compress(jsonl(records)),
        "x.parquet": lambda: parquet(records),
        "x.arrow": lambda: arrow_stream(records, 1000),
    }[name]()
    (tmp_path / name).write_bytes(data[: len(data) // 2])
    *good, (place, last) = read(tmp_path / name)
    assert [record for _, record in good] == records[: len(good)]
    assert isinstance(last, Broken)
    assert last.reason == "the file is damaged or ends early"
    if "jsonl" in name:
        assert place == len(good) + 1
        assert last.detail.startswith(f"line {len(good)} is the last that could be read: ")


def test_a_file_of_which_nothing_can_be_read_is_broken_at_its_first_line(tmp_path: Path) -> None:
    for data in (gzip.compress(jsonl([{"q": "one"}]))[:-9], b"no gzip at all"):
        (tmp_path / "x.jsonl.gz").write_bytes(data)
        [(place, broken)] = read(tmp_path / "x.jsonl.gz")
        assert place == 1
        assert isinstance(broken, Broken)
        assert broken.detail.startswith("no line could be read: ")


def test_half_an_array_says_which_record_was_the_last(tmp_path: Path) -> None:
    records = [{"q": hashlib.sha256(b"%d" % i).hexdigest()} for i in range(20_000)]
    data = gzip.compress(orjson.dumps(records))
    (tmp_path / "x.json.gz").write_bytes(data[: len(data) // 2])
    *good, (place, broken) = read(tmp_path / "x.json.gz")
    assert place == len(good)
    assert isinstance(broken, Broken)
    assert broken.detail.startswith(f"record {len(good) - 1} is the last that could be read: ")


@pytest.mark.parametrize("data", [b"PAR1 and no more", b"ARROW1 and no more"])
def test_a_file_that_only_looks_like_a_table_is_broken(data: bytes, tmp_path: Path) -> None:
    (tmp_path / "x.parquet").write_bytes(data)
    [(place, broken)] = read(tmp_path / "x.parquet")
    assert place == 0
    assert isinstance(broken, Broken)


def test_one_bad_string_of_a_table_costs_one_record(tmp_path: Path) -> None:
    bad = pa.StringArray.from_buffers(
        3, pa.py_buffer(b"\0\0\0\0\1\0\0\0\2\0\0\0\3\0\0\0"), pa.py_buffer(b"a\xffc")
    )
    pq.write_table(pa.table({"q": bad}), tmp_path / "x.parquet")
    (_, first), (_, broken), (_, last) = read(tmp_path / "x.parquet")
    assert (first, last) == ({"q": "a"}, {"q": "c"})
    assert isinstance(broken, Broken)
    assert broken.reason == "not UTF-8"


def split(data: bytes, block: int) -> list[bytes | str]:
    """Elements of an array as their bytes or the name of their error, read in blocks of a size."""
    stream: Any = io.BufferedReader(Dripping(data, block), 16)  # pyright: ignore[reportArgumentType]
    return [type(e).__name__ if isinstance(e, TooLongError | ArrayError) else e for _, e in elements(stream)]


class Dripping(io.RawIOBase):
    """A raw stream that gives at most ``block`` bytes at a time."""

    def __init__(self, data: bytes, block: int) -> None:
        self._data, self._block, self._at = data, block, 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        piece = self._data[self._at : self._at + min(self._block, len(buffer))]
        buffer[: len(piece)] = piece
        self._at += len(piece)
        return len(piece)


values = st.recursive(
    st.integers(-9, 9) | st.text('"\\[]{},: aé', max_size=6),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text('"]}', max_size=2), inner, max_size=2)
    ),
    max_leaves=6,
)


@given(st.lists(values, max_size=6), st.integers(1, 20), st.booleans())
def test_arrays_are_cut_at_any_block_size(items: list[Any], block: int, indented: bool) -> None:
    data = orjson.dumps(items, option=orjson.OPT_INDENT_2 if indented else 0)
    assert [orjson.loads(element) for element in split(data, block)] == items


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"[]", []),
        (b" [ ] ", []),
        (b"[1,]", [b"1", b""]),
        (b"[,1]", [b"", b"1"]),
        (b"[1", ["ArrayError"]),
        (b"[1, {", [b"1", "ArrayError"]),
        (b'[1, "a', [b"1", "ArrayError"]),
        (b"[1] [2]", [b"1", "ArrayError"]),
        (b"[1}, 2]", ["ArrayError"]),
        (b"[bad, 2]", [b"bad", b"2"]),
        (b"[", ["ArrayError"]),
    ],
)
def test_broken_arrays(data: bytes, expected: list[bytes | str]) -> None:
    assert split(data, 3) == expected


@given(st.lists(st.text("ab,]", max_size=40), max_size=5), st.integers(1, 7))
def test_long_elements_are_named_and_dropped_wherever_blocks_end(items: list[str], block: int) -> None:
    limit, streams.MAX_RECORD_BYTES = streams.MAX_RECORD_BYTES, 16
    try:
        found = split(orjson.dumps(items), block)
    finally:
        streams.MAX_RECORD_BYTES = limit
    expected = [orjson.dumps(item) for item in items]
    assert found == [item if len(item) <= 16 else "TooLongError" for item in expected]
