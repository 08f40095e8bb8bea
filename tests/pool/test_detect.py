"""Which format is found, and what the refusal says."""

from typing import Any

import pytest

from autosel_runtime.errors import DataError
from autosel_runtime.pool.detect import detect
from tests.pool.records import chat


@pytest.mark.parametrize(
    ("record", "found", "why"),
    [
        ({"instruction": "i", "input": "", "response": "r"}, "alpaca", "instruction and response"),
        (
            {"conversations": [{"from": "human", "value": "q"}]},
            "sharegpt",
            "conversations with from and value",
        ),
        ({"messages": [{"from": "human", "value": "q"}]}, "sharegpt", "messages with from and value"),
        (chat("q", "a"), "openai", "messages with role and content"),
        ({**chat("q", "a"), "source": "https://x.y/z"}, "openai", "messages with role"),
        ({**chat("q", "a"), "source": "gsm8k"}, "canonical", "source is a name"),
        (
            {**chat("q", "a"), "prompt": "q", "response": "a"},
            "openai",
            "prompt_completion beside it are not read",
        ),
        ({"prompt": "p", "completion": "c", "template": "t"}, "prompt_completion", "prompt and completion"),
        ({"question": "q", "answer": 1, "choices": []}, "question_answer", "question and answer"),
    ],
)
def test_formats_are_told_by_their_fields(record: dict[str, Any], found: str, why: str) -> None:
    choice = detect([record] * 3)
    assert choice.format == found
    assert why in choice.why
    assert "first 3 records" in choice.why


def test_a_bad_record_among_the_first_does_not_hide_the_format() -> None:
    assert detect([{"question": "q", "answer": "a"}] * 3 + [{"note": 1}]).format == "question_answer"


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        (
            {"text": "t", "lang": "en"},
            "no known format fits in the first 2 records; fields found: text, lang",
        ),
        ({"instruction": "i", "output": "o", "question": "q", "answer": "a"}, "alpaca and question_answer"),
        (
            {**chat("q", "a"), "conversations": [{"from": "human", "value": "q"}]},
            "messages and conversations",
        ),
        ({"messages": [{"speaker": "x"}]}, "neither from and value nor role and content"),
        ({}, "fields found: none"),
    ],
)
def test_unknown_and_ambiguous_records_are_refused_with_advice(record: dict[str, Any], reason: str) -> None:
    with pytest.raises(DataError, match=reason) as caught:
        detect([record] * 2)
    assert "format: mapping" in str(caught.value)
    assert "known formats" in str(caught.value)


def test_fields_that_only_some_records_have_say_so() -> None:
    with pytest.raises(DataError, match=r"a, b \(in 1 of 2\)"):
        detect([{"a": 1}, {"a": 1, "b": 2}])
