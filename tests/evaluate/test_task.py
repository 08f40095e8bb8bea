"""Definitions, items and halves."""

from pathlib import Path

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from autosel_runtime.api.evaluation import Task
from autosel_runtime.errors import DataError, InvalidDocumentError, NoInputError
from autosel_runtime.evaluate.definition import built_in_names, load_definition, parse_definition
from autosel_runtime.evaluate.split import half_of, search_ids
from autosel_runtime.evaluate.task import load_items, load_task
from tests.evaluate.made_up import made_up_items, write_items
from tests.evaluate.oracle import unreadable_gold

OWN = """
name: support
description: Support questions
items: support.jsonl
user: "{q}"
gold: {field: a}
metric: exact_match
"""


@pytest.mark.parametrize("name", built_in_names())
def test_built_in_gold_answers_pass_their_own_extraction(name: str, tmp_path: Path) -> None:
    loaded = load_task(write_items(tmp_path, name), tmp_path)
    assert loaded.items
    assert unreadable_gold(loaded.definition, loaded.items) == []
    for item in loaded.items:
        assert item.messages[-1]["role"] == "user"
        assert "{" not in item.messages[-1]["content"]


def test_built_in_shots_pass_their_own_extraction() -> None:
    from autosel_runtime.evaluate.answers import extract, is_gold

    for name in built_in_names():
        definition, _ = load_definition(Task(name=name), Path())
        for shot in definition.shots:
            found = extract(shot.assistant, definition.answer_patterns, options=4)
            assert found is not None, (name, shot)
            assert is_gold(found, metric=definition.metric), (name, shot)


def test_keep_leaves_items_out(tmp_path: Path) -> None:
    task = write_items(tmp_path, "nlgraph_yesno")
    wanted = [item for item in made_up_items("nlgraph_yesno") if item["task"] != "flow"]
    assert [item.gold.lower() for item in load_items(task, tmp_path)] == [
        "yes" if item["answer"].startswith("Yes") else "no" for item in wanted
    ]


def test_option_order_is_the_items_own(tmp_path: Path) -> None:
    task = write_items(tmp_path, "gpqa", 40)
    items = load_items(task, tmp_path)
    for item, record in zip(items, made_up_items("gpqa", 40), strict=True):
        assert item.options["ABCD".index(item.gold)] == record["correct_answer"]
        assert sorted(item.options) == sorted([record["correct_answer"], *record["incorrect_answers"]])
        assert f"{item.gold}. {record['correct_answer']}" in item.messages[-1]["content"]
    assert {item.gold for item in items} == set("ABCD")
    lines = (tmp_path / "gpqa.jsonl").read_bytes().splitlines()
    (tmp_path / "gpqa.jsonl").write_bytes(b"\n".join(reversed(lines)))
    assert {i.id: i.options for i in load_items(task, tmp_path)} == {i.id: i.options for i in items}


def test_equal_items_get_different_ids(tmp_path: Path) -> None:
    (tmp_path / "support.jsonl").write_bytes(
        orjson.dumps({"q": "x", "a": "y"}) + b"\n" + b'{"a":"y","q":"x"}\n'
    )
    (tmp_path / "support.yaml").write_text(OWN)
    items = load_items(Task(name="s", definition="support.yaml"), tmp_path)
    assert items[1].id == f"{items[0].id}~2"


@pytest.mark.parametrize(
    ("answer", "letter"), [(2, "C"), (2.0, "C"), ("C", "C"), ("(c)", "C"), ("blue", "B"), ("3", "D")]
)
def test_gold_of_choices(answer: object, letter: str, tmp_path: Path) -> None:
    record = {"question": "q", "choices": ["red", "blue", "green", "pink"], "answer": answer}
    (tmp_path / "mmlu.jsonl").write_bytes(orjson.dumps(record))
    assert load_items(Task(name="mmlu", uri="mmlu.jsonl"), tmp_path)[0].gold == letter


