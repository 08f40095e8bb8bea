"""JSON text as a stream of records' bytes, with bounded memory: lines of JSONL and elements of an array."""

import io
import re
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from autosel_runtime.errors import NoInputError
from autosel_runtime.pool.files import Compression

MAX_RECORD_BYTES = 16 * 1024 * 1024
BOM = b"\xef\xbb\xbf"
_BLOCK = 128 * 1024
_WHITE = b" \t\r\n"
# Only strings, brackets and commas matter; a lone quote starts a string that goes on past the buffer.
_TOKEN = re.compile(rb'"(?:[^"\\]++|\\.)*+"|["\[\]{},]', re.DOTALL)
_IN_STRING = re.compile(rb'(?:[^"\\]++|\\.)*+', re.DOTALL)
_OPENING, _CLOSING, _ENDING = (b"[", b"{"), (b"]", b"}"), (b"]", b"}", b",")


class TooLongError(ValueError):
    """A record is longer than MAX_RECORD_BYTES; ``start`` are its first bytes."""

    def __init__(self, start: bytes) -> None:
        self.start = start[:1024]
        super().__init__(f"the record is longer than {MAX_RECORD_BYTES // 2**20} MiB")


class ArrayError(ValueError):
    """The text is not one JSON array: it ends early or goes on after its end."""

    def __init__(self, message: str, start: bytes = b"") -> None:
        self.start = start[:1024]
        super().__init__(message)


@dataclass(frozen=True, kw_only=True)
class Source:
    """An opened file: buffered bytes after decompression, and the file as it lies on the disk."""

    stream: io.BufferedReader
    raw: io.FileIO

    def position(self) -> int:
        """Return how many bytes of the file have been read."""
        return self.raw.tell()


@contextmanager
def open_bytes(path: Path, compression: Compression | None) -> Generator[Source]:
    """Open ``path`` for buffered reading; a leading UTF-8 byte order mark is skipped.

    Reading raises OSError when the compressed data is damaged or ends early.
    """
    try:
        raw = io.FileIO(path)
    except OSError as error:
        raise NoInputError(f"{path} cannot be read: {error.strerror or error}") from None
    with raw:
        # Arrow's streams, unlike others, tell a compressed file that ends early from one that is complete.
        source: Any = pa.CompressedInputStream(pa.PythonFile(raw), compression) if compression else raw
        with io.BufferedReader(source, _BLOCK) as stream:
            if stream.peek(3)[:3] == BOM:
                stream.read(3)
            yield Source(stream=stream, raw=raw)


def first_byte(stream: io.BufferedReader) -> bytes:
    """Return the first byte that is not white space, without consuming anything but white space."""
    while True:
        ahead = stream.peek(1)
        if not ahead:
            return b""
        text = ahead.lstrip(_WHITE)
        stream.read(len(ahead) - len(text))
        if text:
            return text[:1]


def lines(stream: io.BufferedReader) -> Iterator[tuple[int, bytes | TooLongError]]:
    """Yield (1-based line, bytes) of every line that is not blank; one that is too long is never held."""
    number = 0
    while line := stream.readline(MAX_RECORD_BYTES):
        number += 1
        if len(line) == MAX_RECORD_BYTES and not line.endswith(b"\n"):
            rest = line
            while rest and not rest.endswith(b"\n"):
                rest = stream.readline(MAX_RECORD_BYTES)
            yield number, TooLongError(line)
        elif not line.isspace():
            yield number, line


def nothing_follows(rest: bytes) -> str | None:
    """Complain of any text after an array."""
    return "text goes on after the end of the array" if rest else None


def elements(
    stream: io.BufferedReader, wrong_end: Callable[[bytes], str | None] = nothing_follows
) -> Iterator[tuple[int, bytes | TooLongError | ArrayError]]:
    """Yield (0-based index, bytes) of every element of one JSON array, read block by block.

    Elements are cut where brackets and strings balance and are not checked here. The last item is an
    ArrayError when the array ends early, closes a bracket it never opened, or is followed by text that ``wrong_end``
    complains of.
    """
    first_byte(stream)
    stream.read(1)
    held = bytearray()
    index, depth, start, at = 0, 0, 0, 0
    in_string = False
    dropped = b""  # the first bytes of an element that is too long to be held
    while True:
        token = None
        if in_string:
            at = _IN_STRING.match(held, at).end()  # pyright: ignore[reportOptionalMemberAccess]
            if held.startswith(b'"', at):
                in_string, at = False, at + 1
        if not in_string:
            token = _TOKEN.search(held, at)
            at = token.end() if token is not None else len(held)
            in_string = token is not None and token[0] == b'"'
        if token is None or in_string:
            if at - start > MAX_RECORD_BYTES:
                dropped = dropped or bytes(held[start : start + 1024])
                start = at
            if start:
                del held[:start]
                at, start = at - start, 0
            block = stream.read1(_BLOCK)
            if not block:
                yield index, ArrayError("the array ends before its closing bracket", dropped or bytes(held))
                return
            held += block
            continue
        mark = token[0]
        if mark in _OPENING:
            depth += 1
        elif depth and mark in _CLOSING:
            depth -= 1
        elif not depth and mark in _ENDING:
            element = bytes(held[start : at - 1]).strip(_WHITE)
            start = at
            if mark == b"}":
                yield index, ArrayError("a bracket is closed that was never opened", element)
                return
            if dropped or len(element) > MAX_RECORD_BYTES:
                yield index, TooLongError(dropped or element)
            elif element or index or mark == b",":  # "[]" has no element, "[1,]" has an empty one
                yield index, element
            index, dropped = index + 1, b""
            if mark == b"]":
                rest = (bytes(held[at:]) + stream.read(_BLOCK)).strip(_WHITE)
                problem = wrong_end(rest)
                if problem is not None:
                    yield index, ArrayError(problem, rest)
                return
