"""Every record format, as its users write it."""

import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autosel_runtime.api.pool import FieldMapping, Format
from autosel_runtime.pool.convert import converter_for
from autosel_runtime.pool.sample import RecordError, encode_chat

FORMATS: list[Format] = ["canonical", "alpaca", "sharegpt", "openai", "prompt_completion", "question_answer"]


def turns(record_format: Format, record: dict[str, Any]) -> list[tuple[str, str]]:
    """Role initial and content of every message of the valid chat that a record gives."""
    chat = json.loads(encode_chat(converter_for(record_format).chat(record)))
    return [(message["role"][0], message["content"]) for message in chat]


@pytest.mark.parametrize(
    ("record_format", "record", "expected"),
    [
        ("alpaca", {"instruction": " i ", "input": "", "output": "o "}, [("u", "i"), ("a", "o ")]),
        ("alpaca", {"instruction": "i", "input": "x", "response": "o"}, [("u", "i\n\nx"), ("a", "o")]),
        (
            "alpaca",
            {"instruction": "i", "context": "x", "output": "o", "system": "s"},
            [("s", "s"), ("u", "i\n\nx"), ("a", "o")],
        ),
        (
            "alpaca",
            {"instruction": "i", "output": "o", "history": [["q", "p"]]},
            [("u", "q"), ("a", "p"), ("u", "i"), ("a", "o")],
        ),
        (
            "sharegpt",
            {"conversations": [{"from": "human", "value": "q"}, {"from": "GPT", "value": "a"}]},
            [("u", "q"), ("a", "a")],
        ),
        (
            "sharegpt",
            {
                "system": "s",
                "conversations": [
                    {"from": "user", "value": "q"},
                    {"from": "function_call", "value": "{}"},
                    {"from": "observation", "value": "r"},
                    {"from": "chatgpt", "value": "a"},
                ],
            },
            [("s", "s"), ("u", "q"), ("a", "{}"), ("t", "r"), ("a", "a")],
        ),
        (
            "sharegpt",
            {
                "system": "s",
                "conversations": [
                    {"from": "system", "value": "s"},
                    {"from": "user", "value": "q"},
                    {"from": "assistant", "value": "a"},
                ],
            },
            [("s", "s"), ("u", "q"), ("a", "a")],
        ),
        (
            "openai",
            {
                "messages": [
                    {"role": "developer", "content": "s"},
                    {
                        "role": "user",
                        "content": [{"type": "text", "text": "q"}, {"type": "text", "text": "r"}],
                    },
                    {"role": "assistant", "content": "a"},
                ]
            },
            [("s", "s"), ("u", "q\nr"), ("a", "a")],
        ),
        (
            "openai",
            {
                "messages": [
                    {"role": "user", "content": "q"},
                    {
                        "role": "assistant",
                        "content": None,
                        "tool_calls": [{"id": "1", "function": {"name": "f"}}],
                    },
                    {"role": "function", "name": "f", "content": "r"},
                    {"role": "assistant", "content": "a"},
                ]
            },
            [("u", "q"), ("a", ""), ("t", "r"), ("a", "a")],
        ),
        ("openai", {"messages": [{"role": "user", "content": "q"}], "output": "a"}, [("u", "q"), ("a", "a")]),
        (
            "openai",
            {
                "messages": [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}],
                "output": "a",
            },
            [("u", "q"), ("a", "a")],
        ),
        (
            "openai",
            {
                "messages": [
                    {"role": "system", "content": " "},
                    {"role": "user", "content": "q"},
                    {"role": "assistant", "content": "a"},
                ]
            },
            [("u", "q"), ("a", "a")],
        ),
        (
            "canonical",
            {
                "messages": [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}],
                "target": {"text": "a\n", "structured": {}},
            },
            [("u", "q"), ("a", "a")],
        ),
        (
            "canonical",
            {"messages": [{"role": "user", "content": "q"}], "target": {"text": "a"}},
            [("u", "q"), ("a", "a")],
        ),
        ("prompt_completion", {"prompt": "p", "completion": "c", "template": "t"}, [("u", "p"), ("a", "c")]),
        (
            "prompt_completion",
            {
                "prompt": [{"role": "system", "content": "s"}, {"role": "user", "content": "p"}],
                "completion": [{"role": "assistant", "content": "c"}],
            },
            [("s", "s"), ("u", "p"), ("a", "c")],
        ),
        (
            "prompt_completion",
            {
                "prompt": [{"role": "user", "content": "p"}, {"role": "assistant", "content": "c"}],
                "completion": "c",
            },
            [("u", "p"), ("a", "c")],
        ),
        (
            "prompt_completion",
            {
                "prompt": [{"role": "user", "content": "p"}, {"role": "assistant", "content": "c"}],
                "completion": [{"role": "assistant", "content": "c"}],
            },
            [("u", "p"), ("a", "c")],
        ),
        ("question_answer", {"question": "q", "answer": "a"}, [("u", "q"), ("a", "a")]),
        ("question_answer", {"question": "q", "answer": 42, "context": "c"}, [("u", "c\n\nq"), ("a", "42")]),
        (
            "question_answer",
            {"question": "q", "choices": ["x", "y"], "answer": 1.0},
            [("u", "q\n\nA. x\nB. y"), ("a", "B. y")],
        ),
        (
            "question_answer",
            {"question": "q", "choices": ["x", "y"], "answer": "a"},
            [("u", "q\n\nA. x\nB. y"), ("a", "A. x")],
        ),
        (
            "question_answer",
            {"question": "q", "choices": ["x", "y"], "answer": "y"},
            [("u", "q\n\nA. x\nB. y"), ("a", "B. y")],
        ),
        (
            "question_answer",
            {"question": "q", "choices": {"text": ["x", "y"], "label": ["1", "2"]}, "answer": "1"},
            [("u", "q\n\n1. x\n2. y"), ("a", "1. x")],
        ),
    ],
)
def test_records_become_chats(
    record_format: Format, record: dict[str, Any], expected: list[tuple[str, str]]
) -> None:
    assert turns(record_format, record) == expected


