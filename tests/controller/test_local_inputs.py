"""Inputs that are wrong and steps that take too long: one sentence, an exit code, and a way on once it is mended."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.controller.local_search import LocalSearch, specification


@pytest.fixture
def own(inputs: Path, tmp_path: Path) -> Path:
    """A copy of the inputs that a test may break."""
    shutil.copytree(inputs, tmp_path / "inputs")
    return tmp_path / "inputs"


def broken(inputs: Path, fault: str) -> tuple[dict[str, Any], str, int]:
    """Break one input; return the specification, what the sentence must say and the exit code."""
    changes: dict[str, Any] = {}
    match fault:
        case "empty pool":
            (inputs / "good.jsonl").write_text("")
            (inputs / "bad.jsonl").write_text("")
            return specification(inputs), "has no record that can be read", 65
        case "all rows rejected":
            for name in ("good.jsonl", "bad.jsonl"):
                (inputs / name).write_text('{"question": "no answer"}\n' * 5)
            changes = {
                "pool": {"sources": [{"name": "good", "uri": str(inputs / "good.jsonl"), "format": "qa"}]}
            }
            return specification(inputs), "good.jsonl", 65
        case "a model that is none":
            shutil.rmtree(inputs / "model")
            (inputs / "model").mkdir()
            (inputs / "model" / "notes.txt").write_text("no model")
            return specification(inputs), "model", 66
        case "a task without items":
            (inputs / "items.jsonl").write_text("")
            return specification(inputs), "items.jsonl", 65
        case "an unknown operator":
            changes = {"search": {"minSamples": 20, "seedRecipes": [{"steps": [{"operator": "ifd_filer"}]}]}}
            return specification(inputs, **changes), "spec.search.seedRecipes[0].steps[0].operator", 65
        case _:
            changes = {"search": {"minSamples": 20, "operators": ["ifd_filer"]}}
            return (
                specification(inputs, **changes),
                "spec.search.operators[0]: unknown operator 'ifd_filer'",
                65,
            )


FAULTS = [
    "empty pool",
    "all rows rejected",
    "a model that is none",
    "a task without items",
    "an unknown operator",
    "an operator that is none",
]


@pytest.mark.parametrize("fault", FAULTS)
def test_wrong_input_is_one_sentence_before_anything_is_computed(
    own: Path, tmp_path: Path, fault: str
) -> None:
    spec, words, code = broken(own, fault)
    search = LocalSearch(folder=tmp_path / "search", spec=spec)
    ended = search.run()
    last = ended.err.strip().splitlines()[-1]
    assert (ended.code, last.startswith("error: "), words in last) == (code, True, True), ended.err
    assert "Traceback" not in ended.err
    if search.out.exists():
        status = search.json("status.json")
        assert (status["stalled"], status["finished"]) == (True, False)
        assert {name.split("/")[0] for name in search.attempts()} == {"setup.prepare"}


def test_a_search_goes_on_once_its_input_is_mended(inputs: Path, own: Path, tmp_path: Path) -> None:
    (own / "items.jsonl").write_text("")
    search = LocalSearch(folder=tmp_path / "search", spec=specification(own))
    assert search.run().code == 65
    assert search.run().code == 65
    shutil.copy(inputs / "items.jsonl", own / "items.jsonl")
    (own / "target.jsonl").write_text("")  # the next fault shows that prepare has come further
    ended = search.run()
    assert ended.code == 65
    assert "target" in ended.err
    assert "prepare failed in an earlier run and is tried again" in ended.err
    assert search.finished_times() == {"setup.prepare": 0}
    names = sorted(path.name for path in (search.out / "steps" / "setup.prepare").iterdir())
    assert names == ["1", "1.failed-1", "1.failed-2"]


def test_a_step_that_takes_too_long_is_ended(inputs: Path, tmp_path: Path) -> None:
    spec = specification(
        inputs,
        failurePolicy={"stepDeadlineSeconds": 10},
        search={"minSamples": 20, "extensions": ["slow_signal"]},
    )
    (tmp_path / "slow_signal.py").write_text(
        "import time\n\n\ndef wait(sample):\n    time.sleep(600)\n    return 1.0\n\n\n"
        "def signals():\n    return [('slow_signal.wait', wait)]\n"
    )
    from tests.controller.local_search import REPOSITORY

    search = LocalSearch(
        folder=tmp_path / "search", spec=spec, environment={"PYTHONPATH": f"{REPOSITORY}:{tmp_path}"}
    )
    ended = search.run()
    assert ended.code == 70
    assert "ran longer than the deadline of 10 s" in ended.err
    assert not search.running()
    outcome = json.loads((search.out / "steps" / "setup.score" / "1" / "outcome.json").read_text())
    assert outcome["exit_code"] == 70
