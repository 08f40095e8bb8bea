"""From the record format of a source to the function that makes a chat of one record."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from autosel_runtime.api.pool import FieldMapping, Format
from autosel_runtime.errors import ConfigError
from autosel_runtime.pool import convert_chats, convert_pairs
from autosel_runtime.pool.sample import Chat
from autosel_runtime.pool.template import parse_template

KnownFormat = Literal[
    "canonical", "alpaca", "sharegpt", "openai", "prompt_completion", "question_answer", "mapping"
]

_CHATS: dict[KnownFormat, Callable[[dict[str, Any]], Chat]] = {
    "canonical": convert_chats.canonical,
    "alpaca": convert_pairs.alpaca,
    "sharegpt": convert_chats.sharegpt,
    "openai": convert_chats.openai,
    "prompt_completion": convert_pairs.prompt_completion,
    "question_answer": convert_pairs.question_answer,
}


@dataclass(frozen=True, kw_only=True)
class Converter:
    """``chat`` makes the chat of one record and raises RecordError for a record that has none.

    ``source`` returns the source name that a record gives itself, or None; it is None for a format whose records
    never name their source.
    """

    chat: Callable[[dict[str, Any]], Chat]
    source: Callable[[dict[str, Any]], str | None] | None = None


def converter_for(record_format: Format, mapping: FieldMapping | None = None) -> Converter:
    """Return the converter of a format other than ``auto``; DataError for a template that cannot be read."""
    if record_format == "auto":
        raise ConfigError("format auto has to be resolved by looking at records first")
    if record_format == "mapping":
        if mapping is None:
            raise ConfigError("format mapping needs a mapping")
        return mapping_converter(mapping)
    source = convert_chats.source_of if record_format == "canonical" else None
    return Converter(chat=_CHATS[record_format], source=source)


def mapping_converter(mapping: FieldMapping) -> Converter:
    """Return the converter of declarative templates; a system text that renders empty is left out."""
    system = parse_template(mapping.system) if mapping.system is not None else None
    user, assistant = parse_template(mapping.user), parse_template(mapping.assistant)
    origin = parse_template(mapping.source) if mapping.source is not None else None

    def chat(record: dict[str, Any]) -> Chat:
        messages: Chat = []
        if system is not None and (text := system.render(record)).strip():
            messages.append({"content": text, "role": "system"})
        messages.append({"content": user.render(record), "role": "user"})
        messages.append({"content": assistant.render(record), "role": "assistant"})
        return messages

    def source(record: dict[str, Any]) -> str | None:
        return None if origin is None else convert_chats.as_name(origin.render(record))

    return Converter(chat=chat, source=source if origin is not None else None)
