"""``autosel verify --base``: a lock without any run folder."""

import json
from pathlib import Path

import pytest

from autosel_runtime.report.lock_file import lock_text
from tests.cli.calls import autosel
from tests.controller.local_search import write_inputs
from tests.controller.test_rebuild import TEXT, lock_of


@pytest.fixture(scope="module")
def moved(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A lock far from the files that it names."""
    base = write_inputs(tmp_path_factory.mktemp("base"))
    lock = tmp_path_factory.mktemp("elsewhere") / "recipe.lock"
    lock.write_text(lock_text(lock_of(base, tmp_path_factory.mktemp("made"), TEXT)))
    return lock, base


def test_a_lock_holds_with_nothing_but_its_files(moved: tuple[Path, Path]) -> None:
    lock, base = moved
    answer = autosel("verify", lock, "--base", base, "--json")
    assert answer.code == 0, answer.err
    assert answer.json == {"lock": str(lock), "valid": True}
    assert "building the pool from 2 files" in answer.err


def test_without_base_the_files_are_looked_for_beside_the_lock(moved: tuple[Path, Path]) -> None:
    lock, base = moved
    answer = autosel("verify", lock)
    assert answer.code == 66
    assert "good.jsonl" in answer.err
    beside = base / "recipe.lock"
    beside.write_text(lock.read_text())
    assert autosel("verify", beside).out.strip() == f"{beside} holds"


def test_an_edited_lock_does_not_hold(moved: tuple[Path, Path], tmp_path: Path) -> None:
    lock, base = moved
    content = json.loads(lock.read_text())
    content["seed"] += 1
    edited = tmp_path / "recipe.lock"
    edited.write_text(json.dumps(content))
    answer = autosel("verify", edited, "--base", base)
    assert answer.code == 65
    assert "The digest of the lock itself differs" in answer.err


def test_run_and_base_exclude_each_other(moved: tuple[Path, Path]) -> None:
    lock, base = moved
    assert autosel("verify", lock, "--base", base, "--run", base).code == 64
