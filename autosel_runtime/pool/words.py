"""White-space words of many texts at once.

Notation
    n   texts
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

# What str.split() takes as white space below code point 128, as 0 and everything else as 1.
_SPACES = bytes(0 if chr(code).isspace() else 1 for code in range(128)) + bytes([1] * 128)


def count_words(texts: Sequence[str]) -> NDArray[np.uint32]:
    """Return ``len(text.split())`` of every text, uint32 [n].

    ASCII texts are joined and counted as starts of words in one pass; other texts are split, since Unicode has
    more kinds of white space.
    """
    counts = np.zeros(len(texts), dtype=np.uint32)
    plain = [i for i, text in enumerate(texts) if text.isascii()]
    if len(plain) < len(texts):
        for i, text in enumerate(texts):
            if not text.isascii():
                counts[i] = len(text.split())
    if not plain:
        return counts
    joined = "\n" + "\n".join(texts[i] for i in plain)
    inside = np.frombuffer(joined.encode("ascii").translate(_SPACES), dtype=np.uint8)
    starts = inside[1:] > inside[:-1]
    first = 0
    for i in plain:
        last = first + len(texts[i]) + 1
        counts[i] = np.count_nonzero(starts[first:last])
        first = last
    return counts
