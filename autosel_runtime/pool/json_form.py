"""How a JSON file holds its records: as lines, as an array, or as the one list inside an object.

Names settle little: ``.json`` is used for all of these. A file of lines is never taken for anything else: its first
line is a whole JSON value and more text follows, or it is broken in a way that no object over several lines is.
"""

import re
from dataclasses import dataclass
from typing import Any, Literal, cast

import orjson

from autosel_runtime.pool.files import InputFile
from autosel_runtime.pool.streams import MAX_RECORD_BYTES, first_byte, open_bytes

# An object with one of these fields is a record, whatever lists it has.
RECORD_FIELDS = frozenset({"messages", "conversations", "conversation", "instruction", "prompt", "question"})
# Where the list of records must have begun.
HEAD_BYTES = 1024 * 1024
_TOKEN = re.compile(rb'"(?:[^"\\]++|\\.)*+"|[\[\]{}:,]', re.DOTALL)
_OPEN_ENDS = (b"{", b"[", b",", b":")


@dataclass(frozen=True, kw_only=True)
class JsonForm:
    """``list``: an object with a list of records, whose bracket is at byte ``start`` of the text; ``object``: one
    without."""

    kind: Literal["lines", "array", "list", "object"]
    start: int = 0


LINES = JsonForm(kind="lines")


def json_form(file: InputFile) -> JsonForm:
    """Return the form of a file that is no table. OSError when it cannot be read or decompressed."""
    if file.lines_only:
        return LINES
    with open_bytes(file.path, file.compression) as source:
        if first_byte(source.stream) != b"{":
            return JsonForm(kind="array") if first_byte(source.stream) == b"[" else LINES
        line = source.stream.readline(MAX_RECORD_BYTES)
        more = bool(first_byte(source.stream))
    try:
        record = orjson.loads(line)
    except orjson.JSONDecodeError:
        cut = len(line) == MAX_RECORD_BYTES
        return _object_form(file) if cut or line.rstrip().endswith(_OPEN_ENDS) else LINES
    if more or not record_lists(record):
        return LINES
    return _object_form(file)


def record_lists(value: Any) -> list[str]:
    """Return the names of the lists of objects in an object that is no record itself."""
    if not isinstance(value, dict) or RECORD_FIELDS & cast(dict[str, Any], value).keys():
        return []
    fields = cast(dict[str, Any], value).items()
    return [key for key, found in fields if isinstance(found, list) and found and _is_object(found)]


def _is_object(found: list[Any]) -> bool:
    return isinstance(found[0], dict)


def _object_form(file: InputFile) -> JsonForm:
    with open_bytes(file.path, file.compression) as source:
        head = source.stream.read(HEAD_BYTES)
    start = _first_list(head)
    return JsonForm(kind="object") if start is None else JsonForm(kind="list", start=start)


def _first_list(head: bytes) -> int | None:
    """Return where the first list of objects begins among the fields of the object that ``head`` starts with."""
    depth = 0
    key = b""
    before = b""
    for token in _TOKEN.finditer(head):
        mark = token[0]
        if depth == 1 and mark == b":":
            key = before
            if key[1:-1].decode(errors="replace") in RECORD_FIELDS:
                return None
        elif depth == 1 and mark == b"[" and before == b":" and head[token.end() :].lstrip()[:1] == b"{":
            return token.start()
        if mark in (b"{", b"["):
            depth += 1
        elif mark in (b"}", b"]"):
            depth -= 1
            if not depth:
                return None
        before = mark
    return None


def after_list(rest: bytes) -> str | None:
    """Say what is wrong with the text after the list of an object; None when the object ends there properly."""
    text = rest.strip()
    if text.startswith(b","):
        text = text[1:]
    try:
        fields = orjson.loads(b"{" + text)
    except orjson.JSONDecodeError:
        return (
            "text goes on after the list of records" if text else "the object ends before its closing brace"
        )
    others = record_lists(fields) or sorted(RECORD_FIELDS & fields.keys())
    if others:
        return f"the object has more than one list of records; {others[0]} is another"
    return None
