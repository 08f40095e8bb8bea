"""One set of inputs and one undisturbed run for all tests of local runs."""

import os
from pathlib import Path

import pytest

from tests.controller.local_search import Ended, LocalSearch, specification, write_inputs


@pytest.fixture(scope="session")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a model, a pool and a task."""
    return write_inputs(tmp_path_factory.mktemp("inputs"))


@pytest.fixture(scope="session")
def undisturbed(inputs: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[LocalSearch, Ended]:
    """A search that ran to its end in peace. Tests only read it; those that go on work on a copy."""
    search = LocalSearch(folder=tmp_path_factory.mktemp("undisturbed"), spec=specification(inputs))
    ended = search.run()
    assert ended.code == 0, ended.err
    return search, ended


@pytest.fixture(autouse=True)
def _no_step_outlives_its_test(request: pytest.FixtureRequest, tmp_path: Path) -> object:
    """Kill what a failed test has left running below its own folder: runs, then steps."""
    yield
    from controller.local.attempts import holder

    for lock in tmp_path.rglob("run/lock"):
        pid = holder(lock.parent)
        if pid:
            os.kill(pid, 9)
    for lock in tmp_path.rglob("steps/*/*/lock"):
        pid = holder(lock.parent)
        if pid:
            os.killpg(pid, 9)
