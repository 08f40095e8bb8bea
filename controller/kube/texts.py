"""Texts that pods and the Job controller leave behind: summaries, last lines, sentences with a code in them."""

import re
from collections.abc import Mapping
from typing import Any

import orjson

MAX_SENTENCE = 1000


def code_in(message: str) -> int | None:
    """Find the exit code in the sentence that the Job controller writes when a failure policy matched."""
    found = re.search(r"failed with exit code (\d{1,3})\b", message)
    return int(found.group(1)) if found else None


def json_object(text: object) -> Mapping[str, Any]:
    """Return the object in ``text``, empty when there is none."""
    if not isinstance(text, str) or not text:
        return {}
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError:
        return {}
    return value if isinstance(value, dict) else {}


def last_line(text: str) -> str:
    """Return the last line that names an error, else the last line."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    errors = [line for line in lines if line.startswith("error: ")]
    return (errors or lines or [""])[-1].removeprefix("error: ")


def one_line(text: str) -> str:
    """Return ``text`` on one line, cut to a length that fits a status."""
    return " ".join(text.split())[:MAX_SENTENCE]
