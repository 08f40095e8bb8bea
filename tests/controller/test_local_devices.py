"""Accelerators of one machine: who gets which, what is refused, and training on several."""

from pathlib import Path
from typing import Any

import pytest

from autosel_runtime.api.recipe_search import RecipeSearchSpec
from autosel_runtime.errors import ConfigError
from controller.local.devices import Devices, asked_devices, check_devices
from tests.controller.local_search import LocalSearch, specification


def accelerated(inputs: Path, count: int, **changes: Any) -> dict[str, Any]:
    return specification(
        inputs, steps={"train": {"accelerator": {"kind": "nvidia", "count": count}}}, **changes
    )


def test_steps_get_as_many_devices_as_they_ask_for_and_keep_apart() -> None:
    devices = Devices(ids=("3", "1", "7", "5"))
    assert devices.assign("a.train", "train", 2) == {"CUDA_VISIBLE_DEVICES": "3,1"}
    assert devices.assign("b.train", "train", 2) == {"CUDA_VISIBLE_DEVICES": "7,5"}
    devices.release("a.train")
    assert devices.assign("c.score", "score", 1) == {"CUDA_VISIBLE_DEVICES": "3"}
    assert devices.assign("d.train", "train", 3) == {"CUDA_VISIBLE_DEVICES": "3,1,7"}
    assert devices.assign("e.prepare", "prepare", 1) == {"CUDA_VISIBLE_DEVICES": ""}


def test_a_step_that_runs_already_keeps_its_devices() -> None:
    devices = Devices(ids=("0", "1", "2"))
    devices.take("a.train", {"CUDA_VISIBLE_DEVICES": "0,1"})
    devices.take("gone.train", {"CUDA_VISIBLE_DEVICES": "9"})
    assert devices.assign("b.train", "train", 1) == {"CUDA_VISIBLE_DEVICES": "2"}


def test_a_step_that_asks_for_no_kind_takes_one_if_there_is_one(inputs: Path) -> None:
    spec = RecipeSearchSpec.model_validate(specification(inputs))
    assert asked_devices(spec.steps.train.accelerator) == 1
    check_devices(spec, Devices(ids=()))
    assert Devices(ids=()).assign("a.train", "train", 1) == {"CUDA_VISIBLE_DEVICES": ""}


@pytest.mark.parametrize("ids", [(), ("0",)])
def test_more_devices_than_the_machine_shows_are_refused(ids: tuple[str, ...], inputs: Path) -> None:
    spec = RecipeSearchSpec.model_validate(accelerated(inputs, 2))
    shown = f"this machine shows {'1: 0' if ids else 'none'}"
    with pytest.raises(ConfigError, match=rf"spec\.steps\.train\.accelerator\.count: .* 2 nvidia .*{shown}"):
        check_devices(spec, Devices(ids=ids))


def test_a_search_that_asks_for_too_many_ends_before_it_begins(inputs: Path, tmp_path: Path) -> None:
    search = LocalSearch(
        folder=tmp_path, spec=accelerated(inputs, 2), environment={"CUDA_VISIBLE_DEVICES": "0"}
    )
    done = search.run()
    assert done.code == 78
    assert "this machine shows 1: 0" in done.err
    assert not (search.out / "steps").exists()


def on_two(inputs: Path, folder: Path, global_batch: int) -> LocalSearch:
    """A search whose training has two devices. There are none here: its processes work on the processor."""
    spec = accelerated(
        inputs, 2, budget={"evaluations": 1}, parallelism=1, signals={"languageModel": {"enabled": False}}
    )
    spec["baselines"]["fullPool"] = False
    spec["training"]["globalBatch"] = global_batch
    return LocalSearch(folder=folder, spec=spec, environment={"CUDA_VISIBLE_DEVICES": "0,1"})


def test_a_step_with_two_devices_trains_in_two_processes(inputs: Path, tmp_path: Path) -> None:
    search = on_two(inputs, tmp_path, 8)
    done = search.run()
    assert done.code == 0, done.err
    assert search.json("steps/t00001.train/1/environment.json") == {"CUDA_VISIBLE_DEVICES": "0,1"}
    assert search.json("steps/t00001.evaluate/1/environment.json") == {"CUDA_VISIBLE_DEVICES": "0"}


def test_what_one_of_the_processes_says_and_its_exit_code_are_the_steps(inputs: Path, tmp_path: Path) -> None:
    search = on_two(inputs, tmp_path, 7)  # which two devices cannot share
    done = search.run()
    assert done.code == 78, done.err
    assert "globalBatch 7" in done.err
    assert "2 devices" in done.err
