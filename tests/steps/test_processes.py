"""A step that several processes of torchrun work on: one result, published by the first, and its exit code kept."""

import gzip
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from autosel_runtime.errors import DataError
from autosel_runtime.steps import run
from autosel_runtime.steps.context import StepContext, StepOutput
from autosel_runtime.steps.document import read_document
from autosel_runtime.steps.run import run_document
from tests.kube.samples import search_manifest


@pytest.fixture
def start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[int, Any, bool]]:
    """Return how to run a step as one rank: its exit code, what it left as result, whether it published."""

    def run_as(rank: str, work: Callable[[StepContext], StepOutput]) -> tuple[int, Any, bool]:
        document = {
            "step": "train",
            "name": "t00001.train",
            "uid": "u",
            "inputs": {},
            "output": "models/x",
            "search": {**search_manifest()["spec"], "storage": {}},
            "base": str(tmp_path),
            "defaultStore": str(tmp_path / "store"),
            "work": str(tmp_path / f"work-{rank}"),
        }
        path, result = tmp_path / "step.json", tmp_path / f"result-{rank}.json"
        path.write_bytes(gzip.compress(json.dumps(document).encode()))
        monkeypatch.setenv("RANK", rank)
        monkeypatch.setenv("AUTOSEL_RESULT_FILE", str(result))
        monkeypatch.setattr(run, "_function", lambda _step: work)
        code = run_document(str(path))
        left = json.loads(result.read_bytes()) if result.exists() else None
        return code, left, (tmp_path / "store" / "models" / "x" / "_SUCCESS.json").exists()

    return run_as


def test_only_the_first_process_publishes_and_tells(start: Callable[..., tuple[int, Any, bool]]) -> None:
    seen: list[str] = []

    def work(context: StepContext) -> StepOutput:
        seen.append(context.document.name)
        return StepOutput(files={"a.txt": b"a"}, summary={"tokens": 1})

    assert start("1", work) == (0, None, False)
    assert start("0", work) == (0, {"summary": {"tokens": 1, "cached": False}}, True)
    assert start("1", work) == (0, None, True), "a finished step is found by every process"
    assert len(seen) == 2


def test_the_exit_code_is_in_the_result(start: Callable[..., tuple[int, Any, bool]]) -> None:
    def work(_context: StepContext) -> StepOutput:
        raise DataError("loss became NaN")

    assert start("1", work) == (65, {"error": "loss became NaN", "exit_code": 65}, False)


def test_a_broken_compressed_document_is_named(tmp_path: Path) -> None:
    path = tmp_path / "step.json"
    path.write_bytes(gzip.compress(b"{}")[:-4])
    with pytest.raises(Exception, match="cannot be read"):
        read_document(str(path))


def test_a_step_that_is_asked_to_stop_does_so_and_says_so(tmp_path: Path) -> None:
    """As the first process of a container it would not stop without a handler; elsewhere it would end with -15."""
    document = tmp_path / "step.json"
    os.mkfifo(document)
    step = subprocess.Popen(
        [sys.executable, "-m", "autosel_runtime.steps", "prepare", "--spec", str(document)]
    )
    with document.open("wb"):  # opens once the step reads
        step.terminate()
        assert step.wait(60) == 143
