"""Items that are in the training data: counted by prepare, said in the log, the display and the report."""

import json
from pathlib import Path

import pytest

from autosel_runtime.report.model import parse_report
from autosel_runtime.signals.text import words_of
from autosel_runtime.store.publish import fetch
from controller.local.words import outcome_words
from controller.reconcile.model import StepResult
from tests.steps.world import Steps


def questions(path: Path) -> list[list[bytes]]:
    return [words_of(json.loads(line)["question"]) for line in path.read_text().splitlines()]


def test_prepare_counts_the_items_in_the_pool_and_in_the_targets(ready: Steps, inputs: Path) -> None:
    items = questions(inputs / "items.jsonl")
    pool = [*questions(inputs / "good.jsonl"), *questions(inputs / "bad.jsonl")]
    queries = questions(inputs / "target.jsonl")
    in_pool, in_targets = (sum(item in place for item in items) for place in (pool, queries))
    assert 0 < in_targets < in_pool
    assert ready.account["overlap"] == {"sums": [40, in_pool, in_targets]}
    assert ready.account["overlap_left_out"] == 0
    words = outcome_words(
        StepResult(attempt=1, state="succeeded", summary=ready.account, started_at=0, finished_at=1)
    )
    assert f"{in_pool} of 40 items of task sums also stand in the pool, {in_targets} in the targets" in words


def test_prepare_lists_every_finding_and_warns_in_its_log(
    ready: Steps, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ran = ready.run("prepare", "searches/y/prepare", name="setup.prepare")
    assert ran.marker is not None
    assert "warning: " in capsys.readouterr().err
    folder = fetch(ready.store, ran.marker, tmp_path / "fetched", ["overlap.jsonl"])
    rows = [json.loads(line) for line in (folder / "overlap.jsonl").read_text().splitlines()]
    _, in_pool, in_targets = ran.summary["overlap"]["sums"]
    assert sum(row["place"] == "pool" for row in rows) == in_pool
    assert sum(row["place"] == "add" for row in rows) == in_targets


def test_the_report_says_it_in_words_and_as_data(ready: Steps, tmp_path: Path) -> None:
    ran = ready.run(
        "report",
        "reports/y",
        pool=ready.account["pool"],
        signals="signals/x",
        chosen=None,
        trials=[],
        finals={},
        overlap={"sums": [40, 3, 0], "more": [10, 0, 2]},
        overlap_left_out=4,
    )
    assert ran.marker is not None
    folder = fetch(ready.store, ran.marker, tmp_path / "fetched")
    report = parse_report((folder / "report.json").read_bytes())
    assert [(one.task, one.items, one.in_pool, one.in_targets) for one in report.overlap] == [
        ("sums", 40, 3, 0),
        ("more", 10, 0, 2),
    ]
    page = (folder / "report.html").read_text()
    for sentence in ("3 of 40 items of task sums also stand in the pool", "2 of 10 items", "4 more tasks"):
        assert any(sentence in warning for warning in report.warnings)
        assert sentence in page
