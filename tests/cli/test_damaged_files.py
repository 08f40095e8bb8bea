"""Files that hold something else than they should: one sentence with the file's name, whatever reads it."""

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from autosel_runtime.api.recipe_search import RecipeSearchSpec
from autosel_runtime.api.search import Recipe
from controller.local.folder import save_trial, write_json
from controller.reconcile.model import Trial
from tests.cli.calls import Answer, autosel, child, environment
from tests.kube.samples import search_manifest
from tests.tiny_model import build_model

CONTENTS: dict[str, bytes] = {
    "an array": b"[1]",
    "a number": b"3",
    "nothing": b"",
    "half an object": b'{"a": ',
    "bytes": b"\xff\xfe\x00\x80",
    "another object": b"{}",
    "null": b"null",
    "a text": b'"x"',
}
RUN_FILES = [
    "search.json",
    "trials/t00001.json",
    "steps/setup.prepare/1/outcome.json",
    "status.json",
]
LINE = '{{"instruction": "number {0}", "output": "the answer is {0} and no other"}}\n'


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run folder that got as far as one trial."""
    folder = tmp_path_factory.mktemp("run")
    content = {name: value for name, value in search_manifest()["spec"].items() if name != "storage"}
    spec = RecipeSearchSpec.model_validate(content)
    identity = {"uid": "0" * 32, "name": "x", "base": ".", "started_at": time.time()}
    write_json(folder / "search.json", {**identity, "spec": spec.model_dump(mode="json")})
    write_json(folder / "status.json", {"finished": False, "message": "searching"})
    save_trial(
        folder,
        Trial(
            name="t00001",
            role="search",
            recipe=Recipe(steps=[]),
            recipe_digest="sha256:" + "0" * 64,
            ordinal=1,
        ),
    )
    attempt = folder / "steps" / "setup.prepare" / "1"
    write_json(attempt / "document.json", {})
    outcome = {"exit_code": 65, "error": "no pool", "started_at": 1.0, "finished_at": 2.0}
    write_json(attempt / "outcome.json", outcome)
    return folder


def test_a_run_that_failed_waits_for_being_run_again(run: Path) -> None:
    assert (
        "Waits for: nothing by itself: mend what the message says, then run the search again"
        in autosel("describe", run).out
    )


@pytest.mark.parametrize("what", CONTENTS)
@pytest.mark.parametrize("name", RUN_FILES)
def test_a_damaged_file_of_a_run_is_named(run: Path, name: str, what: str) -> None:
    path = run / name
    before = path.read_bytes()
    assert autosel("describe", run).code == 0
    path.write_bytes(CONTENTS[what])
    try:
        answer = autosel("describe", run)
        told = autosel("describe", run, "--json")
    finally:
        path.write_bytes(before)
    assert (answer.code, answer.out) == (65, "")
    assert answer.err.startswith(f"error: {path} is damaged: ")
    assert len(answer.err.splitlines()) == 1
    assert told.json["exit_code"] == 65


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A pool, its signals, a model, and what else one step by hand reads."""
    folder = tmp_path_factory.mktemp("parts")
    (folder / "a.jsonl").write_text("".join(LINE.format(number) for number in range(30)))
    build_model(folder / "model")
    (folder / "recipe.yaml").write_text(
        "- {operator: semantic_dedup, params: {strategy: exact}}\n- {operator: semantic_dedup}\n"
        "- {operator: quality_filter, params: {fraction: 0.5}}\n"
    )
    (folder / "task.yaml").write_text(
        "name: t\ndescription: x\nuser: '{q}'\ngold: {field: a}\nmetric: exact_match\n"
    )
    (folder / "items.jsonl").write_text('{"q": "a", "a": "b"}\n' * 4)
    (folder / "search.yaml").write_text(
        "apiVersion: autosel.dev/v1alpha1\nkind: RecipeSearch\nmetadata: {name: x}\nspec:\n"
        "  pool: {sources: [{name: a, uri: a.jsonl}]}\n  model: {uri: model}\n"
        "  evaluation: {tasks: [{name: t, definition: task.yaml, uri: items.jsonl}]}\n"
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        assert autosel("pool", "build", "a.jsonl", "--out", "pool").code == 0
        assert autosel("score", "pool", "--minhash-ngram", 1, "--out", "signals").code == 0
    return folder


MATERIALIZE = "materialize pool recipe.yaml --signals signals --out o"
EVALUATE = "evaluate model --search search.yaml --out o"
PART_FILES = {
    "pool/pool.json": MATERIALIZE,
    "signals/signals.json": MATERIALIZE,
    "signals/groups.npz": MATERIALIZE,
    "signals/pairs.npz": MATERIALIZE,
    "signals/scalars-quality.parquet": MATERIALIZE,
    "recipe.yaml": MATERIALIZE,
    "search.yaml": EVALUATE,
    "task.yaml": EVALUATE,
    "items.jsonl": EVALUATE,
    "model/config.json": "score pool --model model --out o",
    "model/tokenizer.json": "score pool --model model --out o",
    "model/tokenizer_config.json": EVALUATE,
    "model/model.safetensors": EVALUATE,
}


@pytest.mark.parametrize("what", CONTENTS)
@pytest.mark.parametrize("name", PART_FILES)
def test_a_damaged_input_is_named(parts: Path, monkeypatch: pytest.MonkeyPatch, name: str, what: str) -> None:
    monkeypatch.chdir(parts)
    path = Path(name)
    before = path.read_bytes()
    path.write_bytes(CONTENTS[what])
    try:
        answer = autosel(*PART_FILES[name].split())
    finally:
        path.write_bytes(before)
    if answer.code == 0:  # a tokenizer's settings, say, may be an empty object
        assert what in ("another object", "null", "nothing")
        return
    assert answer.code in (65, 66), answer.err
    last = answer.err.splitlines()[-1]
    assert last.startswith(("error: ", f"{name}:"))
    assert path.parts[0] in answer.err
    for words in ("internal", "Traceback", "Input should", "validation error"):
        assert words not in answer.err


def test_groups_that_are_another_file_are_damaged(parts: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(parts)
    path = Path("signals/groups.npz")
    before = path.read_bytes()
    np.savez(path, other=np.zeros(3))
    answer = autosel(*MATERIALIZE.split())
    path.write_bytes(before)
    assert answer.code == 65
    assert "groups.npz: the file is damaged (KeyError); score again" in answer.err
    assert json.loads(autosel(*MATERIALIZE.split(), "--json").out)["size"] > 0


NOT_ALLOWED = {
    "pool/part-00000.parquet": MATERIALIZE,
    "signals/groups.npz": MATERIALIZE,
    "pool/pool.json": MATERIALIZE,
}


@pytest.mark.parametrize("name", ["trials", "steps", "steps/setup.prepare", *RUN_FILES])
def test_what_may_not_be_read_of_a_run_is_named(run: Path, name: str) -> None:
    with unreadable(run / name):
        answer = without_rights("describe", run)
    assert answer.code in (66, 77)
    assert f"{run / name}" in answer.err
    assert "ermission denied" in answer.err
    assert len(answer.err.splitlines()) == 1


@pytest.mark.parametrize("name", NOT_ALLOWED)
def test_what_may_not_be_read_of_a_pool_is_named(
    parts: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.chdir(parts)
    with unreadable(Path(name)):
        answer = without_rights(*NOT_ALLOWED[name].split())
    assert answer.code in (65, 66, 77), answer.err
    assert name in answer.err
    assert len(answer.err.splitlines()) == 1


@contextmanager
def unreadable(path: Path) -> Generator[None]:
    """Take the rights of a file or folder away while the block runs."""
    mode = path.stat().st_mode
    path.chmod(0)
    try:
        yield
    finally:
        path.chmod(mode)


def without_rights(*arguments: object) -> Answer:
    """Run a command in a process that may not read everything, though root starts it."""
    if os.geteuid():
        return child(*arguments, cwd=Path.cwd())
    lost = "-dac_override,-dac_read_search"
    limits = ["setpriv", f"--bounding-set={lost}", f"--inh-caps={lost}"]
    if shutil.which("setpriv") is None or subprocess.run([*limits, "true"], check=False).returncode:
        pytest.skip("root may read everything, and setpriv cannot take that right away")
    done = subprocess.run(
        [*limits, sys.executable, "-m", "autosel_runtime.cli", *map(str, arguments)],
        env=environment(), capture_output=True, text=True, check=False,
    )  # fmt: skip
    return Answer(code=done.returncode, out=done.stdout, err=done.stderr)
