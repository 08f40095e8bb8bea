"""The canonical sample: one validated chat with a stable id.

A valid chat has a user or tool message, ends with an assistant message that has content or tool calls, and
has a system message only at its start. Converters produce chats as plain lists of dictionaries, since a pool
build touches millions of them; ``Sample`` and ``Message`` are what everyone else reads.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, cast

import orjson

from autosel_runtime.digest import canonical_json
from autosel_runtime.errors import DataError

Role = Literal["system", "user", "assistant", "tool"]
Chat = list[dict[str, Any]]

ROLES: frozenset[str] = frozenset({"system", "user", "assistant", "tool"})
ID_BYTES = 12
_MESSAGE_KEYS = frozenset({"role", "content", "name", "tool_calls", "tool_call_id"})
_PLAIN_KEYS = frozenset({"role", "content"})


class RecordError(DataError):
    """One record cannot become a sample; the build writes it to the rejects and goes on.

    ``reason`` is a fixed phrase that can be counted, ``detail`` what was found in this record.
    """

    def __init__(self, reason: str, detail: str = "") -> None:
        self.reason, self.detail = reason, detail
        super().__init__(f"{reason}: {detail}" if detail else reason)


@dataclass(frozen=True, kw_only=True, slots=True)
class Message:
    """One turn. ``content`` may be empty for an assistant turn with tool calls and for a tool's answer."""

    role: Role
    content: str
    name: str | None = None
    tool_calls: tuple[dict[str, Any], ...] | None = None
    tool_call_id: str | None = None

    def as_dict(self) -> dict[str, Any]:
        """Return the message as chat templates take it; absent fields are left out."""
        message: dict[str, Any] = {"role": self.role, "content": self.content}
        if self.name is not None:
            message["name"] = self.name
        if self.tool_calls is not None:
            message["tool_calls"] = list(self.tool_calls)
        if self.tool_call_id is not None:
            message["tool_call_id"] = self.tool_call_id
        return message


@dataclass(frozen=True, kw_only=True, slots=True)
class Sample:
    """A chat that ends with the answer to learn."""

    id: str
    source: str
    messages: tuple[Message, ...]

    @property
    def prompt(self) -> tuple[Message, ...]:
        """Everything before the answer."""
        return self.messages[:-1]

    @property
    def answer(self) -> Message:
        """The last assistant message."""
        return self.messages[-1]

    def chat(self) -> Chat:
        """Return the messages as plain dictionaries."""
        return [message.as_dict() for message in self.messages]


def make_sample(source: str, chat: Chat) -> Sample:
    """Validate ``chat`` and return it as a sample under its content id; RecordError says what is wrong."""
    data = encode_chat(chat)
    return Sample(id=sample_id(source, data), source=source, messages=decode_chat(data))


def encode_chat(chat: Sequence[dict[str, Any]]) -> bytes:
    """Validate ``chat`` and return its canonical JSON; RecordError says what is wrong.

    A message has ``role`` and ``content`` and may have ``name``, ``tool_calls`` and ``tool_call_id``.
    """
    asked = plain = True
    role = "none"
    if chat:
        asked, plain, role = _check_messages(chat)
    if role != "assistant":
        raise RecordError("the chat does not end with an assistant message", f"last role: {role}")
    if not asked:
        raise RecordError("the chat has no user or tool message")
    try:
        return orjson.dumps(chat, option=orjson.OPT_SORT_KEYS) if plain else canonical_json(list(chat))
    except (TypeError, ValueError, RecursionError) as error:
        raise RecordError("a message cannot be written as JSON", str(error)) from None


def sample_id(source: str, encoded_chat: bytes) -> str:
    """Return 24 hex digits of SHA-256 over canonical JSON ``{"messages", "source"}``."""
    return identity(source_suffix(source), encoded_chat).hex()


def source_suffix(source: str) -> bytes:
    """Return the tail of the canonical JSON that ids are taken of; the same for all samples of a source."""
    return b',"source":' + orjson.dumps(source) + b"}"


def identity(suffix: bytes, encoded_chat: bytes) -> bytes:
    """Return the 12 bytes whose hex form is the id; ``suffix`` is from ``source_suffix``."""
    text = b'{"messages":' + encoded_chat + suffix
    return hashlib.sha256(text, usedforsecurity=False).digest()[:ID_BYTES]


def decode_chat(data: bytes | str) -> tuple[Message, ...]:
    """Return the messages of a canonical JSON list that ``encode_chat`` wrote."""
    return tuple(
        Message(
            role=item["role"],
            content=item["content"],
            name=item.get("name"),
            tool_calls=tuple(item["tool_calls"]) if "tool_calls" in item else None,
            tool_call_id=item.get("tool_call_id"),
        )
        for item in orjson.loads(data)
    )


def _check_messages(chat: Sequence[dict[str, Any]]) -> tuple[bool, bool, str]:
    """Return (has a user or tool message, has only roles and contents, last role)."""
    asked, plain, role = False, True, ""
    for index, message in enumerate(chat):
        role, content = message.get("role", ""), message.get("content")
        if type(content) is not str:
            raise RecordError("content is not text", f"message {index} has {type(content).__name__}")
        if "\x00" in content:
            raise RecordError("content has a NUL character", f"message {index}")
        if len(message) != 2 or message.keys() != _PLAIN_KEYS:
            plain = False
            _check_extras(index, message)
        if role == "user":
            asked = True
        elif role == "tool":
            asked = True
            continue
        elif role == "system":
            if index:
                raise RecordError("a system message is not the first message", f"message {index}")
        elif role != "assistant":
            known = ", ".join(sorted(ROLES))
            raise RecordError("unknown role", f"message {index} has {role!r}; known: {known}")
        if (not content or content.isspace()) and not message.get("tool_calls"):
            is_answer = index == len(chat) - 1 and role == "assistant"
            reason = "the answer is empty" if is_answer else f"empty {role} message"
            raise RecordError(reason, f"message {index}")
    return asked, plain, role


def _check_extras(index: int, message: dict[str, Any]) -> None:
    unknown = message.keys() - _MESSAGE_KEYS
    if unknown:
        raise RecordError("a message has an unknown field", f"message {index}: {', '.join(sorted(unknown))}")
    for key in ("name", "tool_call_id"):
        value = message.get(key, "")
        if type(value) is not str or "\x00" in value:
            raise RecordError(f"{key} is not text", f"message {index}")
    if "tool_calls" in message:
        calls = message["tool_calls"]
        if message["role"] != "assistant":
            raise RecordError("tool_calls outside an assistant message", f"message {index}")
        if type(calls) is not list or not calls or not all(type(c) is dict for c in cast(list[Any], calls)):
            raise RecordError("tool_calls is not a list of objects", f"message {index}")
