"""A task of the objective that cannot be on two halves stops the search before anything is trained."""

from pathlib import Path

import pytest

from tests.steps.conftest import lexical
from tests.steps.world import Ran, Steps


def prepared(inputs: Path, folder: Path, *, count: int, group: str) -> Ran:
    """Run prepare with ``count`` items of a second task."""
    lines = (inputs / "items.jsonl").read_text().splitlines()[:count]
    (folder / "few.jsonl").write_text("".join(line + "\n" for line in lines))
    many = {"name": "sums", "definition": "mmlu_choice", "uri": str(inputs / "items.jsonl")}
    few = {"name": "few", "definition": "mmlu_choice", "uri": str(folder / "few.jsonl")}
    evaluation = {"tasks": [many, few]} if group == "tasks" else {"tasks": [many], group: [few]}
    steps = Steps(folder=folder, spec=lexical(inputs, evaluation=evaluation))
    return steps.run("prepare", "searches/few/prepare", name="setup.prepare")


def test_prepare_refuses_a_task_of_one_item(inputs: Path, tmp_path: Path) -> None:
    ran = prepared(inputs, tmp_path, count=1, group="tasks")
    assert ran.code == 65
    assert ran.error == (
        "task few has 1 item; a task of the objective needs at least 2, one for the search half and one for the "
        "report half"
    )


@pytest.mark.parametrize(("count", "group"), [(2, "tasks"), (1, "outOfDomain")])
def test_prepare_accepts_two_items_and_one_that_is_read_whole(
    inputs: Path, tmp_path: Path, count: int, group: str
) -> None:
    ran = prepared(inputs, tmp_path, count=count, group=group)
    assert ran.summary["rows"] > 0
