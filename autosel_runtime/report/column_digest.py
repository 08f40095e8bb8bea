"""Digests of a pool's columns: the same values give the same digest on every machine.

Numbers are hashed as little-endian bytes of their stored type. A NaN marks a missing value and is hashed as one bit
pattern, whichever it had. A scalar's ranks follow from its values and are hashed too, since recipes read them.
"""

import hashlib
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from autosel_runtime.errors import DataError
from autosel_runtime.recipe.columns import Columns

_NAMES_A_BLOCK = 65_536


def ids_digest(ids: Sequence[str]) -> str:
    """Return SHA-256 over ``ids`` in order, each followed by a newline: the digest of a pool."""
    state = hashlib.sha256()
    for start in range(0, len(ids), _NAMES_A_BLOCK):
        state.update("".join(f"{one}\n" for one in ids[start : start + _NAMES_A_BLOCK]).encode())
    return f"sha256:{state.hexdigest()}"


def sources_digest(columns: Columns) -> str:
    """Return SHA-256 over the source names, one a line, and the source code of every row."""
    state = hashlib.sha256("".join(f"{name}\n" for name in columns.source_names).encode())
    _update(state, np.asarray(columns.source_codes, dtype="<u2"))
    return f"sha256:{state.hexdigest()}"


def column_digest(columns: Columns, name: str) -> str:
    """Return the digest of the scalar, groups, pairs or features called ``name``; DataError when there is none."""
    state = hashlib.sha256()
    if name not in columns.names:
        listed = ", ".join(sorted(columns.names)) or "none"
        raise DataError(f"column {name!r} does not exist; there are: {listed}")
    for read in (_scalar, _groups, _pairs, _features):
        try:
            kind, arrays = read(columns, name)
        except DataError:
            continue  # a name belongs to exactly one kind of column
        state.update(f"{kind}\n".encode())
        for array in arrays:
            _update(state, array)
        return f"sha256:{state.hexdigest()}"
    raise DataError(f"column {name!r} is neither a scalar nor groups, pairs or features")


def _scalar(columns: Columns, name: str) -> tuple[str, list[NDArray[Any]]]:
    column = columns.scalar(name)
    return "scalar", [_one_nan(column.values), np.asarray(column.ranks, dtype="<u4")]


def _groups(columns: Columns, name: str) -> tuple[str, list[NDArray[Any]]]:
    return "groups", [np.asarray(columns.groups(name), dtype="<i4")]


def _pairs(columns: Columns, name: str) -> tuple[str, list[NDArray[Any]]]:
    pairs = columns.pairs(name)
    arrays = [np.asarray(pairs.left, dtype="<u4"), np.asarray(pairs.right, dtype="<u4")]
    return "pairs", [*arrays, _one_nan(pairs.similarity), np.array([pairs.floor], dtype="<f8")]


def _features(columns: Columns, name: str) -> tuple[str, list[NDArray[Any]]]:
    csr = columns.features(name)
    arrays = [np.asarray(csr.indptr, dtype="<i8"), np.asarray(csr.indices, dtype="<u4")]
    return "features", [*arrays, _one_nan(csr.values), np.array([csr.width], dtype="<i8")]


def _one_nan(values: NDArray[np.float32]) -> NDArray[Any]:
    same = np.array(values, dtype="<f4")
    same[np.isnan(same)] = np.nan
    return same


def _update(state: Any, array: NDArray[Any]) -> None:
    # The length goes first, so that two arrays cannot be cut at another place into the same bytes.
    state.update(f"{array.dtype.str} {len(array)}\n".encode())
    state.update(np.ascontiguousarray(array).data)
