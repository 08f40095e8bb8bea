"""Mappings that a model proposes are tried on the records, and never more than tried."""

from typing import Any

import pytest

from autosel_runtime.errors import DataError
from autosel_runtime.pool.propose import propose_mapping

RECORDS: list[dict[str, Any]] = [
    {"ask": {"text": f"q{i}"}, "reply": f"a{i}", "long": "x" * 9000} for i in range(20)
]
GOOD = {"user": "{ask.text}", "assistant": "{reply}"}


class Scripted:
    """A model that gives prepared answers and keeps the prompts."""

    def __init__(self, *answers: Any) -> None:
        self.answers, self.prompts = list(answers), list[str]()

    def __call__(self, prompt: str, schema: dict[str, Any]) -> dict[str, Any]:
        assert "assistant" in schema["properties"]
        self.prompts.append(prompt)
        return self.answers.pop(0)


def test_a_good_answer_is_taken_at_once() -> None:
    model = Scripted(GOOD)
    mapping = propose_mapping(RECORDS, model)
    assert (mapping.user, mapping.assistant, mapping.system) == ("{ask.text}", "{reply}", None)
    assert '"q0"' in model.prompts[0]
    assert len(model.prompts[0]) < 6000


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        ({"user": "{ask.text}"}, "assistant: Field required"),
        ({**GOOD, "code": "import os"}, "code: Extra inputs"),
        ("text", "answer: Input should be"),
        (
            {**GOOD, "user": "{question}"},
            "20 of 20 records give no chat; record 0: field question is missing",
        ),
        ({**GOOD, "user": "{ask"}, "at character 1"),
        ({**GOOD, "user": "Hello"}, "user uses no field"),
        ({**GOOD, "assistant": "{ask.text}"}, "the same"),
        ({**GOOD, "user": "{ask.__class__.__mro__}"}, "__class__ is missing"),
    ],
)
def test_a_bad_answer_is_refused_with_its_reason_and_asked_again(bad: Any, reason: str) -> None:
    model = Scripted(bad, GOOD)
    assert propose_mapping(RECORDS, model).user == "{ask.text}"
    assert reason in model.prompts[1]
    with pytest.raises(DataError, match="no usable mapping was proposed in 3 attempts"):
        propose_mapping(RECORDS, Scripted(bad, bad, bad))


def test_no_records_no_proposal() -> None:
    with pytest.raises(DataError, match="there are none"):
        propose_mapping([], Scripted())
