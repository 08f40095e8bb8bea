"""Records that hold a list of turns: sharegpt, openai and our own canonical form."""

import re
from typing import Any, cast

from autosel_runtime.pool.sample import Chat, RecordError
from autosel_runtime.pool.template import text_of

Record = dict[str, Any]

SHAREGPT_ROLES = {
    "human": "user",
    "user": "user",
    "gpt": "assistant",
    "assistant": "assistant",
    "chatgpt": "assistant",
    "system": "system",
    "tool": "tool",
    "function": "tool",
    "observation": "tool",
    "function_call": "assistant",
}
OPENAI_ROLES = {
    "system": "system",
    "developer": "system",
    "user": "user",
    "assistant": "assistant",
    "tool": "tool",
    "function": "tool",
}
_CANONICAL_ROLES = ("user", "assistant", "system", "tool")
_KEPT_TEXTS = ("name", "tool_call_id")
_ANSWER_KEYS = ("target", "output", "response", "completion", "answer")
_NOT_IN_NAMES = re.compile(r"[^a-z0-9_.-]+")


def sharegpt(record: Record) -> Chat:
    """Convert conversations of from/value turns (or role/content), with an optional top-level system text.

    A function_call turn is an assistant message with its text as it stands; function and observation turns
    are tool messages.
    """
    chat = _opening(record)
    for index, turn in enumerate(turns(record)):
        if not isinstance(turn, dict):
            raise RecordError("a turn is not an object", f"turn {index} is {type(turn).__name__}")
        fields = cast(Record, turn)
        said = fields.get("from", fields.get("role"))
        role = SHAREGPT_ROLES.get(said.lower()) if isinstance(said, str) else None
        if role is None:
            known = ", ".join(SHAREGPT_ROLES)
            raise RecordError("unknown role", f"turn {index} is from {said!r}; known: {known}")
        content = fields.get("value", fields.get("content"))
        if not isinstance(content, str):
            raise RecordError("value is not text", f"turn {index} has {type(content).__name__}")
        _append(chat, {"content": content, "role": role})
    return chat


def openai(record: Record) -> Chat:
    """Convert messages as chat completions take them.

    Content may be null beside tool calls, or a list of text parts; developer becomes system, function becomes
    tool, the older function_call becomes a tool call. When the list ends with a question, the answer is taken
    from target, output, response, completion or answer.
    """
    messages = turns(record)
    chat = cast(Chat, messages) if _is_canonical(messages) else []
    if not chat or "system" in record:
        chat = _opening(record)
        for message in messages:
            _append(chat, openai_message(message))
    if chat and chat[-1]["role"] != "assistant":
        key = next((key for key in _ANSWER_KEYS if record.get(key)), None)
        if key is not None:
            return add_answer(chat, _answer_text(record[key], key))
    return chat


def canonical(record: Record) -> Chat:
    """Convert our own form: messages, and an optional target that is the answer.

    A target that repeats the last assistant message is not added again; one that differs is an error, since
    only one of the two can be the answer.
    """
    chat = openai(record)
    target = record.get("target")
    if target is None:
        return chat
    text = _answer_text(target, "target")
    if text.strip() and chat and chat[-1]["content"].strip() != text.strip():
        raise RecordError("target differs from the last assistant message", f"target: {text[:80]!r}")
    return chat


def source_of(record: Record) -> str | None:
    """Return the source that a canonical record names, in the form of a name; None when it names none."""
    source = record.get("source")
    return None if source is None else as_name(text_of(source, "source"))


def as_name(text: str) -> str | None:
    """Return ``text`` as a source name: lower case, other characters as "-", at most 63; None when empty."""
    name = _NOT_IN_NAMES.sub("-", text.strip().lower()).strip("-_.")[:63].strip("-_.")
    return name or None


def add_answer(chat: Chat, answer: str) -> Chat:
    """Return ``chat`` with the answer at its end, unless it ends with that very answer."""
    last = chat[-1] if chat else None
    if last is not None and last["role"] == "assistant" and last["content"].strip() == answer.strip():
        return chat
    return [*chat, {"content": answer, "role": "assistant"}]


