"""Greedy deduplication over stored groups and similar pairs, without a loop over rows.

Notation
    class   rows that are equal (similarity 1); pairs join classes, see ``Pairs``
    node    row that occurs in a pair, numbered 0..q-1 in pool order
    order   rows in order of preference: by score if asked for, then by pool order

The rule: rows are visited in order, and a row is dropped if it is similar to a row that was kept. A class acts
through its first row in order: if that is kept, the others equal a kept row; if it is dropped, so are they.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from autosel_runtime.recipe import mask as masks
from autosel_runtime.recipe.columns import Pairs, first_equal
from autosel_runtime.recipe.mask import Bools, Rows
from autosel_runtime.recipe.model import Mask
from autosel_runtime.recipe.selection import Direction

Nodes = NDArray[np.int64]

# Rounds of the vectorised greedy rule before the rest, long chains only, is settled one edge at a time.
ROUNDS = 64
# Rows that are looked at together where a pool may be large.
BLOCK = 1 << 20


@dataclass(frozen=True, kw_only=True)
class Neighbourhood:
    """Similar pairs by node. ``rows`` [q] of the nodes; ``leader`` [q] the class of each, named by its first
    node; ``left``, ``right`` classes of the pairs of unequal rows, with their ``similarity``."""

    rows: Rows
    leader: Nodes
    left: Nodes
    right: Nodes
    similarity: NDArray[np.float32]


@dataclass(frozen=True, kw_only=True)
class Repeats:
    """Rows whose group has more than one row. ``rows`` ascending, ``group`` renumbered from 0."""

    rows: Rows
    group: Nodes
    groups: int


def neighbourhood(pairs: Pairs, n: int) -> Neighbourhood:
    """Renumber pairs by node, once for a pool of ``n`` rows."""
    nodes = np.unique(np.concatenate([pairs.left, pairs.right])).astype(np.int64)
    first = first_equal(pairs, n)[nodes]
    leader = np.searchsorted(nodes, first)
    unequal = pairs.similarity < 1.0
    return Neighbourhood(
        rows=nodes,
        leader=leader,
        left=leader[np.searchsorted(nodes, pairs.left[unequal])],
        right=leader[np.searchsorted(nodes, pairs.right[unequal])],
        similarity=pairs.similarity[unequal],
    )


def repeats(group: NDArray[np.int32]) -> Repeats:
    """Find the rows that share their group with another row; a negative group number means no group."""
    size = int(group.max(initial=-1)) + 1
    n = len(group)
    first = np.zeros(size, dtype=np.uint32)
    last = np.zeros(size, dtype=np.uint32)
    spans = [(low, min(low + BLOCK, n)) for low in range(0, n, BLOCK)]
    for low, high in spans:
        rows, numbers = _grouped(group, low, high)
        last[numbers] = rows
    for low, high in reversed(spans):
        rows, numbers = _grouped(group, low, high)
        first[numbers[::-1]] = rows[::-1]  # of several writes to one place the last one stays
    found: list[Rows] = [np.zeros(0, dtype=np.int64)]
    for low, high in spans:
        rows, numbers = _grouped(group, low, high)
        found.append(rows[first[numbers] != last[numbers]])
    rows = np.concatenate(found)
    names, numbers = np.unique(group[rows], return_inverse=True)
    return Repeats(rows=rows, group=numbers.astype(np.int64), groups=len(names))


def _grouped(group: NDArray[np.int32], low: int, high: int) -> tuple[Rows, NDArray[np.int32]]:
    """Return the rows of a span that have a group, and their groups."""
    numbers = group[low:high]
    inside = np.flatnonzero(numbers >= 0)
    return inside + low, numbers[inside]


def drop_repeats(
    mask: Mask, n: int, known: Repeats, score: NDArray[np.float32] | None, direction: Direction
) -> Mask:
    """Return the rows of the mask to drop so that one row of every group is left: the first in order."""
    inside = masks.contains(mask, known.rows)
    rows, group = known.rows[inside], known.group[inside]
    order = _order(rows, score, direction)
    best = _first_of_each(group, order, known.groups)
    drop = np.ones(len(rows), dtype=np.bool_)
    drop[best[best >= 0]] = False
    return masks.from_rows(rows[drop], n)


def drop_similar(
    mask: Mask,
    n: int,
    known: Neighbourhood,
    threshold: float,
    score: NDArray[np.float32] | None,
    direction: Direction,
) -> Mask:
    """Return the rows of the mask to drop so that no two rows are left whose similarity reaches ``threshold``
    and every dropped row is similar to a kept one."""
    inside = np.flatnonzero(masks.contains(mask, known.rows))
    order = inside[_order(known.rows[inside], score, direction)]
    best = _first_of_each(
        known.leader[order], np.arange(len(order)), len(known.rows)
    )  # position of each class
    edge = (known.similarity >= np.float32(threshold)) & (best[known.left] >= 0) & (best[known.right] >= 0)
    left, right = known.left[edge], known.right[edge]
    swap = best[left] > best[right]
    earlier, later = np.where(swap, right, left), np.where(swap, left, right)
    dropped = greedy_drop(earlier, later, best)
    keep = np.zeros(len(known.rows), dtype=np.bool_)
    kept_classes = np.flatnonzero((best >= 0) & ~dropped)
    keep[order[best[kept_classes]]] = True
    return masks.from_rows(known.rows[inside[~keep[inside]]], n)


def greedy_drop(earlier: Nodes, later: Nodes, position: Nodes) -> Bools:
    """Return for each node whether the greedy rule drops it.

    ``earlier``, ``later``: edges, each from the node visited first; ``position`` [q] of each node in the order.
    In every round the nodes with no open earlier neighbour are kept and their neighbours dropped.
    """
    dropped = np.zeros(len(position), dtype=np.bool_)
    for _ in range(ROUNDS):
        if not len(earlier):
            return dropped
        waits = np.zeros(len(position), dtype=np.bool_)
        waits[later] = True
        dropped[later[~waits[earlier]]] = True
        still = waits[earlier] & ~dropped[earlier] & ~dropped[later]
        earlier, later = earlier[still], later[still]
    for index in np.lexsort((position[earlier], position[later])).tolist():
        # Edges come by their later node, so whether the earlier one is dropped is settled by now.
        if not dropped[earlier[index]]:
            dropped[later[index]] = True
    return dropped


def _order(rows: Rows, score: NDArray[np.float32] | None, direction: Direction) -> NDArray[np.intp]:
    """Return indices of ``rows`` (ascending) in order of preference; rows without a score come last."""
    if score is None:
        return np.arange(len(rows))
    value = score[rows].astype(np.float64)
    return np.argsort(np.nan_to_num(-value if direction == "highest" else value, nan=np.inf), kind="stable")


def _first_of_each(group: Nodes, order: NDArray[np.intp], groups: int) -> Nodes:
    """Return for each group [groups] its first member in ``order`` (indices into ``group``), -1 without one."""
    best = np.full(groups, -1, dtype=np.int64)
    best[group[order][::-1]] = order[::-1]  # of several writes to one place the last one stays
    return best
