"""Records that hold one question and one answer in named fields: alpaca, prompt_completion, question_answer."""

import string
from typing import Any, cast

from autosel_runtime.pool.convert_chats import add_answer, openai_message
from autosel_runtime.pool.sample import Chat, RecordError
from autosel_runtime.pool.template import text_of

Record = dict[str, Any]


def alpaca(record: Record) -> Chat:
    """Convert instruction, input (or context), output (or response), with optional system and history.

    The user message is the instruction and the input, stripped, with a blank line between; history is a list
    of earlier (question, answer) pairs.
    """
    chat = _system(record)
    for pair in _pairs(record.get("history")):
        chat.append(_user(text_of(pair[0], "history")))
        chat.append(_assistant(text_of(pair[1], "history")))
    asked = [_text(record, "instruction").strip()]
    asked.extend(_text(record, key).strip() for key in ("input", "context") if key in record)
    chat.append(_user("\n\n".join(part for part in asked if part)))
    chat.append(_assistant(_first_text(record, ("output", "response"))))
    return chat


def prompt_completion(record: Record) -> Chat:
    """Convert prompt and completion (or response); either may be a list of messages instead of a text."""
    prompt = record.get("prompt")
    chat = _system(record)
    if isinstance(prompt, list):
        chat.extend(openai_message(message) for message in cast(list[Any], prompt))
    else:
        chat.append(_user(text_of(prompt, "prompt")))
    completion = record.get("completion", record.get("response"))
    if isinstance(completion, list):
        answers = [openai_message(message) for message in cast(list[Any], completion)]
        return chat if answers and chat[-len(answers) :] == answers else chat + answers
    return add_answer(chat, text_of(completion, "completion"))


def question_answer(record: Record) -> Chat:
    """Convert question (after context, if any) and answer (or response), or choices and the right one.

    ``choices`` is a list of texts or an object of two lists, ``text`` and ``label``. They follow the question, one
    a line, lettered; ``answer`` is a 0-based number, a letter or the text of a choice. The answer message is
    the letter and the text of the right choice.
    """
    question = "\n\n".join(
        part for part in (_text(record, key).strip() for key in ("context", "question")) if part
    )
    chat = _system(record)
    if record.get("choices") is None:
        return [*chat, _user(question), _assistant(_first_text(record, ("answer", "response")))]
    texts, labels = _choices(record["choices"])
    right = _right_choice(record.get("answer"), texts, labels)
    listed = "\n".join(f"{label}. {text}" for label, text in zip(labels, texts, strict=True))
    return [*chat, _user(f"{question}\n\n{listed}"), _assistant(f"{labels[right]}. {texts[right]}")]


def _choices(value: Any) -> tuple[list[str], list[str]]:
    """Return the texts of the choices and their letters."""
    labels: Any = None
    if isinstance(value, dict):
        value, labels = cast(Record, value).get("text"), cast(Record, value).get("label")
    if not isinstance(value, list) or not value:
        raise RecordError("choices is not a list of texts", f"found {type(value).__name__}")
    texts = [text_of(item, "choices").strip() for item in cast(list[Any], value)]
    if labels is None:
        if len(texts) > len(string.ascii_uppercase):
            raise RecordError("more choices than letters", f"{len(texts)} choices")
        return texts, list(string.ascii_uppercase[: len(texts)])
    if not isinstance(labels, list) or len(cast(list[Any], labels)) != len(texts):
        raise RecordError("choices.label does not fit choices.text", f"{len(texts)} texts")
    return texts, [text_of(item, "choices.label").strip() for item in cast(list[Any], labels)]


def _right_choice(answer: Any, texts: list[str], labels: list[str]) -> int:
    if isinstance(answer, int | float) and not isinstance(answer, bool):
        if 0 <= answer < len(texts) and answer == int(answer):
            return int(answer)
    elif isinstance(answer, str):
        wanted = answer.strip()
        if wanted in labels:
            return labels.index(wanted)
        if wanted in texts:
            return texts.index(wanted)
        if wanted.upper() in labels:
            return labels.index(wanted.upper())
        if wanted.isascii() and wanted.isdigit() and len(wanted) < 4 and int(wanted) < len(texts):
            return int(wanted)
    found = repr(answer)[:60]
    raise RecordError("the answer is none of the choices", f"{found}; choices {labels[0]} to {labels[-1]}")


def _pairs(history: Any) -> list[list[Any]]:
    if history is None:
        return []
    pairs = cast(list[Any], history) if isinstance(history, list) else [history]
    if not all(isinstance(pair, list) and len(cast(list[Any], pair)) == 2 for pair in pairs):
        raise RecordError("history is not a list of [question, answer] pairs")
    return pairs


def _system(record: Record) -> Chat:
    text = _text(record, "system") or _text(record, "system_prompt")
    return [{"content": text, "role": "system"}] if text.strip() else []


def _text(record: Record, key: str) -> str:
    value = record.get(key)
    return value if type(value) is str else text_of(value, key)


def _first_text(record: Record, keys: tuple[str, ...]) -> str:
    for key in keys:
        if key in record:
            return _text(record, key)
    raise RecordError(f"field {keys[0]} is missing", f"there are: {', '.join(sorted(record))}")


def _user(content: str) -> dict[str, Any]:
    return {"content": content, "role": "user"}


def _assistant(content: str) -> dict[str, Any]:
    return {"content": content, "role": "assistant"}
