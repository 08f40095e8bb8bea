"""The document edited while its search runs: what may change is obeyed, anything else is reported and ignored."""

import json
import time
from pathlib import Path

from tests.controller.local_search import (
    REPOSITORY,
    Ended,
    LocalSearch,
    finish,
    same_steps,
    specification,
    wait_until,
)
from tests.controller.test_local_kill import attempt_of

TASKS = REPOSITORY / "autosel_runtime" / "evaluate" / "tasks"
Undisturbed = tuple[LocalSearch, Ended]
# Longer than the loop takes to look again.
A_WHILE_SECONDS = 2.0


def suspended(search: LocalSearch) -> str | None:
    """Return the reason of condition Suspended while it is true."""
    if not (search.out / "status.json").exists():
        return None
    conditions = {one["type"]: one for one in search.json("status.json")["conditions"]}
    return conditions["Suspended"]["reason"] if conditions["Suspended"]["status"] == "True" else None


def known_attempts(search: LocalSearch) -> set[str]:
    return {path.parent.name + "/" + path.name for path in search.out.glob("steps/*/*")}


def test_a_search_edited_in_every_way_ends_like_an_undisturbed_one(
    undisturbed: Undisturbed, inputs: Path, tmp_path: Path
) -> None:
    search = LocalSearch(folder=tmp_path, spec=specification(inputs))
    process = search.start()
    wait_until(lambda: attempt_of(search, ".train"), "a train step", process)

    search.write(suspend=True, suspendPolicy="Drain")
    wait_until(lambda: suspended(search) == "Suspended", "the running steps to end", process)
    before = known_attempts(search)
    assert not search.running()
    assert not [name for name in before if "stopped" in name]

    search.write_text("spec: [not, a, search\n")
    time.sleep(A_WHILE_SECONDS)
    search.write(search={"minSamples": 20, "seed": 7}, suspend=False)
    time.sleep(A_WHILE_SECONDS)
    assert known_attempts(search) == before
    assert suspended(search) == "Suspended"

    search.write(search={"minSamples": 20}, suspend=False)
    wait_until(lambda: attempt_of(search, "3.train") or attempt_of(search, "3.evaluate"), "trial 3", process)
    search.write(suspend=True, suspendPolicy="Stop")
    wait_until(lambda: suspended(search) == "Suspended", "the running steps to be stopped", process)
    assert not search.running()
    before = known_attempts(search)
    time.sleep(A_WHILE_SECONDS)
    assert known_attempts(search) == before

    search.write(suspend=False)
    ended = finish(process)
    assert ended.code == 0, ended.err
    assert "search.yaml is not valid and was not taken over" in ended.err
    assert "spec.search.seed was 42 and is 7" in ended.err
    assert search.result() == undisturbed[0].result()
    assert same_steps(search.finished_times(), undisturbed[0].finished_times())


def test_parallelism_and_budget_of_a_running_search(
    undisturbed: Undisturbed, inputs: Path, tmp_path: Path
) -> None:
    # The store of the finished search answers most steps, which makes this one quick.
    storage = {"uri": str(undisturbed[0].out / "store")}
    search = LocalSearch(folder=tmp_path, spec=specification(inputs, storage=storage, parallelism=1))
    process = search.start()
    wait_until(lambda: (search.out / "trials" / "t00001.json").exists(), "the first trial", process)
    search.write(parallelism=3, budget={"evaluations": 4}, suspendPolicy="Stop")
    ended = finish(process)
    assert ended.code == 0, ended.err
    assert search.json("status.json")["evaluations"] == 4
    assert search.json("search.json")["spec"]["parallelism"] == 3
    cached = [o for o in search.attempts().values() if o["summary"]["cached"]]
    assert len(cached) >= 4
    assert (
        json.loads((search.out / "trials" / "t00001.json").read_text())["subset_digest"]
        == json.loads((undisturbed[0].out / "trials" / "t00001.json").read_text())["subset_digest"]
    )


def test_a_search_that_starts_suspended_waits(inputs: Path, tmp_path: Path) -> None:
    search = LocalSearch(folder=tmp_path, spec=specification(inputs, suspend=True))
    process = search.start()
    wait_until(lambda: suspended(search) == "Suspended", "the suspended state", process)
    assert not known_attempts(search)
    process.terminate()
    assert finish(process).code == 143


def test_an_edit_that_a_run_would_refuse_at_its_start_is_reported_and_ignored(
    inputs: Path, tmp_path: Path
) -> None:
    definition = tmp_path / "own.yaml"
    definition.write_text((TASKS / "mmlu_choice.yaml").read_text())
    task = {"name": "sums", "definition": str(definition), "uri": str(inputs / "items.jsonl")}
    spec = specification(inputs, suspend=True, evaluation={"tasks": [task]})
    search = LocalSearch(folder=tmp_path, spec=spec, environment={"CUDA_VISIBLE_DEVICES": "0"})
    process = search.start()
    wait_until(lambda: suspended(search) == "Suspended", "the suspended state", process)
    before = search.json("search.json")
    search.write(steps={"train": {"accelerator": {"kind": "nvidia", "count": 9}}}, parallelism=3)
    time.sleep(A_WHILE_SECONDS)
    definition.write_text("user: no metric\n")
    search.write(steps={}, parallelism=3)
    time.sleep(A_WHILE_SECONDS)
    assert search.json("search.json") == before
    process.terminate()
    ended = finish(process)
    assert ended.code == 143
    assert (
        "was not taken over: spec.steps.train.accelerator.count: the step asks for 9 nvidia devices"
        in ended.err
    )
    assert f"was not taken over: {search.document}" in ended.err
    assert str(definition) in ended.err
