"""Every setting of the evaluation is obeyed, or changes nothing where it promises that."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from autosel_runtime.api.evaluation import EvaluationSpec, Task
from autosel_runtime.evaluate.backend import Reply
from autosel_runtime.evaluate.evaluate import evaluate
from autosel_runtime.evaluate.results import Evaluation
from autosel_runtime.evaluate.task import load_task
from autosel_runtime.report.scores import ItemStatistics
from tests.evaluate.made_up import COUNT, write_items
from tests.evaluate.oracle import OracleBackend
from tests.tiny_model import build_model, build_tokenizer

torch = pytest.importorskip("torch")
OWN = """
name: own
description: Sums
user: "{question}"
gold: {field: answer, patterns: ['#### (.*)']}
metric: numeric
maxNewTokens: 12
"""


class Listening(OracleBackend):
    """Knows the answers of some tasks, and notes what it is asked for."""

    def __init__(self, tasks: Sequence[Task], folder: Path, *, ignorant: str = "") -> None:
        whole = [load_task(task.model_copy(update={"limit": None}), folder) for task in tasks]
        super().__init__(build_tokenizer(), whole)
        self.batches: list[int] = []
        self.limits: set[int] = set()
        self.ignorant = ignorant

    def generate(
        self, prompts: Sequence[Sequence[int]], *, max_new_tokens: int, stop: Sequence[str]
    ) -> list[Reply]:
        self.batches.append(len(prompts))
        self.limits.add(max_new_tokens)
        replies = super().generate(prompts, max_new_tokens=max_new_tokens, stop=stop)
        return [
            Reply(text="no idea", tokens=2, truncated=False)
            if self._items[tuple(ids)].task == self.ignorant
            else reply
            for ids, reply in zip(prompts, replies, strict=True)
        ]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "own.yaml").write_text(OWN)
    write_items(tmp_path, "bbh")
    write_items(tmp_path, "gsm8k")
    return tmp_path


def own(**changes: Any) -> Task:
    return Task(name="own", definition="own.yaml", uri="gsm8k.jsonl", **changes)


def bbh(**changes: Any) -> Task:
    return Task(name="bbh", uri="bbh.jsonl", **changes)


def run(
    folder: Path, tasks: list[Task], *, half: Any = "all", ignorant: str = "", **settings: Any
) -> tuple[Evaluation, Listening]:
    engine = Listening(tasks, folder, ignorant=ignorant)
    found = evaluate(model="unused", tasks=tasks, half=half, spec=EvaluationSpec(tasks=tasks, **settings), base=folder,
                     out=folder / "out", backend=lambda: engine)  # fmt: skip
    return found, engine


def check_tasks(folder: Path) -> None:
    """The objective is the mean by weight, here of a task that is all right and one that is all wrong."""
    for one, other in ((1.0, 1.0), (3.0, 1.0), (0.5, 4.5)):
        found, _ = run(folder, [own(weight=one), bbh(weight=other)], ignorant="bbh")
        assert (found.tasks["own"].mean, found.tasks["bbh"].mean) == (1.0, 0.0)
        assert (found.tasks["own"].weight, found.tasks["bbh"].weight) == (one, other)
        assert found.objective.mean == pytest.approx(one / (one + other))
        scores = {
            name: {item.item: item.score for item in found.items if item.task == name} for name in found.tasks
        }
        weights = {"own": one, "bbh": other}
        assert ItemStatistics().mean(scores, weights, 0.9).value == pytest.approx(one / (one + other))


def check_limit(folder: Path) -> None:
    found, _ = run(folder, [own(limit=4), bbh()])
    assert {name: task.n for name, task in found.tasks.items()} == {"own": 4, "bbh": COUNT}


def check_max_new_tokens(folder: Path) -> None:
    """It replaces every task's own limit, and a real model's replies end there."""
    for limit, wanted in ((None, {12}), (5, {5}), (40, {40})):
        _, engine = run(folder, [own()], max_new_tokens=limit)
        assert engine.limits == wanted
    model = build_model(folder / "model")
    for limit in (3, 9):
        spec = EvaluationSpec(tasks=[own()], max_new_tokens=limit)
        found = evaluate(model=model, tasks=[own()], half="all", spec=spec, base=folder, out=folder / "o")
        assert max(item.tokens for item in found.items) == limit
        assert any(item.truncated for item in found.items)


def check_batch_size(folder: Path) -> None:
    """It says how many prompts are answered at once, and no reply depends on it."""
    batches = {size: run(folder, [own()], batch_size=size)[1].batches for size in (1, 4, 64)}
    assert batches == {1: [1] * COUNT, 4: [4, 4, COUNT - 8], 64: [COUNT]}
    lines = [{"question": "yes " * (1 + 5 * i), "answer": f"#### {i}"} for i in range(COUNT)]
    (folder / "long.jsonl").write_text("\n".join(json.dumps(line) for line in lines))
    task, model = own().model_copy(update={"uri": "long.jsonl"}), build_model(folder / "model")
    items = [
        evaluate(model=model, tasks=[task], half="all", base=folder, out=folder / "o",
                 spec=EvaluationSpec(tasks=[task], batch_size=size, max_new_tokens=8)).items
        for size in (1, 4, 64)
    ]  # fmt: skip
    assert items[0] == items[1] == items[2]
    assert len({item.text for item in items[0]}) > 1


def ids(found: Evaluation) -> set[str]:
    return {item.item for item in found.items}


def check_search_fraction(folder: Path) -> None:
    for fraction, wanted in ((0.2, 2), (0.5, 4), (0.8, 7)):
        search = run(folder, [own()], half="search", search_fraction=fraction)[0]
        report = run(folder, [own()], half="report", search_fraction=fraction)[0]
        assert (len(ids(search)), len(ids(report))) == (wanted, COUNT - wanted)
        assert ids(search).isdisjoint(ids(report))


def check_split_seed(folder: Path) -> None:
    """It decides the halves and what a limit draws."""
    halves = {frozenset(ids(run(folder, [own()], half="search", split_seed=seed)[0])) for seed in range(4)}
    drawn = {frozenset(ids(run(folder, [own(limit=4)], split_seed=seed)[0])) for seed in range(4)}
    assert len(halves) > 1
    assert len(drawn) > 1


CHECKS: dict[str, Callable[[Path], None]] = {
    name.removeprefix("check_"): check for name, check in list(globals().items()) if name.startswith("check_")
}
ELSEWHERE = {
    "confidence",  # tests/report/test_build.py: the width of the intervals
    "out_of_domain",  # tests/controller/test_reconcile.py, tests/cli/test_runs.py: rows at the end of a search
    "transfer_models",  # the same
}
OF_A_TASK = {
    "name", "definition", "uri",  # tests/evaluate/test_task.py
    "lm_eval",  # tests/evaluate/test_evaluate.py
    "weight", "limit",  # above
}  # fmt: skip


def test_every_setting_has_a_check() -> None:
    assert {*CHECKS, *ELSEWHERE} - {"limit"} == set(EvaluationSpec.model_fields)
    assert set(Task.model_fields) == OF_A_TASK


@pytest.mark.parametrize("field", sorted(CHECKS))
def test_a_setting_is_obeyed(field: str, folder: Path) -> None:
    torch.set_num_threads(1)
    CHECKS[field](folder)
