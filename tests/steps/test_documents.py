"""Every step: what its document says wrongly, and what it finds finished already."""

import json

import pytest
from safetensors import SafetensorError

from autosel_runtime.steps import run
from autosel_runtime.steps.context import StepContext, StepOutput
from tests.steps.world import Steps

RECIPE = {"steps": [{"operator": "random_subset", "params": {"fraction": 0.5}}]}


def inputs_of(steps: Steps, step: str) -> dict[str, object]:
    pool, model = steps.account["pool"], steps.spec["model"]["uri"]
    base = {"pool": pool, "signals": "signals/x"}
    return {
        "score": {"pool": pool},
        "suggest": {**base, "history": [], "ordinal": 1},
        "materialize": {**base, "unions": {}, "recipe": RECIPE, "subset_digest": None},
        "train": {"subset": "subsets/x", "model": model},
        "evaluate": {"model": None, "base_model": model, "group": "objective", "half": "search"},
        "report": {**base, "chosen": None, "trials": [], "finals": {}},
    }[step]


@pytest.mark.parametrize("step", ["score", "suggest", "materialize", "train", "evaluate", "report"])
def test_a_missing_input_is_named(ready: Steps, step: str) -> None:
    inputs = inputs_of(ready, step)
    for name in inputs:
        ran = ready.run(step, f"{step}/new", **{key: value for key, value in inputs.items() if key != name})
        assert ran.code in (65, 66), (step, name)
        assert ran.marker is None
        if ran.code == 65:
            assert f"input {name!r} is missing" in ran.error


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "is invalid"),
        ("{half", "is invalid"),
        ("[]", "is invalid"),
        ('{"step": "bake"}', "step: found 'bake'; allowed: prepare"),
        ('{"step": "train", "name": "x", "uid": "u", "output": "o", "search": {}}', "search.pool"),
    ],
)
def test_a_broken_document_is_one_sentence(ready: Steps, text: str, words: str) -> None:
    path = ready.folder / "broken.json"
    path.write_text(text)
    ran = ready.run_file(path)
    assert ran.code == 65
    assert words in ran.error
    assert "\n" not in ran.error


def test_a_document_that_is_not_there(ready: Steps) -> None:
    ran = ready.run_file(ready.folder / "nowhere.json")
    assert (ran.code, "nowhere.json cannot be read" in ran.error) == (66, True)


def test_an_input_that_is_not_finished_is_named(ready: Steps) -> None:
    ran = ready.run("score", "signals/y", pool="pools/none")
    assert (ran.code, "pools/none is not finished" in ran.error) == (66, True)


def test_a_damaged_artifact_is_not_the_recipes_fault(ready: Steps) -> None:
    damaged = next((ready.folder / "store" / "signals" / "x").rglob("groups.npz"))
    damaged.chmod(0o644)
    damaged.write_bytes(b"x" * damaged.stat().st_size)
    ran = ready.materialize(RECIPE)
    assert (ran.code, "groups.npz" in ran.error, "is damaged" in ran.error) == (74, True, True)
    marker = ready.folder / "store" / "signals" / "x" / "_SUCCESS.json"
    marker.chmod(0o644)
    marker.write_text("{")
    assert ready.materialize(RECIPE).code == 74


@pytest.mark.parametrize("step", ["prepare", "score"])
def test_a_marker_is_enough(ready: Steps, step: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run, "_function", lambda name: pytest.fail(f"step {name} worked again"))
    output = "searches/x/prepare" if step == "prepare" else "signals/x"
    own = ready.run(step, output, name=f"setup.{step}", attempt=7)
    assert own.summary["cached"] is False
    other = ready.run(step, output, name="somebody.else")
    assert other.summary["cached"] is True
    assert {**own.summary, "cached": True} == other.summary


@pytest.mark.parametrize(
    ("error", "code", "words"),
    [
        (RuntimeError("surprise\nin two lines"), 70, "internal error: RuntimeError: surprise in two lines"),
        (KeyError("x"), 70, "internal error: KeyError: 'x'"),
        (
            OSError(28, "No space left on device"),
            73,
            "the disk is full or the quota is used up; free some space",
        ),
        (
            OSError(122, "Disk quota exceeded", "/scratch/a"),
            73,
            "the disk is full or the quota is used up (/scratch/a); free some space",
        ),
        # as libraries that are not written in Python say it
        (
            SafetensorError("I/O error: No space left on device (os error 28)"),
            73,
            "the disk is full or the quota is used up; free some space",
        ),
        (ConnectionResetError("peer"), 75, "ConnectionResetError: peer"),
        (MemoryError(), 75, "out of memory"),
        (KeyboardInterrupt(), 130, "stopped"),
    ],
)
def test_the_unexpected_ends_as_one_sentence_and_a_code(
    ready: Steps, monkeypatch: pytest.MonkeyPatch, error: BaseException, code: int, words: str
) -> None:
    def fail(_context: StepContext) -> StepOutput:
        raise error

    monkeypatch.setattr(run, "_function", lambda _name: fail)
    ran = ready.run("train", "models/new", subset="subsets/x", model="model")
    assert (ran.code, ran.error) == (code, words)
    assert ran.marker is None


def test_what_could_not_be_published_is_not_made_again(ready: Steps, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[int] = []

    def make(context: StepContext) -> StepOutput:
        made.append(1)
        (context.work / "model.bin").write_bytes(b"weights")
        return StepOutput(files={"model.bin": context.work / "model.bin"}, summary={"seconds": 3600.0})

    def refuse(*_args: object, **_more: object) -> None:
        raise ConnectionResetError("store is down")

    monkeypatch.setattr(run, "_function", lambda _name: make)
    publish = run.publish
    monkeypatch.setattr(run, "publish", refuse)
    assert ready.run("train", "models/new").code == 75
    monkeypatch.setattr(run, "publish", publish)
    ran = ready.run("train", "models/new", attempt=2)
    assert (ran.summary["seconds"], len(made)) == (3600.0, 1)
    assert not (ready.folder / "work" / "models" / "new").exists()
    assert ran.marker is not None
    assert ran.marker.objects["model.bin"].size == len(b"weights")


def test_half_of_a_kept_result_is_made_again(ready: Steps, monkeypatch: pytest.MonkeyPatch) -> None:
    work = ready.folder / "work" / "models" / "new"
    work.mkdir(parents=True)
    (work / "model.bin").write_bytes(b"wei")
    (work / "finished.json").write_text(json.dumps({"files": {"model.bin": ["model.bin", 7]}, "summary": {}}))
    monkeypatch.setattr(
        run, "_function", lambda _name: lambda _c: StepOutput(files={"a": b"a"}, summary={"n": 1})
    )
    assert ready.run("train", "models/new").summary["n"] == 1


@pytest.mark.parametrize(
    ("step", "output", "left"),
    [
        ("prepare", "searches/y/prepare", "pool"),
        ("train", "models/new", "model"),
        ("evaluate", "evaluations/new", "scores"),
    ],
)
def test_leftovers_of_a_killed_attempt_do_no_harm(ready: Steps, step: str, output: str, left: str) -> None:
    half = ready.folder / "work" / output / left
    half.mkdir(parents=True)
    (half / "half-written.tmp").write_text("half")
    if step == "train":
        assert ready.materialize(RECIPE).code == 0
    ran = ready.run(step, output, **({} if step == "prepare" else inputs_of(ready, step)))
    assert ran.code == 0, ran.result
    assert ran.marker is not None
    assert "half-written.tmp" not in ran.marker.objects
