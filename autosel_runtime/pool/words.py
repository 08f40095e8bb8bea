"""White-space words of many texts at once.

Notation
    n   texts
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

# What str.split() takes as white space below code point 128, as 0 and everything else as 1.
_SPACES = bytes(0 if chr(code).isspace() else 1 for code in range(128)) + bytes([1] * 128)
_BLOCK = 64 * 1024


def count_words(texts: Sequence[str]) -> NDArray[np.uint32]:
    """Return ``len(text.split())`` of every text, uint32 [n].

    ASCII texts are joined and counted as starts of words, a block that fits the processor's cache at a time;
    other texts are split, since Unicode has more kinds of white space.
    """
    counts = np.zeros(len(texts), dtype=np.uint32)
    block: list[int] = []
    size = 0
    for i, text in enumerate(texts):
        if not text.isascii():
            counts[i] = len(text.split())
            continue
        block.append(i)
        size += len(text)
        if size >= _BLOCK:
            _count_ascii(texts, block, counts)
            block, size = [], 0
    _count_ascii(texts, block, counts)
    return counts


def _count_ascii(texts: Sequence[str], block: list[int], counts: NDArray[np.uint32]) -> None:
    joined = "\n".join(["", *[texts[i] for i in block]])
    inside = np.frombuffer(joined.encode("ascii").translate(_SPACES), dtype=np.uint8)
    starts = inside[1:] > inside[:-1]
    first = 0
    for i in block:
        last = first + len(texts[i]) + 1
        counts[i] = np.count_nonzero(starts[first:last])
        first = last
