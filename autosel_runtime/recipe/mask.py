"""Subsets as packed bits over pool rows, and the algebra on them.

Notation
    n      rows of the pool
    mask   uint8 [ceil(n / 8)], little bit order: row r is bit r % 8 of byte r // 8; bits past row n - 1 are 0
"""

import hashlib
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from autosel_runtime.errors import DataError
from autosel_runtime.recipe.model import Mask

Rows = NDArray[np.int64]
Bools = NDArray[np.bool_]


def empty(n: int) -> Mask:
    """Return the mask of no row."""
    return np.zeros((n + 7) // 8, dtype=np.uint8)


def full(n: int) -> Mask:
    """Return the mask of all ``n`` rows."""
    mask = np.full((n + 7) // 8, 0xFF, dtype=np.uint8)
    if n % 8:
        mask[-1] = (1 << n % 8) - 1
    return mask


def from_rows(rows: NDArray[np.integer], n: int) -> Mask:
    """Return the mask of the given rows, in any order; repetitions count once."""
    bits = np.zeros(n, dtype=np.bool_)
    bits[rows] = True
    return from_bools(bits)


def from_bools(bits: Bools) -> Mask:
    """Pack booleans [n]."""
    return np.packbits(bits, bitorder="little")


def to_bools(mask: Mask, n: int) -> Bools:
    """Unpack to booleans [n]."""
    return np.unpackbits(mask, count=n, bitorder="little").view(np.bool_)


def rows_of(mask: Mask, n: int) -> Rows:
    """Return the rows in the mask, ascending."""
    return np.flatnonzero(to_bools(mask, n))


def count(mask: Mask) -> int:
    """Return the number of rows in the mask."""
    even = len(mask) // 8 * 8
    # Counting eight bytes at a time is several times faster than byte by byte.
    words = int(np.bitwise_count(mask[:even].view(np.uint64)).sum(dtype=np.int64))
    return words + int(np.bitwise_count(mask[even:]).sum(dtype=np.int64))


def contains(mask: Mask, rows: NDArray[np.integer]) -> Bools:
    """Return for each of the given rows whether it is in the mask."""
    return (mask[rows >> 3] >> (rows & 7).astype(np.uint8) & 1).astype(np.bool_)


def both(a: Mask, b: Mask) -> Mask:
    """Return the rows in ``a`` and in ``b``."""
    return a & b


def either(a: Mask, b: Mask) -> Mask:
    """Return the rows in ``a`` or in ``b``."""
    return a | b


def without(a: Mask, b: Mask) -> Mask:
    """Return the rows in ``a`` that are not in ``b``."""
    return a & ~b


def is_subset(a: Mask, b: Mask) -> bool:
    """Return whether every row in ``a`` is in ``b``."""
    return not bool(np.any(a & ~b))


def read_only(mask: Mask) -> Mask:
    """Return a copy that cannot be written, nor be made writeable: its bytes are immutable."""
    return np.frombuffer(mask.tobytes(), dtype=mask.dtype)


def check(mask: object, n: int, what: str) -> None:
    """Raise DataError unless ``mask`` is a packed mask over ``n`` rows; ``what`` names it in the message."""
    if not isinstance(mask, np.ndarray):  # from an operator of an extension
        raise DataError(f"{what} is no mask: it is a {type(mask).__name__}, expected packed bits as uint8")
    if mask.dtype != np.uint8 or mask.shape != ((n + 7) // 8,):
        raise DataError(
            f"{what} is no mask over {n} rows: it has type {mask.dtype} and shape {mask.shape}, "
            f"expected uint8 and ({(n + 7) // 8},)"
        )
    if n % 8 and int(mask[-1]) >> n % 8:
        raise DataError(f"{what} is no mask over {n} rows: it has bits past the last row")


def subset_digest(ids: Sequence[str], mask: Mask) -> str:
    """Return the identity of a subset: SHA-256 over its ids, sorted, each followed by a newline.

    ``ids``: id of every pool row [n]. The order of the pool does not matter, so a subset keeps its digest when
    the pool is reordered or grows. For many subsets of one pool use ``subset_digester``.
    """
    chosen = sorted(str(ids[row]) for row in rows_of(mask, len(ids)).tolist())
    return _digest_lines([f"{one}\n".encode() for one in chosen])


def subset_digester(ids: Sequence[str]) -> Callable[[Mask], str]:
    """Return ``subset_digest`` for one pool, its ids sorted once and for all: for many subsets of a million rows.

    Ids hold no NUL character; memory is that of the longest id for every row.
    """
    n = len(ids)
    order = _text_order(ids)
    texts = [f"{ids[row]}\n".encode() for row in order.tolist()]
    lines = np.array(texts or [b""], dtype=np.bytes_)[:n]
    padded = any(len(text) < lines.itemsize for text in texts)

    def digest(mask: Mask) -> str:
        text = lines.take(np.flatnonzero(to_bools(mask, n)[order])).tobytes()
        return _sha256(text.translate(None, b"\0") if padded else text)

    return digest


def _text_order(ids: Sequence[str]) -> Rows:
    """Return the rows in the order of their ids: by the first eight bytes as one number, then what they leave equal."""
    starts = np.array([one.encode()[:8] for one in ids] or [b""], dtype="S8")[: len(ids)]
    numbers = starts.view(">u8").astype(np.uint64)
    order = np.argsort(numbers, kind="stable").astype(np.int64)
    same = np.diff(numbers[order]) == 0
    tied = np.zeros(len(ids), dtype=np.bool_)
    tied[1:] |= same
    tied[:-1] |= same
    order[tied] = sorted(order[tied].tolist(), key=ids.__getitem__)
    return order


def _digest_lines(lines: Sequence[bytes]) -> str:
    return _sha256(b"".join(lines))


def _sha256(text: bytes) -> str:
    return f"sha256:{hashlib.sha256(text).hexdigest()}"
