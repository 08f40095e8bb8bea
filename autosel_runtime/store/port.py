"""The store: four operations on keys, all that the rest of autosel knows of object storage.

Keys are relative POSIX paths of plain characters, so that one key works as an object name, as a file name and
in a log line. A key is written whole or not at all, and a reader sees the old content or the new.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Protocol

from autosel_runtime.errors import DataError

MAX_KEY_LENGTH = 512
MAX_SEGMENT_LENGTH = 200
# First segment under which a store keeps its own unfinished work; never a key.
RESERVED_SEGMENT = ".partial"

_SEGMENT = re.compile(r"[A-Za-z0-9_.~+=@,:!()'-]+")


class Store(Protocol):
    """Object storage. Every operation may raise TransientError (try again) or ConfigError (mend it)."""

    @property
    def uri(self) -> str:
        """Where the store lies, for people and logs; without credentials."""
        ...

    def open(self, key: str) -> BinaryIO:
        """Return a seekable binary stream of the object; NoInputError when it does not exist."""
        ...

    def put(self, key: str, source: bytes | Path, *, if_absent: bool = False) -> bool:
        """Write an object from bytes or from a file. True when written.

        With ``if_absent`` at most one of any number of concurrent writers gets True; False means that the
        object existed. OutputError when the store cannot take it (full, not writable).
        """
        ...

    def list(self, prefix: str) -> Iterator[str]:
        """Yield the keys in folder ``prefix`` and below it, in byte order; all keys for the empty prefix."""
        ...

    def delete(self, key: str) -> None:
        """Remove an object; nothing happens when it does not exist."""
        ...


def check_key(key: str) -> str:
    """Return ``key`` if it is valid, else raise DataError.

    Valid: 1 to 512 characters, segments of 1 to 200 letters, digits and ``_.~+=@,:!()'-`` separated by ``/``; no
    segment is ``.`` or ``..``, and the first is not reserved.
    """
    problem = None
    segments = key.split("/")
    if not key:
        problem = "is empty"
    elif len(key) > MAX_KEY_LENGTH:
        problem = f"has {len(key)} characters, at most {MAX_KEY_LENGTH} are allowed"
    elif key.startswith("/"):
        problem = "starts with /, keys are relative"
    elif any(segment in ("", ".", "..") for segment in segments):
        problem = "has an empty segment, . or .."
    elif any(len(segment) > MAX_SEGMENT_LENGTH for segment in segments):
        problem = f"has a segment of more than {MAX_SEGMENT_LENGTH} characters"
    elif any(_SEGMENT.fullmatch(segment) is None for segment in segments):
        problem = "has characters other than letters, digits and _.~+=@,:!()'-"
    elif segments[0] == RESERVED_SEGMENT:
        problem = f"starts with {RESERVED_SEGMENT}/, which is the store's own"
    if problem is not None:
        raise DataError(f"store key {key[:80]!r} {problem}")
    return key


def check_prefix(prefix: str) -> str:
    """Return ``prefix`` without a closing slash if it is empty or a valid key, else raise DataError."""
    prefix = prefix.removesuffix("/")
    return check_key(prefix) if prefix else ""


def read_bytes(store: Store, key: str, *, limit: int | None = None) -> bytes:
    """Return an object's content; DataError when it is longer than ``limit`` bytes."""
    with store.open(key) as stream:
        if limit is None:
            return stream.read()
        data = stream.read(limit + 1)
    if len(data) > limit:
        raise DataError(f"object {key} in {store.uri} is longer than {limit:,} bytes")
    return data
