"""Which format the records of a source have, judged by the fields of the first ones."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from typing import Any, cast

from autosel_runtime.api.pool import PoolSource, Target
from autosel_runtime.errors import DataError
from autosel_runtime.pool.convert import KnownFormat
from autosel_runtime.pool.convert_chats import as_name
from autosel_runtime.pool.files import InputFile
from autosel_runtime.pool.read import read_records

HEAD = 20

# Format: field of the question, fields that may hold the answer.
_PAIRS: dict[KnownFormat, tuple[str, tuple[str, ...]]] = {
    "alpaca": ("instruction", ("output", "response")),
    "prompt_completion": ("prompt", ("completion", "response")),
    "question_answer": ("question", ("answer", "response")),
}
_TURN_LISTS = ("messages", "conversations", "conversation")
_SHAPES = (
    "canonical (messages, source); openai (messages of role, content); sharegpt (conversations of from, value); "
    "alpaca (instruction, input, output or response); prompt_completion (prompt, completion or response); "
    "question_answer (question, answer, choices)"
)


@dataclass(frozen=True, kw_only=True)
class Choice:
    """The format of a source and, in one sentence, why."""

    format: KnownFormat
    why: str


def choose_format(source: PoolSource | Target, files: Sequence[InputFile]) -> Choice:
    """Return the given format of a source, or the one that its first records show.

    DataError when the first records fit no format or more than one, or when there is no record at all.
    """
    if source.format != "auto":
        return Choice(format=source.format, why="given")
    head = first_records(files)
    if not head:
        raise DataError(
            f"source {source.name!r} ({source.uri}) has no record that can be read, so its format is not known; "
            f"{_first_problem(files)}"
        )
    try:
        return detect(head)
    except DataError as error:
        raise DataError(f"source {source.name!r} ({source.uri}): {error}") from None


def first_records(files: Iterable[InputFile], count: int = HEAD) -> list[dict[str, Any]]:
    """Return the first records that are objects."""
    records = chain.from_iterable(read_records(file) for file in files)
    return list(islice((record for _, record in records if isinstance(record, dict)), count))


def detect(head: Sequence[dict[str, Any]]) -> Choice:
    """Return the one format that ``head`` has; DataError lists the fields found and what is known.

    A format is there when at least three of four records have its fields, so that a bad record among the first
    ones does not hide it. A list of turns is more than a pair of fields: records with both are read by turns.
    """
    lists = [key for key in _TURN_LISTS if _mostly([_is_turn_list(record.get(key)) for record in head])]
    pairs: list[KnownFormat] = [
        name for name in _PAIRS if _mostly([_has_pair(record, name) for record in head])
    ]
    seen = f"in the first {len(head)} records"
    if len(lists) > 1 or (not lists and len(pairs) > 1):
        raise _refusal(f"more than one format fits: {' and '.join(lists or pairs)} {seen}", head)
    if lists:
        chosen, reason = _turn_format(head, lists[0])
        if chosen is None:
            raise _refusal(f"{reason} {seen}", head)
        beside = f"; the fields of {', '.join(pairs)} beside it are not read" if pairs else ""
        return Choice(format=chosen, why=f"{reason} {seen}{beside}")
    if pairs:
        asked, answers = _PAIRS[pairs[0]]
        answer = next(key for key in answers if any(key in record for record in head))
        return Choice(format=pairs[0], why=f"{asked} and {answer} {seen}")
    raise _refusal(f"no known format fits {seen}", head)


def _turn_format(head: Sequence[dict[str, Any]], key: str) -> tuple[KnownFormat | None, str]:
    records = [record for record in head if _is_turn_list(record.get(key))]
    turns = [turn for record in records for turn in record[key]]
    if _mostly(["from" in turn and "value" in turn for turn in turns]):
        return "sharegpt", f"{key} with from and value"
    if not _mostly(["role" in turn for turn in turns]):
        return None, f"{key} has neither from and value nor role and content"
    if key == "messages" and all(_names_its_source(record) for record in records):
        return "canonical", "messages with role and content, and source is a name"
    return "openai", f"{key} with role and content"


def _mostly(findings: Sequence[bool]) -> bool:
    return 4 * sum(findings) >= 3 * len(findings)


def _names_its_source(record: dict[str, Any]) -> bool:
    source = record.get("source")
    return isinstance(source, str) and as_name(source) == source


def _is_turn_list(value: Any) -> bool:
    return (
        isinstance(value, list) and bool(value) and all(isinstance(t, dict) for t in cast(list[Any], value))
    )


def _has_pair(record: dict[str, Any], name: KnownFormat) -> bool:
    asked, answers = _PAIRS[name]
    return asked in record and any(key in record for key in answers)


def _fields(head: Sequence[dict[str, Any]]) -> str:
    counts: dict[str, int] = {}
    for record in head:
        for key in record:
            counts[key] = counts.get(key, 0) + 1
    names = [name if n == len(head) else f"{name} (in {n} of {len(head)})" for name, n in counts.items()]
    return ", ".join([*names[:40], "..."] if len(names) > 40 else names) or "none"


def _first_problem(files: Iterable[InputFile]) -> str:
    for file in files:
        for place, record in read_records(file):
            if not isinstance(record, dict):
                detail = f" ({record.detail})" if record.detail else ""
                return f"first problem: {file.label}:{place}: {record.reason}{detail}"
    return "its files are empty"


def _refusal(what: str, head: Sequence[dict[str, Any]]) -> DataError:
    return DataError(
        f"{what}; fields found: {_fields(head)}; known formats: {_SHAPES}; name the format of the source, or give "
        "it format: mapping with templates such as user: '{question}' and assistant: '{answer}'"
    )
