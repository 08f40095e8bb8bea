"""Records of one input file, whatever its form; what cannot be read becomes a ``Broken`` with its place."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import orjson

from autosel_runtime.pool.files import InputFile
from autosel_runtime.pool.json_form import JsonForm, after_list, json_form
from autosel_runtime.pool.streams import (
    MAX_RECORD_BYTES,
    ArrayError,
    Source,
    TooLongError,
    elements,
    lines,
    open_bytes,
)
from autosel_runtime.pool.tables import UnreadableTableError, arrow_rows, parquet_rows

PREVIEW_CHARACTERS = 200
_REPORT_EVERY = 512


@dataclass(frozen=True, kw_only=True, slots=True)
class Broken:
    """A record that cannot be read: a phrase that can be counted, what was found, how the record starts."""

    reason: str
    detail: str
    text: str


def counts_lines(file: InputFile) -> bool:
    """Tell whether places in this file are 1-based lines; otherwise they are 0-based record numbers."""
    if file.is_table:
        return False
    try:
        return json_form(file).kind == "lines"
    except OSError:
        return True


def read_records(
    file: InputFile, report: Callable[[int], None] = lambda _: None
) -> Iterator[tuple[int, dict[str, Any] | Broken]]:
    """Yield (place, record) of every record of ``file`` in order; one that cannot be read is a Broken.

    Place is the 1-based line of JSONL, the 0-based index of an array's element or a table's row; the array may be
    the one list of objects inside an object. ``report``
    is told from time to time how many bytes of the file have been read. Damage that ends the file early is
    one Broken at the place where it was met. NoInputError when the file cannot be opened.
    """
    if file.is_table:
        yield from _table_records(file, report)
    else:
        yield from _json_records(file, report)


def preview(record: Any) -> str:
    """Return the first characters of a record, for the rejects."""
    if isinstance(record, bytes):
        return record[: 4 * PREVIEW_CHARACTERS].decode("utf-8", "replace")[:PREVIEW_CHARACTERS]
    try:
        text = orjson.dumps(record, default=str, option=orjson.OPT_NON_STR_KEYS).decode()
    except (TypeError, ValueError, RecursionError):
        text = repr(record)
    return text[:PREVIEW_CHARACTERS]


def _json_records(
    file: InputFile, report: Callable[[int], None]
) -> Iterator[tuple[int, dict[str, Any] | Broken]]:
    place, unit = 0, "line"  # the last good record
    try:
        form = json_form(file)
        if form.kind != "lines":
            place, unit = -1, "record"
        if form.kind == "object":
            yield 0, _one_object(file)
            return
        with open_bytes(file.path, file.compression) as source:
            for place, item in _pieces(form, source):
                if isinstance(item, bytes):
                    try:
                        record = orjson.loads(item)
                    except orjson.JSONDecodeError:
                        yield place, _not_json(item.strip())
                        continue
                    if type(record) is dict:
                        yield place, record
                    else:
                        yield place, _not_an_object(record, item)
                elif isinstance(item, TooLongError):
                    limit = f"the limit is {MAX_RECORD_BYTES // 2**20} MiB"
                    text = preview(item.start)
                    yield place, Broken(reason="the record is too long", detail=limit, text=text)
                else:
                    yield place, Broken(reason=str(item), detail="", text=preview(item.start))
                if place % _REPORT_EVERY == 0:
                    report(source.position())
    except OSError as error:
        first = 1 if unit == "line" else 0
        read = (
            f"{unit} {place} is the last that could be read" if place >= first else f"no {unit} could be read"
        )
        detail = f"{read}: {' '.join(str(error).split())}"
        yield place + 1, Broken(reason="the file is damaged or ends early", detail=detail, text="")


def _one_object(file: InputFile) -> Broken:
    with open_bytes(file.path, file.compression) as source:
        start = source.stream.read(4 * PREVIEW_CHARACTERS)
    return Broken(
        reason="the file is one JSON object over several lines",
        detail='records are one object a line, or a list of objects: [...] or {"data": [...]}',
        text=preview(start),
    )


def _pieces(form: JsonForm, source: Source) -> Iterator[tuple[int, bytes | TooLongError | ArrayError]]:
    if form.kind == "lines":
        return lines(source.stream)
    if form.kind == "array":
        return elements(source.stream)
    source.stream.read(form.start)
    return elements(source.stream, after_list)


def _not_json(item: bytes) -> Broken:
    detail = "the record is empty"
    try:
        orjson.loads(item.decode("utf-8"))
    except UnicodeDecodeError as problem:
        detail = f"byte 0x{item[problem.start]:02x} at position {problem.start}"
        return Broken(reason="not UTF-8", detail=detail, text=preview(item))
    except orjson.JSONDecodeError as error:
        if item:
            detail = f"{error.msg} at character {error.pos}"
    return Broken(reason="not valid JSON", detail=detail, text=preview(item))


def _not_an_object(record: Any, item: bytes) -> Broken:
    kinds = {list: "an array", str: "a string", bool: "true or false", type(None): "null"}
    detail = f"found {kinds.get(type(record), 'a number')}"
    return Broken(reason="the record is not a JSON object", detail=detail, text=preview(item))


def _table_records(
    file: InputFile, report: Callable[[int], None]
) -> Iterator[tuple[int, dict[str, Any] | Broken]]:
    rows = parquet_rows if file.is_table == "parquet" else arrow_rows
    place = -1
    try:
        for place, record in rows(file.path, report):
            if isinstance(record, UnicodeError):
                yield place, Broken(reason="not UTF-8", detail=str(record), text="")
            else:
                yield place, record
    except UnreadableTableError as error:
        yield place + 1, Broken(reason="the file is damaged or ends early", detail=str(error), text="")
