"""The difference of two recipes as a few edits in words.

Notation
    a, b     steps of the parent (length p) and of the child (length q)
    c[i,j]   least cost to turn the first i steps of a into the first j steps of b

An equal step costs nothing, a retuned one (same operator) 1, an inserted or deleted one 1, a replaced one 1.5.
Two steps that changed places are one swap. Recipes have at most 16 steps, so p·q is small.
"""

from collections.abc import Sequence

from autosel_runtime.api.search import Recipe, RecipeStep
from autosel_runtime.digest import canonical_json
from autosel_runtime.report.words import operator_words, param_words, step_words

_RETUNE, _GAP, _REPLACE = 1.0, 1.0, 1.5


def changes(parent: Recipe, child: Recipe) -> tuple[str, ...]:
    """Return the edits that lead from ``parent`` to ``child``, in order of the child's steps; empty if equal."""
    a, b = parent.steps, child.steps
    swap = _swap(a, b)
    return (swap,) if swap is not None else tuple(_edits(a, b))


def _swap(a: Sequence[RecipeStep], b: Sequence[RecipeStep]) -> str | None:
    """Return the sentence of one swap if that is the whole difference."""
    if len(a) != len(b):
        return None
    moved = [i for i in range(len(a)) if not _equal(a[i], b[i])]
    if len(moved) != 2:
        return None
    i, j = moved
    if not (_equal(a[i], b[j]) and _equal(a[j], b[i])):
        return None
    first, second = operator_words(a[i].operator), operator_words(a[j].operator)
    return f"Swap {first} (step {i + 1}) and {second} (step {j + 1})"


def _edits(a: Sequence[RecipeStep], b: Sequence[RecipeStep]) -> list[str]:
    cost = _costs(a, b)
    found: list[str] = []
    i, j = len(a), len(b)
    while i or j:
        if i and j and cost[i][j] == cost[i - 1][j - 1] + _pair_cost(a[i - 1], b[j - 1]):
            i, j = i - 1, j - 1
            if not _equal(a[i], b[j]):
                found.append(_replaced(a[i], b[j]))
        elif i and cost[i][j] == cost[i - 1][j] + _GAP:
            i -= 1
            found.append(f"Remove {operator_words(a[i].operator)} (step {i + 1})")
        else:
            j -= 1
            words = step_words(b[j])
            found.append(f"Insert as step {j + 1}: {words[:1].lower()}{words[1:]}")
    return found[::-1]


def _costs(a: Sequence[RecipeStep], b: Sequence[RecipeStep]) -> list[list[float]]:
    cost = [[_GAP * (i + j) for j in range(len(b) + 1)] for i in range(len(a) + 1)]
    for i in range(1, len(a) + 1):
        for j in range(1, len(b) + 1):
            cost[i][j] = min(
                cost[i - 1][j - 1] + _pair_cost(a[i - 1], b[j - 1]),
                cost[i - 1][j] + _GAP,
                cost[i][j - 1] + _GAP,
            )
    return cost


def _pair_cost(one: RecipeStep, other: RecipeStep) -> float:
    if _equal(one, other):
        return 0.0
    return _RETUNE if one.operator == other.operator else _REPLACE


def _replaced(old: RecipeStep, new: RecipeStep) -> str:
    if old.operator != new.operator:
        words = step_words(new)
        return f"Replace {operator_words(old.operator)}: {words[:1].lower()}{words[1:]}"
    names = sorted(old.params.keys() | new.params.keys())
    retuned = [
        f"{name} {_value(old, name)} → {_value(new, name)}"
        for name in names
        if _has(old, name) != _has(new, name)
        or canonical_json(old.params.get(name)) != canonical_json(new.params.get(name))
    ]
    return f"Retune {operator_words(old.operator)}: {', '.join(retuned)}"


def _has(step: RecipeStep, name: str) -> bool:
    return name in step.params


def _value(step: RecipeStep, name: str) -> str:
    return param_words(name, step.params[name]) if name in step.params else "default"


def _equal(one: RecipeStep, other: RecipeStep) -> bool:
    return one.operator == other.operator and canonical_json(one.params) == canonical_json(other.params)
