"""Text templates over the fields of a record: data, never code.

``{field}``, ``{field.inner}`` and ``{field[0]}`` insert a value of the record, ``{{`` and ``}}`` are braces. A
name may hold any character but braces, brackets and dots. Nothing else exists: no attributes, no conversions,
no format specifications, no calls.
"""

import math
import re
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, cast

from autosel_runtime.errors import DataError
from autosel_runtime.pool.sample import RecordError

Path = tuple[str | int, ...]

_PART = re.compile(r"\{\{|\}\}|\{([^{}]*)\}|[{}]|[^{}]+")
_PATH = re.compile(r"[^{}\[\].]+(?:\.[^{}\[\].]+|\[\d{1,9}\])*")
_STEP = re.compile(r"\.?([^{}\[\].]+)|\[(\d+)\]")


@dataclass(frozen=True, kw_only=True)
class Template:
    """A parsed template: literal text and paths, in order."""

    text: str
    parts: tuple[str | Path, ...]

    @property
    def fields(self) -> frozenset[str]:
        """Top-level fields that the template reads."""
        return frozenset(str(part[0]) for part in self.parts if not isinstance(part, str))

    def render(self, record: dict[str, Any]) -> str:
        """Return the text for one record; RecordError when a field is missing or is not text."""
        return "".join(
            part if isinstance(part, str) else text_of(_look_up(record, part), _spell(part))
            for part in self.parts
        )

    def inserted(self, record: dict[str, Any], *, leave_out: Collection[str] = ()) -> list[str]:
        """Return the values that ``render`` inserts, in order, but those of the fields in ``leave_out``."""
        paths = [part for part in self.parts if not isinstance(part, str) and part[0] not in leave_out]
        return [text_of(_look_up(record, path), _spell(path)) for path in paths]


def parse_template(text: str) -> Template:
    """Return the parsed template; DataError says what is wrong and at which character (from 1)."""
    parts: list[str | Path] = []
    for found in _PART.finditer(text):
        piece = found[0]
        if piece in ("{{", "}}"):
            parts.append(piece[0])
        elif found[1] is not None:
            parts.append(_parse_path(found[1], text, found.start()))
        elif piece in ("{", "}"):
            raise DataError(
                f"template {text!r}: single {piece!r} at character {found.start() + 1}; write {piece * 2!r} for "
                "the brace itself or {field} for a value"
            )
        else:
            parts.append(piece)
    return Template(text=text, parts=tuple(parts))


def text_of(value: Any, name: str) -> str:
    """Return a record's value as text: text, a number, nothing for null, a list of these one a line.

    RecordError for an object, which has no text of its own.
    """
    if isinstance(value, str):
        return value
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float) and math.isfinite(value):
        # 2.0 is how tables with missing values write the number 2.
        return str(int(value)) if value.is_integer() and abs(value) < 2**53 else repr(value)
    if isinstance(value, list):
        return "\n".join(text_of(item, f"{name}[]") for item in cast(list[Any], value))
    kind = "an object" if isinstance(value, dict) else f"of type {type(value).__name__}"
    raise RecordError(f"field {name} is not text", f"it is {kind}")


def _parse_path(path: str, text: str, at: int) -> Path:
    if not _PATH.fullmatch(path):
        raise DataError(
            f"template {text!r}: {{{path}}} at character {at + 1} names no field; allowed are {{field}}, "
            "{field.inner} and {field[0]}"
        )
    return tuple(int(step[2]) if step[2] is not None else step[1] for step in _STEP.finditer(path))


def _look_up(record: dict[str, Any], path: Path) -> Any:
    value: Any = record
    for i, step in enumerate(path):
        if isinstance(step, str) and isinstance(value, dict) and step in value:
            value = cast(dict[str, Any], value)[step]
        elif isinstance(step, int) and isinstance(value, list) and step < len(cast(list[Any], value)):
            value = cast(list[Any], value)[step]
        else:
            names = [str(name) for name in cast(dict[Any, Any], value)] if isinstance(value, dict) else []
            found = f"there are: {', '.join(sorted(names))}" if names else f"found {type(value).__name__}"
            raise RecordError(f"field {_spell(path[: i + 1])} is missing", found)
    return value


def _spell(path: Path) -> str:
    steps = (f"[{step}]" if isinstance(step, int) else f".{step}" for step in path)
    return "".join(steps).removeprefix(".")
