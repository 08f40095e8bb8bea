"""Searches whose pool and signals are ready, small and large."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.controller.local_search import specification, write_inputs
from tests.steps.world import Steps


def lexical(inputs: Path, **changes: Any) -> dict[str, Any]:
    """Return a search that needs no language model for its signals."""
    return specification(
        inputs, signals={"languageModel": {"enabled": False}, "minhash": {"ngram": 3}}, **changes
    )


@pytest.fixture(scope="session")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_inputs(tmp_path_factory.mktemp("inputs"))


@pytest.fixture(scope="session")
def _ready(inputs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return Steps(folder=tmp_path_factory.mktemp("ready"), spec=lexical(inputs)).prepare().folder


@pytest.fixture
def ready(_ready: Path, inputs: Path, tmp_path: Path) -> Steps:
    """A prepared and scored search that a test may change."""
    shutil.copytree(_ready, tmp_path / "ready")
    steps = Steps(folder=tmp_path / "ready", spec=lexical(inputs))
    steps.account = json.loads(
        next((tmp_path / "ready").glob("store/searches/x/prepare/_SUCCESS.json")).read_text()
    )["summary"]
    return steps


@pytest.fixture(scope="session")
def crowded(inputs: Path, tmp_path_factory: pytest.TempPathFactory) -> Steps:
    """A search with 256 sources, 64 targets and 64 tasks, all with the longest names. Tests do not change it."""
    folder = tmp_path_factory.mktemp("crowded")
    (folder / "pool").mkdir()
    sources, targets, tasks = [], [], []
    for index in range(256):
        name = f"source-{index:03d}-".ljust(63, "x")
        rows = [{"question": f"what is {index} and {i} ?", "answer": f"{index + i} of {i}"} for i in range(3)]
        (folder / "pool" / f"{index}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        sources.append({"name": name, "uri": f"pool/{index}.jsonl"})
    for index in range(64):
        targets.append({"name": f"target-{index:02d}-".ljust(63, "x"), "uri": str(inputs / "target.jsonl")})
        tasks.append(
            {
                "name": f"task-{index:02d}-".ljust(63, "x"),
                "definition": "mmlu_choice",
                "limit": 4,
                "uri": str(inputs / "items.jsonl"),
                "weight": 1 + index,
            }
        )
    spec = lexical(
        inputs,
        pool={"sources": sources},
        targets=targets,
        evaluation={"tasks": tasks, "batchSize": 16},
        search={"minSamples": 4},
    )
    return Steps(folder=folder, spec=spec).prepare()
