"""The difference of two recipes as typed edits: what was inserted, deleted, retuned, replaced or swapped.

Notation
    a, b     steps of the parent (length p) and of the child (length q)
    c[i,j]   least cost to turn the first i steps of a into the first j steps of b

An equal step costs nothing, a retuned one (same operator) 1, an inserted or deleted one 1, a replaced one 1.5: more
than one edit, less than the two it stands for. It is the alignment of Wagner and Fischer (1974). Two steps that
changed places are one swap. Recipes have at most 16 steps, so p·q is small.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from autosel_runtime.api.search import Recipe, RecipeStep
from autosel_runtime.digest import canonical_json

RETUNE, GAP, REPLACE = 1.0, 1.0, 1.5
EditKind = Literal["insert", "delete", "retune", "replace", "swap"]


@dataclass(frozen=True, kw_only=True)
class StepEdit:
    """One edit. ``old`` and ``new`` are places (from 0) in the parent and in the child, None where it has no such
    step; of a swap they are the two places."""

    kind: EditKind
    old: int | None
    new: int | None


def difference(parent: Recipe, child: Recipe) -> tuple[StepEdit, ...]:
    """Return the edits that lead from ``parent`` to ``child``, in order of the child's steps; empty if equal."""
    a, b = parent.steps, child.steps
    swap = _swap(a, b)
    return (swap,) if swap is not None else tuple(_alignment(a, b))


def same_step(one: RecipeStep, other: RecipeStep) -> bool:
    """Return whether two steps have one operator and the same parameters."""
    return one.operator == other.operator and canonical_json(one.params) == canonical_json(other.params)


def _swap(a: Sequence[RecipeStep], b: Sequence[RecipeStep]) -> StepEdit | None:
    """Return the swap if one swap is the whole difference."""
    if len(a) != len(b):
        return None
    moved = [i for i in range(len(a)) if not same_step(a[i], b[i])]
    if len(moved) != 2:
        return None
    i, j = moved
    if not (same_step(a[i], b[j]) and same_step(a[j], b[i])):
        return None
    return StepEdit(kind="swap", old=i, new=j)


def _alignment(a: Sequence[RecipeStep], b: Sequence[RecipeStep]) -> list[StepEdit]:
    cost = _costs(a, b)
    found: list[StepEdit] = []
    i, j = len(a), len(b)
    while i or j:
        if i and j and cost[i][j] == cost[i - 1][j - 1] + _pair_cost(a[i - 1], b[j - 1]):
            i, j = i - 1, j - 1
            if not same_step(a[i], b[j]):
                kind: EditKind = "retune" if a[i].operator == b[j].operator else "replace"
                found.append(StepEdit(kind=kind, old=i, new=j))
        elif i and cost[i][j] == cost[i - 1][j] + GAP:
            i -= 1
            found.append(StepEdit(kind="delete", old=i, new=None))
        else:
            j -= 1
            found.append(StepEdit(kind="insert", old=None, new=j))
    return found[::-1]


def _costs(a: Sequence[RecipeStep], b: Sequence[RecipeStep]) -> list[list[float]]:
    cost = [[GAP * (i + j) for j in range(len(b) + 1)] for i in range(len(a) + 1)]
    for i in range(1, len(a) + 1):
        for j in range(1, len(b) + 1):
            cost[i][j] = min(
                cost[i - 1][j - 1] + _pair_cost(a[i - 1], b[j - 1]),
                cost[i - 1][j] + GAP,
                cost[i][j - 1] + GAP,
            )
    return cost


def _pair_cost(one: RecipeStep, other: RecipeStep) -> float:
    if same_step(one, other):
        return 0.0
    return RETUNE if one.operator == other.operator else REPLACE
