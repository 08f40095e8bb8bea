"""Work over the rows of a pool in spans that fit a processor's cache, on any number of threads.

numpy releases the interpreter lock in its loops, so threads help. Spans have a fixed size and their results are
returned in row order: no result depends on the number of threads.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import numpy as np

from autosel_runtime.recipe.mask import Bools, Rows
from autosel_runtime.recipe.model import Mask

T = TypeVar("T")

SPAN = 1 << 17  # rows; a multiple of 8, so that spans own whole bytes of a mask


def map_spans(work: Callable[[int, int], T], n: int, *, threads: int = 1) -> list[T]:
    """Return ``work(low, high)`` for every span of ``n`` rows, in row order."""
    starts = range(0, n, SPAN)
    ends = [min(start + SPAN, n) for start in starts]
    if threads <= 1 or len(ends) <= 1:
        return [work(low, high) for low, high in zip(starts, ends, strict=True)]
    with ThreadPoolExecutor(min(threads, len(ends))) as executor:
        return list(executor.map(work, starts, ends))


def span_rows(mask: Mask, low: int, high: int) -> Rows:
    """Return the rows of the mask in ``low`` <= row < ``high``; ``low`` is a multiple of 8."""
    part = np.unpackbits(mask[low // 8 : (high + 7) // 8], count=high - low, bitorder="little")
    found = np.flatnonzero(part.view(np.bool_))
    found += low
    return found


def where(n: int, test: Callable[[int, int], Bools], *, threads: int = 1) -> Mask:
    """Return the mask of the rows for which ``test(low, high)``, booleans of that span, holds."""
    mask = np.empty((n + 7) // 8, dtype=np.uint8)

    def pack(low: int, high: int) -> None:
        mask[low // 8 : (high + 7) // 8] = np.packbits(test(low, high), bitorder="little")

    map_spans(pack, n, threads=threads)
    return mask
