"""Two halves of a benchmark: the search sees one, the report reads the other once.

An item's place depends on the split seed, the task's name and the item's content. Items are ordered by that hash
and cut at the exact count, so sizes do not vary; identical items (``~k``) lie side by side in that order.
"""

from collections.abc import Sequence
from typing import Literal

from autosel_runtime.errors import DataError
from autosel_runtime.evaluate.task import Item, draw

Half = Literal["search", "report", "all"]
LEAST_ITEMS = 2


def search_ids(ids: Sequence[str], *, task: str, seed: int, fraction: float) -> frozenset[str]:
    """Return the ids of the search half: round(fraction·n) of n, at least 1, and n - 1 at most when n > 1."""
    count = min(max(round(fraction * len(ids)), 1), max(len(ids) - 1, 1))
    ordered = sorted(ids, key=lambda name: (draw(seed, "half", task, name.split("~")[0]), name))
    return frozenset(ordered[:count])


def half_of(items: Sequence[Item], half: Half, *, task: str, seed: int, fraction: float) -> list[Item]:
    """Return the items of one half, in their order. DataError when there are too few to have two halves."""
    if half == "all":
        return list(items)
    require_two_halves(task, len(items))
    chosen = search_ids([item.id for item in items], task=task, seed=seed, fraction=fraction)
    return [item for item in items if (item.id in chosen) == (half == "search")]


def require_two_halves(task: str, count: int) -> None:
    """Raise DataError when ``count`` items cannot be on two halves.

    Asked before the search half is scored: on the report half the whole budget would be spent already.
    """
    if count < LEAST_ITEMS:
        raise DataError(
            f"task {task} has {count} item{'' if count == 1 else 's'}; a task of the objective needs at least "
            f"{LEAST_ITEMS}, one for the search half and one for the report half"
        )
