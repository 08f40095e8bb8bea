"""Identity: canonical JSON and SHA-256, the base of every digest and cache key.

Two values have one digest exactly if they have one canonical JSON text: keys sorted, no white space,
shortest float form, UTF-8. ``1`` and ``1.0`` differ; models decide which of the two a field holds.
"""

import hashlib
import math
from pathlib import Path
from typing import Any

import orjson


def canonical_json(value: Any) -> bytes:
    """Return the canonical JSON text of ``value``; NaN and infinities are refused (ValueError)."""
    _refuse_non_finite(value)
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)


def digest(value: Any) -> str:
    """Return ``sha256:<64 hex>`` of the canonical JSON of ``value``."""
    return digest_bytes(canonical_json(value))


def digest_bytes(data: bytes) -> str:
    """Return ``sha256:<64 hex>`` of raw bytes."""
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def digest_file(path: Path) -> str:
    """Return ``sha256:<64 hex>`` of a file's content, read in blocks."""
    with path.open("rb") as stream:
        return f"sha256:{hashlib.file_digest(stream, 'sha256').hexdigest()}"


def short(value: str, length: int = 12) -> str:
    """Return the first ``length`` hex digits of a digest, for names and screens."""
    return value.removeprefix("sha256:")[:length]


def _refuse_non_finite(value: Any) -> None:
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError("NaN and infinity have no canonical JSON")
    if isinstance(value, dict):
        for item in value.values():
            _refuse_non_finite(item)
    elif isinstance(value, list | tuple):
        for item in value:
            _refuse_non_finite(item)
