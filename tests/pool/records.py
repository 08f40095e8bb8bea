"""Small records and files of them for the pool tests."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import orjson


def chat(question: str, answer: str) -> dict[str, Any]:
    """A record in openai format."""
    return {"messages": [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]}


def jsonl(records: Sequence[Any]) -> bytes:
    """Records as JSONL; bytes are taken as finished lines."""
    return b"".join(r + b"\n" if isinstance(r, bytes) else orjson.dumps(r) + b"\n" for r in records)


def rejects(out: Path) -> list[dict[str, Any]]:
    """Lines of the rejects file."""
    return [orjson.loads(line) for line in (out / "rejects.jsonl").read_bytes().splitlines()]
