"""Steps that drop models, that miss one, and that make one again."""

from typing import Any

import pytest

from autosel_runtime.errors import ConfigError
from autosel_runtime.steps import drops
from autosel_runtime.store.drop import drop, find_dropped
from autosel_runtime.store.folder import FolderStore
from autosel_runtime.store.publish import find
from tests.steps.world import Ran, Steps

MODEL = "models/m"
RECIPE = {"steps": [{"operator": "random_subset", "params": {"size": 24}}]}


@pytest.fixture
def trained(ready: Steps) -> Steps:
    """A search with a subset and a model tuned on it."""
    assert ready.materialize(RECIPE).code == 0
    assert train(ready).summary["cached"] is False
    return ready


def train(steps: Steps, **more: Any) -> Ran:
    return steps.run("train", MODEL, subset="subsets/x", model=steps.spec["model"]["uri"], **more)


def evaluate(steps: Steps, output: str = "evaluations/e", **more: Any) -> Ran:
    uri = steps.spec["model"]["uri"]
    inputs = {"model": MODEL, "base_model": uri, "group": "objective", "half": "search", **more}
    return steps.run("evaluate", output, **inputs)


def weights(steps: Steps) -> str:
    marker = find(steps.store, MODEL)
    assert marker is not None
    return marker.objects["model.safetensors"].sha256


def test_a_dropped_model_is_trained_again_only_when_it_is_asked_for(trained: Steps) -> None:
    before, scores = weights(trained), evaluate(trained).summary
    drop(trained.store, MODEL)

    told = train(trained).summary
    assert (told["cached"], told["dropped"]) == (True, True)
    assert find(trained.store, MODEL) is None
    assert evaluate(trained).summary == {**scores, "cached": False}, "its scores are in the store"
    assert evaluate(trained, needs_model=True).summary == {"missing": 0}
    assert evaluate(trained, "evaluations/other", trained=2).summary == {"missing": 2}
    assert find(trained.store, "evaluations/other") is None

    assert "dropped" not in train(trained, again=True).summary
    assert weights(trained) == before, "the same training gives the same model"
    assert evaluate(trained, needs_model=True).summary["objective"] == scores["objective"]
    assert evaluate(trained, "evaluations/other", trained=1).summary["objective"] == scores["objective"]


@pytest.mark.parametrize("index", [0, 1])
def test_a_shard_that_misses_the_model_says_so(
    trained: Steps, monkeypatch: pytest.MonkeyPatch, index: int
) -> None:
    drop(trained.store, MODEL)
    monkeypatch.setenv("AUTOSEL_SHARDS", "2")
    monkeypatch.setenv("JOB_COMPLETION_INDEX", str(index))
    assert evaluate(trained).result == {"summary": {"missing": 0}}


def test_a_model_that_goes_while_it_is_read_is_missed(
    trained: Steps, monkeypatch: pytest.MonkeyPatch
) -> None:
    check = drops.check_model
    looks: list[str] = []

    def look_then_drop(context: Any, prefix: str) -> None:
        looks.append(prefix)
        check(context, prefix)
        drop(context.store, prefix)

    monkeypatch.setattr("autosel_runtime.steps.evaluate.check_model", look_then_drop)
    assert evaluate(trained).summary == {"missing": 0}
    assert looks


def test_a_suggestion_drops_models_also_when_it_was_made_before(trained: Steps) -> None:
    assert trained.suggest(drop=[]).code == 0
    assert find(trained.store, MODEL) is not None
    assert trained.suggest(drop=[MODEL, "models/never"]).summary["cached"] is False
    assert find(trained.store, MODEL) is None
    assert find_dropped(trained.store, MODEL) is not None


def test_only_models_are_dropped(trained: Steps) -> None:
    assert "is no model" in trained.suggest(drop=["subsets/x"]).error
    assert find(trained.store, "subsets/x") is not None


def test_a_store_that_refuses_to_delete_costs_space_only(
    trained: Steps, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(_self: FolderStore, key: str) -> None:
        raise ConfigError(f"{key}: deleting is not allowed")

    monkeypatch.setattr(FolderStore, "delete", refuse)
    done = trained.suggest(drop=[MODEL])
    assert (done.code, done.summary["drop_refused"]) == (0, 1)
    assert f"{MODEL} was not dropped" in capsys.readouterr().err
    assert find(trained.store, MODEL) is not None
    monkeypatch.undo()
    done = trained.suggest(drop=[MODEL])
    assert done.code == 0
    assert "drop_refused" not in done.summary
    assert find(trained.store, MODEL) is None
