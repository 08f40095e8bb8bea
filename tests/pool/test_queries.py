"""Query samples of a target."""

from pathlib import Path

import pytest

from autosel_runtime.api.pool import Target
from autosel_runtime.errors import DataError
from autosel_runtime.pool import load_queries
from tests.pool.records import jsonl


def test_queries_are_drawn_with_the_seed_in_file_order(tmp_path: Path) -> None:
    (tmp_path / "t.jsonl").write_bytes(jsonl([{"question": str(i), "answer": "a"} for i in range(50)] * 2))

    def drawn(limit: int, seed: int) -> list[int]:
        target = Target(name="t", uri="t.jsonl", limit=limit, seed=seed)
        return [int(sample.prompt[0].content) for sample in load_queries(target, tmp_path)]

    assert drawn(50, 1) == list(range(50))
    assert drawn(10, 1) == sorted(drawn(10, 1)) == drawn(10, 1)
    assert drawn(10, 1) != drawn(10, 2)
    assert len(set(drawn(10, 1))) == 10


def test_a_record_that_is_no_query_is_an_error_with_its_place(tmp_path: Path) -> None:
    records = [{"question": "q", "answer": "a"}] * 9 + [{"question": "q", "answer": ""}, b"{"]
    (tmp_path / "t.jsonl").write_bytes(jsonl(records))
    with pytest.raises(
        DataError, match=r"2 records are no queries: t\.jsonl:10: the answer is.*t\.jsonl:11: not"
    ):
        load_queries(Target(name="t", uri="t.jsonl"), tmp_path)


def test_an_empty_target_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "t.jsonl").write_bytes(b"")
    with pytest.raises(DataError, match="has no query"):
        load_queries(Target(name="t", uri="t.jsonl", format="alpaca"), tmp_path)
