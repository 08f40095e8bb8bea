"""Questions in training data: found where a plain search finds them, whatever the batches."""

import json
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from autosel_runtime.evaluate.overlap import ANCHOR, POOL, Overlap, QuestionIndex
from autosel_runtime.evaluate.task import Item, load_items
from autosel_runtime.signals.text import words_of
from tests.evaluate.made_up import write_items

# Few words, so that texts share beginnings and contain one another.
TEXTS = st.lists(st.sampled_from(["a", "b", "Ça", "數", "a,b"]), max_size=24).map(" ".join)
LONG = "In a graph the nodes are numbered from 0 to 9 and there is an edge"


def item(name: str, question: str, task: str = "t") -> Item:
    return Item(
        id=name,
        task=task,
        messages=({"role": "user", "content": f"Solve: {question}"},),
        gold="1",
        question=question,
    )


def looked(items: list[Item], texts: list[str]) -> Overlap:
    overlap = Overlap(index=QuestionIndex.of(items))
    overlap.look(POOL, [(f"s{i}", [text]) for i, text in enumerate(texts)])
    return overlap


def plain_search(items: list[Item], texts: list[str]) -> dict[tuple[str, str], str]:
    found: dict[tuple[str, str], str] = {}
    for one in items:
        for i, text in enumerate(texts):
            if any(stands_in(form, text) for form in (one.question, one.messages[-1]["content"])):
                found[one.task, one.id] = f"s{i}"
                break
    return found


def stands_in(question: str, text: str) -> bool:
    wanted, words = words_of(question), words_of(text)
    size = len(wanted)
    if size < ANCHOR:
        return size > 0 and wanted == words
    return any(words[i : i + size] == wanted for i in range(len(words)))


@given(questions=st.lists(TEXTS, max_size=12), texts=st.lists(TEXTS, max_size=12), batch=st.integers(1, 5))
def test_the_same_as_a_plain_search_in_batches_of_any_size(
    questions: list[str], texts: list[str], batch: int
) -> None:
    items = [item(f"i{i}", question) for i, question in enumerate(questions)]
    overlap = Overlap(index=QuestionIndex.of(items))
    for first in range(0, len(texts), batch):
        overlap.look(POOL, [(f"s{first + i}", [text]) for i, text in enumerate(texts[first : first + batch])])
    assert overlap.places.get(POOL, {}) == plain_search(items, texts)


def test_case_punctuation_and_surroundings_do_not_matter_but_every_word_does() -> None:
    items = [item("same", f"{LONG} from 3 to 4. Is it a tree?"), item("other", f"{LONG} from 3 to 5")]
    text = f"Question 7: {LONG.upper()} from 3 -- to 4; is it a TREE? Explain."
    assert looked(items, [text]).places[POOL] == {("t", "same"): "s0"}


def test_a_question_does_not_go_across_messages() -> None:
    overlap = Overlap(index=QuestionIndex.of([item("i", LONG)]))
    words = LONG.split()
    overlap.look(POOL, [("s", [" ".join(words[:9]), " ".join(words[9:])])])
    assert overlap.counts() == {}


def test_counts_by_task_and_place_the_largest_share_first() -> None:
    items = [item(f"a{i}", f"{LONG} {i}", "big") for i in range(10)]
    items += [item(f"b{i}", f"{LONG} b{i}", "small") for i in range(2)]
    overlap = looked(items, [f"{LONG} 1", f"{LONG} b0", f"{LONG} b1", f"and {LONG} 1"])
    overlap.look("target", [("q1", [f"{LONG} b1"]), ("q2", [f"{LONG} 2"])])
    assert list(overlap.counts().items()) == [("small", (2, 2, 1)), ("big", (10, 1, 1))]
    assert overlap.rows()[0] == {"task": "big", "item": "a1", "place": "pool", "sample": "s0"}
    assert {"task": "small", "item": "b1", "place": "target", "sample": "q1"} in overlap.rows()


def test_what_a_template_adds_and_the_options_are_no_part_of_a_question(tmp_path: Path) -> None:
    rows = [{"question": f"{LONG} {i}", "choices": ["yes", "no"], "answer": 0} for i in range(3)]
    path = tmp_path / "items.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    task = write_items(tmp_path, "mmlu").model_copy(update={"uri": str(path)})
    items = load_items(task, tmp_path)
    assert [one.question for one in items] == [f"{LONG} {i}" for i in range(3)]
    assert looked(items, [f"{LONG} 2"]).counts() == {task.name: (3, 1, 0)}
