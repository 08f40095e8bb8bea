"""Whole evaluations: the oracle scores 100 %, shards merge to the bit, the engine is greedy and exact."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from autosel_runtime.api.evaluation import EvaluationSpec, Task
from autosel_runtime.errors import ConfigError, DataError, NoInputError, UnavailableError
from autosel_runtime.evaluate.backend import OutOfMemoryError, Reply
from autosel_runtime.evaluate.definition import built_in_names
from autosel_runtime.evaluate.evaluate import evaluate, merge
from autosel_runtime.evaluate.results import item_scores, read_items, shard_file
from autosel_runtime.evaluate.task import load_task
from tests.evaluate.made_up import write_items
from tests.evaluate.oracle import FORMS, OracleBackend
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


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.set_num_threads(1)
    return build_model(tmp_path_factory.mktemp("model"))


@pytest.fixture
def tasks(tmp_path: Path) -> list[Task]:
    (tmp_path / "own.yaml").write_text(OWN)
    own = write_items(tmp_path, "gsm8k").model_copy(update={"name": "own", "definition": "own.yaml"})
    return [own, write_items(tmp_path, "mmlu_choice")]


@pytest.mark.parametrize("form", FORMS)
def test_the_oracle_scores_everything_whole_and_sharded(form: str, tmp_path: Path) -> None:
    tasks = [write_items(tmp_path, name) for name in built_in_names()]
    spec, tokenizer = EvaluationSpec(tasks=tasks, batch_size=2), build_tokenizer()

    def run(out: str, **settings: Any):
        # Every part loads its items anew, as separate processes do.
        engine = OracleBackend(tokenizer, [load_task(task, tmp_path) for task in tasks], form=form)
        return evaluate(model="unused", tasks=tasks, half="all", spec=spec, base=tmp_path, out=tmp_path / out,
                        backend=lambda: engine, **settings)  # fmt: skip

    whole = run("whole")
    assert {name: task.mean for name, task in whole.tasks.items()} == dict.fromkeys(built_in_names(), 1.0)
    assert whole.objective.mean == 1.0
    parts = [tmp_path / f"part{k}" for k in range(3)]
    for k in range(3):
        run(f"part{k}", shard=(k, 3))
    merged = merge(shards=parts, tasks=tasks, half="all", spec=spec, base=tmp_path, out=tmp_path / "merged")
    assert merged.items == whole.items
    assert merged.tasks == whole.tasks
    assert (tmp_path / "merged/items.jsonl").read_bytes() == (tmp_path / "whole/items.jsonl").read_bytes()


def test_a_model_sharded_is_a_model_whole(model: Path, tasks: list[Task], tmp_path: Path) -> None:
    spec = EvaluationSpec(tasks=tasks, batch_size=2)
    common: dict = {"model": model, "tasks": tasks, "half": "search", "spec": spec, "base": tmp_path}
    whole = evaluate(**common, out=tmp_path / "whole")
    for k in range(2):
        evaluate(**common, out=tmp_path / f"part{k}", shard=(k, 2))
    del common["model"]
    merged = merge(shards=[tmp_path / "part0", tmp_path / "part1"], out=tmp_path / "merged", **common)
    assert merged.items == whole.items
    assert [task.n for task in whole.tasks.values()] == [4, 4]
    assert read_items(tmp_path / "whole/items.jsonl") == list(whole.items)
    assert {len(scores) for scores in item_scores(whole.items).values()} == {4}
    with pytest.raises(NoInputError, match="items-00001-of-00002"):
        merge(shards=[tmp_path / "part0", tmp_path / "part0"], out=tmp_path / "x", **common)
    lost = (tmp_path / "part1/items-00001-of-00002.jsonl").read_bytes().splitlines(keepends=True)
    (tmp_path / "part1/items-00001-of-00002.jsonl").write_bytes(b"".join(lost[1:]))
    with pytest.raises(DataError, match="3 items were scored and 4 expected"):
        merge(shards=[tmp_path / "part0", tmp_path / "part1"], out=tmp_path / "x", **common)


def test_the_engine_is_greedy_and_padding_changes_nothing(model: Path) -> None:
    """Oracle: one prompt at a time, the whole text again for every token."""
    from autosel_runtime.evaluate.transformers_backend import TransformersBackend

    engine = TransformersBackend(model=model)
    prompts = [[5, 6, 7], [40, 41, 42, 43, 44, 45, 46], [9]]
    found = engine.generate(prompts, max_new_tokens=21, stop=())
    plain = engine._model
    for prompt, reply in zip(prompts, found, strict=True):
        ids = list(prompt)
        for _ in range(21):
            with torch.no_grad():
                ids.append(int(plain(input_ids=torch.tensor([ids])).logits[0, -1].argmax()))
            if ids[-1] in engine._ends:
                break
        ended = ids[-1] in engine._ends
        kept = ids[len(prompt) : -1] if ended else ids[len(prompt) :]
        assert reply == Reply(
            text=engine.tokenizer.decode(kept, skip_special_tokens=True),
            tokens=len(kept),
            truncated=not ended,
        )


def test_log_likelihoods_agree_with_a_plain_pass(model: Path) -> None:
    from autosel_runtime.evaluate.transformers_backend import TransformersBackend

    engine = TransformersBackend(model=model)
    prompts, single = [[5, 6, 7], [8]], [[[10], [11]], [[12], [13]]]
    longer = [[[10, 11], [12]], [[13], [14, 15, 16]]]
    for options in (single, longer):
        table = engine.log_likelihoods(prompts, options)
        for prompt, row, values in zip(prompts, options, table, strict=True):
            for option, value in zip(row, values, strict=True):
                with torch.no_grad():
                    logits = (
                        engine._model(input_ids=torch.tensor([[*prompt, *option]])).logits[0].log_softmax(-1)
                    )
                wanted = sum(float(logits[len(prompt) - 1 + k, token]) for k, token in enumerate(option))
                assert value == pytest.approx(wanted, abs=1e-4)


def test_a_stop_string_ends_a_reply(model: Path) -> None:
    from autosel_runtime.evaluate.transformers_backend import TransformersBackend

    engine = TransformersBackend(model=model)
    [whole] = engine.generate([[5, 6, 7]], max_new_tokens=24, stop=())
    middle = whole.text[len(whole.text) // 2 :][:2]
    [cut] = engine.generate([[5, 6, 7]], max_new_tokens=24, stop=[middle])
    assert cut.text == whole.text.split(middle)[0]
    assert not cut.truncated


class SmallMemory(OracleBackend):
    """Takes at most two prompts at once."""

    def generate(
        self, prompts: Sequence[Sequence[int]], *, max_new_tokens: int, stop: Sequence[str]
    ) -> list[Reply]:
        if len(prompts) > self.room:
            raise OutOfMemoryError
        return super().generate(prompts, max_new_tokens=max_new_tokens, stop=stop)

    room = 2


def test_out_of_memory_halves_the_batch(tasks: list[Task], tmp_path: Path) -> None:
    spec = EvaluationSpec(tasks=tasks, batch_size=64)
    engine = SmallMemory(build_tokenizer(), [load_task(task, tmp_path) for task in tasks])
    common: dict = {"model": "unused", "tasks": tasks, "half": "all", "spec": spec, "base": tmp_path,
                    "out": tmp_path / "o", "backend": lambda: engine}  # fmt: skip
    assert evaluate(**common).objective.mean == 1.0
    engine.room = 0
    with pytest.raises(ConfigError, match="out of memory with a single prompt"):
        evaluate(**common)


def test_a_prompt_longer_than_the_context_is_refused(tasks: list[Task], tmp_path: Path) -> None:
    spec = EvaluationSpec(tasks=tasks)
    engine = OracleBackend(build_tokenizer(), [load_task(task, tmp_path) for task in tasks])
    engine.context = 10
    with pytest.raises(ConfigError, match="use fewer shots"):
        evaluate(model="unused", tasks=tasks, half="all", spec=spec, base=tmp_path, out=tmp_path / "o",
                 backend=lambda: engine)  # fmt: skip


def test_no_module_of_evaluate_or_train_imports_torch() -> None:
    import subprocess

    code = (
        "import sys, autosel_runtime.evaluate.evaluate, autosel_runtime.train.train, "
        "autosel_runtime.evaluate.lm_eval, autosel_runtime.evaluate.transformers_backend; "
        "sys.exit(bool({'torch', 'transformers', 'peft', 'lm_eval'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_without_the_harness_its_tasks_say_what_to_install(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "lm_eval", None)
    task = Task(name="arc", lm_eval="arc_easy")
    with pytest.raises(UnavailableError, match=r"autosel\[train,eval\]"):
        evaluate(model=model, tasks=[task], half="all", spec=EvaluationSpec(tasks=[task]), base=tmp_path,
                 out=tmp_path / "o")  # fmt: skip


def test_a_harness_task_over_local_items(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("lm_eval")
    for name in ("HF_HUB_OFFLINE", "HF_DATASETS_OFFLINE"):
        monkeypatch.setenv(name, "1")
    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path / "cache"))
    write_items(tmp_path, "mmlu")
    (tmp_path / "local.yaml").write_text(
        f"task: local_mmlu\ndataset_path: json\ndataset_kwargs: {{data_files: {{test: {tmp_path}/mmlu.jsonl}}}}\n"
        "test_split: test\noutput_type: multiple_choice\ndoc_to_text: '{{question}}'\ndoc_to_choice: choices\n"
        "doc_to_target: '{{answer|int}}'\nmetric_list: [{metric: acc}]\n"
    )
    task = Task(name="local", lm_eval="local.yaml")
    common: dict = {"model": model, "tasks": [task], "spec": EvaluationSpec(tasks=[task]), "base": tmp_path}
    search = evaluate(**common, half="search", out=tmp_path / "s")
    report = evaluate(**common, half="report", out=tmp_path / "r")
    assert (search.tasks["local"].n, report.tasks["local"].n) == (4, 5)
    assert not {item.item for item in search.items} & {item.item for item in report.items}
    assert all(item.score in (0.0, 1.0) for item in [*search.items, *report.items])
    for k in range(2):
        evaluate(**common, half="search", out=tmp_path / f"p{k}", shard=(k, 2))
    merged = merge(shards=[tmp_path / "p0", tmp_path / "p1"], tasks=[task], half="search",
                   spec=common["spec"], base=tmp_path, out=tmp_path / "m")  # fmt: skip
    assert merged.items == search.items
    assert read_items(tmp_path / f"p1/{shard_file(1, 2)}") == [], "its batches are that library's: not split"
    missing = Task(name="u", lm_eval="none.yaml")
    with pytest.raises(NoInputError, match=r"no lm-evaluation-harness task file .*none\.yaml"):
        evaluate(**{**common, "tasks": [missing]}, half="all", out=tmp_path / "u")