def turns(record: Record) -> list[Any]:
    """Return the list of turns: ``messages``, ``conversations`` or ``conversation``."""
    for key in ("messages", "conversations", "conversation"):
        value = record.get(key)
        if isinstance(value, list):
            return cast(list[Any], value)
        if value is not None:
            raise RecordError(f"{key} is not a list", f"found {type(value).__name__}")
    raise RecordError("the record has no list of turns", f"there are: {', '.join(sorted(record))}")


def _is_canonical(messages: list[Any]) -> bool:
    """Tell whether every message is just a role and a text, as nearly all are: then nothing is converted."""
    for message in messages:
        if type(message) is not dict or len(cast(Record, message)) != 2:
            return False
        fields = cast(Record, message)
        if fields.get("role") not in _CANONICAL_ROLES or type(fields.get("content")) is not str:
            return False
    # An empty system message is left out, and only the conversion does that.
    return not messages or messages[0]["role"] != "system" or bool(messages[0]["content"].strip())


def openai_message(message: Any) -> dict[str, Any]:
    """Return one message in canonical form; RecordError when it has no canonical form."""
    if not isinstance(message, dict):
        raise RecordError("a message is not an object", f"found {type(message).__name__}")
    fields = cast(Record, message)
    said, content = fields.get("role"), fields.get("content")
    role = OPENAI_ROLES.get(said) if isinstance(said, str) else None
    if role is None:
        raise RecordError("unknown role", f"found {said!r}; known: {', '.join(OPENAI_ROLES)}")
    if type(content) is str and len(fields) == 2:
        return {"content": content, "role": role}
    result: dict[str, Any] = {"content": _content(content), "role": role}
    for key in _KEPT_TEXTS:
        # Tables write null where a message has no such field.
        if fields.get(key) is not None:
            result[key] = fields[key]
    calls = fields.get("tool_calls")
    if not calls and fields.get("function_call") is not None:
        calls = [{"type": "function", "function": fields["function_call"]}]
    if calls:
        if not isinstance(calls, list):
            raise RecordError("tool_calls is not a list of objects", f"found {type(calls).__name__}")
        result["tool_calls"] = [_without_nulls(call) for call in cast(list[Any], calls)]
    elif content is None:
        raise RecordError("content is null in a message without tool calls", f"role {said}")
    return result


def _content(content: Any) -> str:
    """Return the text of a message: text, null as no text, or the texts of its parts one a line."""
    if isinstance(content, str):
        return content
    if content is None:
        return ""
    if not isinstance(content, list):
        raise RecordError("content is not text", f"found {type(content).__name__}")
    texts: list[str] = []
    for part in cast(list[Any], content):
        fields = cast(Record, part) if isinstance(part, dict) else {"type": "text", "text": part}
        text = fields.get("text")
        if fields.get("type", "text") != "text" or not isinstance(text, str):
            raise RecordError("a part of the content is not text", f"type {fields.get('type')!r}")
        texts.append(text)
    return "\n".join(texts)


def _without_nulls(call: Any) -> Any:
    """Return a tool call without the nulls that tables put for absent fields; arguments stay as they are."""
    if not isinstance(call, dict):
        return call
    kept = {key: value for key, value in cast(Record, call).items() if value is not None}
    if isinstance(kept.get("function"), dict):
        kept["function"] = {key: value for key, value in kept["function"].items() if value is not None}
    return kept


def _opening(record: Record) -> Chat:
    system = record.get("system")
    if system is None or system == "":
        return []
    if not isinstance(system, str):
        raise RecordError("system is not text", f"found {type(system).__name__}")
    return [{"content": system, "role": "system"}] if system.strip() else []


def _append(chat: Chat, message: dict[str, Any]) -> None:
    """Add a turn; an empty system turn says nothing, and one that repeats the top-level text is not needed."""
    if message["role"] == "system" and (not message["content"].strip() or chat == [message]):
        return
    chat.append(message)


def _answer_text(value: Any, key: str) -> str:
    if isinstance(value, dict):
        return text_of(cast(Record, value).get("text"), f"{key}.text")
    return text_of(value, key)
