"""Validity of a chat, and its identity."""

import hashlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autosel_runtime.pool.sample import RecordError, decode_chat, encode_chat, make_sample, sample_id

U = {"role": "user", "content": "q"}
A = {"role": "assistant", "content": "a"}
S = {"role": "system", "content": "s"}
T = {"role": "tool", "content": "", "tool_call_id": "1"}
CALL = {
    "role": "assistant",
    "content": "",
    "tool_calls": [{"id": "1", "function": {"name": "f", "arguments": "{}"}}],
}


@pytest.mark.parametrize(
    "chat", [[U, A], [S, U, A], [U, A, U, A], [U, CALL, T, A], [U, CALL], [T, A], [A, U, A]]
)
def test_valid_chats_come_back_unchanged(chat: list[dict[str, Any]]) -> None:
    assert make_sample("s", chat).chat() == chat


@pytest.mark.parametrize(
    ("chat", "reason"),
    [
        ([], "does not end with an assistant"),
        ([U], "does not end with an assistant"),
        ([U, A, U], "does not end with an assistant"),
        ([U, CALL, T], "does not end with an assistant"),
        ([A], "no user or tool message"),
        ([S, A], "no user or tool message"),
        ([U, S, A], "system message is not the first"),
        ([S, S, U, A], "system message is not the first"),
        ([U, {"role": "assistant", "content": " \n"}], "the answer is empty"),
        ([U, {"role": "assistant", "content": ""}, U, A], "empty assistant message"),
        ([{"role": "user", "content": ""}, A], "empty user message"),
        ([{"role": "user", "content": None}, A], "content is not text"),
        ([{"role": "user"}, A], "content is not text"),
        ([{"role": "user", "content": "a\0b"}, A], "NUL"),
        ([{"role": "user", "content": "\ud800"}, A], "cannot be written as JSON"),
        ([{"role": "owner", "content": "q"}, A], "unknown role"),
        ([{**U, "weight": 1}, A], "unknown field"),
        ([{**U, "name": 3}, A], "name is not text"),
        ([{**U, "tool_calls": [{}]}, A], "tool_calls outside"),
        ([U, {**A, "tool_calls": ["f"]}], "not a list of objects"),
        ([U, {**A, "tool_calls": [{"x": float("nan")}]}], "cannot be written as JSON"),
    ],
)
def test_invalid_chats_say_why(chat: list[dict[str, Any]], reason: str) -> None:
    with pytest.raises(RecordError, match=reason):
        encode_chat(chat)


text = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1).filter(
    str.strip
)
chats = st.lists(st.tuples(text, text), min_size=1, max_size=3).map(
    lambda pairs: [
        m for q, a in pairs for m in ({"role": "user", "content": q}, {"role": "assistant", "content": a})
    ]
)


@given(chats, text)
def test_id_is_sha256_of_canonical_json(chat: list[dict[str, Any]], source: str) -> None:
    whole = {"source": source, "messages": chat}
    plain = json.dumps(whole, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    assert sample_id(source, encode_chat(chat)) == hashlib.sha256(plain.encode()).hexdigest()[:24]


@given(chats)
def test_encoding_round_trips_and_ignores_the_order_of_keys(chat: list[dict[str, Any]]) -> None:
    turned = [dict(reversed(message.items())) for message in chat]
    assert encode_chat(turned) == encode_chat(chat)
    assert [m.as_dict() for m in decode_chat(encode_chat(chat))] == chat
