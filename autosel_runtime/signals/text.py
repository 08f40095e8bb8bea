"""The texts of a sample and their words: what every lexical signal starts from.

A word is a run of letters, digits and underscores, lower-cased; a Chinese or Japanese character is a word by
itself, since those scripts put no space between words. (Thai, Lao and Khmer have none either and are not split: a
clause is then one word.)

Words are known by a 64-bit hash of their UTF-8 bytes, never by Python's ``hash``, which changes from process to
process.

Notation
    n   samples of a batch
    t   words of the batch
"""

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import orjson
from numpy.typing import NDArray

from autosel_runtime.pool.sample import Sample

# Kana and ideographs, with extension A and compatibility forms.
_SINGLE = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
_WORD = re.compile(f"[{_SINGLE}]|[^\\W{_SINGLE}]+")

# ASCII text takes a path six times as fast: one table look-up a byte, then split at the blanks.
_ASCII_WORDS = bytes(
    ord(chr(code).lower()) if code < 128 and (chr(code).isalnum() or code == ord("_")) else ord(" ")
    for code in range(256)
)

# Hashing of words: a random value for each byte and an odd base with its inverse modulo 2^64.
_BYTE_VALUES = np.frombuffer(
    b"".join(hashlib.blake2b(bytes([code]), digest_size=8).digest() for code in range(256)), dtype="<u8"
).astype(np.uint64)
_BASE = 0x9E3779B97F4A7C15
_INVERSE = pow(_BASE, -1, 1 << 64)


def answer_text(sample: Sample) -> str | None:
    """Return the text of the answer, the last assistant turn; None when it is a bare tool call.

    Without an answer, every signal of the answer is missing.
    """
    content = sample.answer.content
    return content if content.strip() else None


def all_contents(sample: Sample) -> str:
    """Return the contents of all turns, joined by newlines."""
    return "\n".join(message.content for message in sample.messages)


def normalised(sample: Sample) -> str:
    """Return the text that decides whether two samples are *exact* duplicates.

    Lower case, white space collapsed, roles and turn boundaries kept; tool calls count, ids of calls do not.
    """
    turns: list[str] = []
    for message in sample.messages:
        turns.append(f"{message.role}\x1f{' '.join(message.content.lower().split())}")
        if message.tool_calls:
            calls = [_call_without_id(call) for call in message.tool_calls]
            turns.append(orjson.dumps(calls, option=orjson.OPT_SORT_KEYS).decode())
    return "\x1e".join(turns)


def text_hash(text: str) -> int:
    """Return a 64-bit hash of a text, the same in every process."""
    return int.from_bytes(
        hashlib.blake2b(text.encode(errors="surrogatepass"), digest_size=8).digest(), "little"
    )


def words_of(text: str) -> list[bytes]:
    """Return the lower-cased words of a text, as UTF-8, in order."""
    if text.isascii():
        return text.encode().translate(_ASCII_WORDS).split()
    return [word.encode(errors="surrogatepass") for word in _WORD.findall(text.lower())]


@dataclass(frozen=True, kw_only=True)
class WordBatch:
    """Words of n texts: text r has ``hashes[offsets[r]:offsets[r + 1]]``; uint64 [t], int64 [n + 1]."""

    hashes: NDArray[np.uint64]
    offsets: NDArray[np.int64]

    @property
    def lengths(self) -> NDArray[np.int64]:
        """Words of each text [n]."""
        return np.diff(self.offsets)

    def rows(self) -> NDArray[np.int64]:
        """Text number of each word [t]."""
        return np.repeat(np.arange(len(self.offsets) - 1), self.lengths)


def hash_words(texts: Sequence[str]) -> WordBatch:
    """Return the word hashes of ``texts``: mix(sum_k T[b_k] B^k) over the bytes b of a word, modulo 2^64.

    All words are hashed at once: with S_i = sum_{k < i} T[b_k] B^k over the bytes of the whole batch, the sum of
    the word at bytes i..j is (S_j - S_i) B^-i. B is odd, so it has an inverse.
    """
    lines = [_word_bytes(text) for text in texts]
    data = np.frombuffer(b" ".join([b"", *lines, b""]), dtype=np.uint8)
    inside = data != ord(" ")
    starts = np.flatnonzero(inside[1:] & ~inside[:-1]) + 1
    ends = np.flatnonzero(inside[:-1] & ~inside[1:]) + 1
    terms = _BYTE_VALUES[data]
    terms *= powers(_BASE, len(data))
    np.cumsum(terms, out=terms)
    sums = (terms[ends - 1] - terms[starts - 1]) * powers(_INVERSE, len(data))[starts]
    line_ends = np.cumsum(np.fromiter((len(line) + 1 for line in lines), dtype=np.int64, count=len(lines)))
    offsets = np.zeros(len(texts) + 1, dtype=np.int64)
    offsets[1:] = np.searchsorted(starts, line_ends, side="right")
    return WordBatch(hashes=mix(sums), offsets=offsets)


def _word_bytes(text: str) -> bytes:
    """Return the words of a text separated by blanks."""
    if text.isascii():
        return text.encode().translate(_ASCII_WORDS)
    return b" ".join(words_of(text))


_power_cache: dict[int, NDArray[np.uint64]] = {}


def powers(base: int, count: int) -> NDArray[np.uint64]:
    """Return base^0 .. base^(count - 1) modulo 2^64; kept, so not to be written to."""
    known = _power_cache.get(base)
    if known is None or len(known) < count:
        known = np.full(1 << max(count - 1, 1).bit_length(), base, dtype=np.uint64)
        known[0] = 1
        np.multiply.accumulate(known, out=known)
        _power_cache[base] = known
    return known[:count]


def mix(values: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Return the values with their bits spread (the finaliser of SplitMix64), a bijection."""
    mixed = values ^ (values >> np.uint64(30))
    mixed *= np.uint64(0xBF58476D1CE4E5B9)
    mixed ^= mixed >> np.uint64(27)
    mixed *= np.uint64(0x94D049BB133111EB)
    mixed ^= mixed >> np.uint64(31)
    return mixed


def _call_without_id(call: object) -> object:
    if not isinstance(call, dict):
        return call
    return {key: value for key, value in call.items() if key != "id"}