@pytest.mark.parametrize(
    ("line", "message"),
    [('{"question": "q", "choices": ["a", "b"], "answer": 2}', "line 1: field answer: 2 names none of the 2 options"),
     ('{"question": "q", "answer": 1}', "line 1: field choices is missing; there are: answer, question"),
     ('{"question": "q", "choices": "ab", "answer": 1}', "field choices is no list"),
     ('{"choices": ["a", "b"], "answer": 1}', "field question is missing"),
     ("{", "line 1"), ("", "has no items")],
)  # fmt: skip
def test_broken_items_are_named(line: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "mmlu.jsonl").write_text(line)
    with pytest.raises(DataError, match=message):
        load_items(Task(name="mmlu", uri="mmlu.jsonl"), tmp_path)


def test_missing_files_and_names(tmp_path: Path) -> None:
    with pytest.raises(NoInputError, match=r"no file of items .*none\.jsonl"):
        load_items(Task(name="mmlu", uri="none.jsonl"), tmp_path)
    with pytest.raises(NoInputError, match=r"own\.yaml does not exist"):
        load_items(Task(name="mmlu", definition="own.yaml", uri="x"), tmp_path)
    with pytest.raises(DataError, match="no built-in task is called 'nosuch'; there are bbh"):
        load_items(Task(name="nosuch", uri="x"), tmp_path)
    with pytest.raises(DataError, match="set uri"):
        load_items(Task(name="mmlu"), tmp_path)


def test_every_problem_of_a_definition_is_reported() -> None:
    text = "name: X Y\nuser: '{q'\nmetric: guess\npatterns: ['(']\ngold: {field: a}\nextra: 1\n"
    with pytest.raises(InvalidDocumentError) as caught:
        parse_definition(text, "own.yaml")
    fields = {problem.field for problem in caught.value.problems}
    assert fields == {"name", "description", "user", "metric", "patterns", "extra"}
    assert all(problem.file == "own.yaml" for problem in caught.value.problems)


@pytest.mark.parametrize(
    ("change", "message"),
    [("metric: choice", "metric choice and choices go together"), ("scoring: choice_loglikelihood", "needs choices"),
     ("choices: {field: c}", "go together"), ("patterns: ['yes']", "has no group"), ("- x", "not YAML")],
)  # fmt: skip
def test_parts_of_a_definition_agree(change: str, message: str) -> None:
    lines = [line for line in OWN.splitlines() if line.split(":")[0] != change.split(":")[0]]
    with pytest.raises(InvalidDocumentError, match=message):
        parse_definition("\n".join([*lines, change]), "own.yaml")


def test_limit_draws_the_same_items_in_file_order(tmp_path: Path) -> None:
    task = write_items(tmp_path, "gsm8k")
    whole = [item.id for item in load_items(task, tmp_path)]
    some = [item.id for item in load_items(task.model_copy(update={"limit": 4}), tmp_path, split_seed=7)]
    other = [item.id for item in load_items(task.model_copy(update={"limit": 4}), tmp_path, split_seed=8)]
    assert len(some) == 4
    assert some == [name for name in whole if name in some]
    assert some != other


@given(count=st.integers(2, 60), fraction=st.floats(0.01, 0.99), seed=st.integers(0, 99))
def test_halves_are_exact_and_do_not_depend_on_order(count: int, fraction: float, seed: int) -> None:
    ids = [f"item{i}" for i in range(count)]
    half = search_ids(ids, task="t", seed=seed, fraction=fraction)
    assert len(half) == min(max(round(fraction * count), 1), count - 1)
    assert half == search_ids(ids[::-1], task="t", seed=seed, fraction=fraction)


def test_halves_cover_the_items_once(tmp_path: Path) -> None:
    items = load_items(write_items(tmp_path, "gsm8k"), tmp_path)
    settings: dict = {"task": "gsm8k", "seed": 7, "fraction": 0.4}
    search, report = half_of(items, "search", **settings), half_of(items, "report", **settings)
    assert len(search) == 4
    assert sorted(i.id for i in [*search, *report]) == sorted(i.id for i in items)
    for half in ("search", "report"):  # before the budget is spent, not after
        with pytest.raises(
            DataError, match=r"task gsm8k has 1 item; a task of the objective needs at least 2"
        ):
            half_of(items[:1], half, **settings)
    assert half_of(items[:1], "all", **settings) == items[:1]