@pytest.mark.parametrize(
    ("record_format", "record", "reason"),
    [
        ("alpaca", {"instruction": "i", "output": ""}, "the answer is empty"),
        ("alpaca", {"instruction": "", "input": " ", "output": "o"}, "empty user message"),
        ("alpaca", {"instruction": "i"}, "field output is missing"),
        ("alpaca", {"instruction": {"a": 1}, "output": "o"}, "field instruction is not text"),
        ("alpaca", {"instruction": "i", "output": "o", "history": ["q"]}, "history is not a list"),
        ("sharegpt", {"conversations": [{"from": "narrator", "value": "q"}]}, "turn 0 is from 'narrator'"),
        ("sharegpt", {"conversations": [{"from": "human", "value": None}]}, "value is not text"),
        ("sharegpt", {"conversations": []}, "does not end with an assistant"),
        ("sharegpt", {"conversations": "x"}, "conversations is not a list"),
        ("sharegpt", {"x": 1}, "no list of turns"),
        ("openai", {"messages": [{"role": "user", "content": None}]}, "content is null"),
        (
            "openai",
            {"messages": [{"role": "user", "content": [{"type": "image_url"}]}]},
            "part of the content",
        ),
        ("openai", {"messages": [{"role": ["user"], "content": "q"}]}, "unknown role"),
        ("openai", {"messages": ["q"]}, "a message is not an object"),
        (
            "canonical",
            {
                "messages": [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}],
                "target": {"text": "b"},
            },
            "target differs from the last assistant message",
        ),
        ("prompt_completion", {"prompt": "p"}, "the answer is empty"),
        ("question_answer", {"question": "q", "choices": ["x", "y"], "answer": 2}, "none of the choices"),
        ("question_answer", {"question": "q", "choices": ["x", "y"], "answer": -1}, "none of the choices"),
        (
            "question_answer",
            {"question": "q", "choices": ["x", "y"], "answer": float("nan")},
            "none of the choices",
        ),
        ("question_answer", {"question": "q", "choices": ["x", "y"], "answer": "C"}, "none of the choices"),
        ("question_answer", {"question": "q", "choices": [], "answer": 0}, "choices is not a list"),
    ],
)
def test_records_without_a_chat_say_why(record_format: Format, record: dict[str, Any], reason: str) -> None:
    with pytest.raises(RecordError, match=reason):
        turns(record_format, record)


def test_tool_messages_keep_their_fields_and_lose_the_nulls_of_tables() -> None:
    call = {
        "id": "1",
        "type": "function",
        "function": {"name": "f", "arguments": "{}", "extra": None},
        "index": None,
    }
    record = {
        "messages": [
            {"role": "user", "content": "q", "name": None, "tool_calls": None, "tool_call_id": None},
            {"role": "assistant", "content": None, "name": None, "tool_calls": [call], "tool_call_id": None},
            {"role": "tool", "content": "r", "name": "f", "tool_calls": None, "tool_call_id": "1"},
            {"role": "assistant", "content": None, "function_call": {"name": "g", "arguments": "{}"}},
        ]
    }
    kept = {"id": "1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    assert json.loads(encode_chat(converter_for("openai").chat(record))) == [
        {"role": "user", "content": "q"},
        {"role": "assistant", "content": "", "tool_calls": [kept]},
        {"role": "tool", "content": "r", "name": "f", "tool_call_id": "1"},
        {
            "role": "assistant",
            "content": "",
            "tool_calls": [{"type": "function", "function": {"name": "g", "arguments": "{}"}}],
        },
    ]


def test_mapping_fills_templates_and_leaves_out_an_empty_system() -> None:
    mapping = FieldMapping(system="{s}", user="{q[0]}", assistant="{a.b}", source="{d}")
    converter = converter_for("mapping", mapping)
    record = {"s": "", "q": ["why"], "a": {"b": "so"}, "d": "Org/Data Set"}
    assert converter.chat(record) == [
        {"role": "user", "content": "why"},
        {"role": "assistant", "content": "so"},
    ]
    assert converter.source is not None
    assert converter.source(record) == "org-data-set"


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=8,
)
turn = st.fixed_dictionaries(
    {},
    optional={
        "role": st.sampled_from(["user", "assistant", "tool", "x"]) | json_values,
        "content": json_values,
        "from": st.sampled_from(["human", "gpt"]) | json_values,
        "value": json_values,
        "tool_calls": json_values,
        "function_call": json_values,
        "name": json_values,
    },
)
some_turns = st.lists(turn, max_size=3) | json_values
records = st.fixed_dictionaries(
    {},
    optional={
        "messages": some_turns,
        "conversations": some_turns,
        "prompt": some_turns,
        "completion": some_turns,
        **dict.fromkeys(("instruction", "input", "output", "history", "system"), json_values),
        **dict.fromkeys(("question", "answer", "choices", "target", "source"), json_values),
    },
)


@given(records, st.sampled_from(FORMATS))
def test_any_record_gives_a_chat_or_a_reason(record: dict[str, Any], record_format: Format) -> None:
    converter = converter_for(record_format)
    # Any other exception fails the test; a chat that comes back is valid, for it encodes a second time.
    with suppress(RecordError):
        chat = json.loads(encode_chat(converter.chat(record)))
        assert json.loads(encode_chat(chat)) == chat
        if converter.source is not None:
            assert converter.source(record) != ""
