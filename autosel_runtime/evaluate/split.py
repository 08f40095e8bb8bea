"""Two halves of a benchmark: the search sees one, the report reads the other once.

An item's place depends on the split seed, the task's name and the item's content. Items are ordered by that hash
and cut at the exact count, so sizes do not vary; identical items (``~k``) lie side by side in that order.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Literal

from autosel_runtime.errors import DataError
from autosel_runtime.evaluate.task import Item, draw

Half = Literal["search", "report", "all"]


def search_ids(ids: Sequence[str], *, task: str, seed: int, fraction: float) -> frozenset[str]:
    """Return the ids of the search half: round(fraction·n) of n, at least 1, and n - 1 at most when n > 1."""
    count = min(max(round(fraction * len(ids)), 1), max(len(ids) - 1, 1))
    ordered = sorted(ids, key=lambda name: (draw(seed, "half", task, name.split("~")[0]), name))
    return frozenset(ordered[:count])


def half_of(items: Sequence[Item], half: Half, *, task: str, seed: int, fraction: float) -> list[Item]:
    """Return the items of one half, in their order. DataError when the half has none."""
    if half == "all":
        return list(items)
    chosen = search_ids([item.id for item in items], task=task, seed=seed, fraction=fraction)
    kept = [item for item in items if (item.id in chosen) == (half == "search")]
    if not kept:
        raise DataError(f"task {task} has {len(items)} item, too few for a {half} half; it needs two")
    return kept


def overlap(items: Iterable[Item], texts: Mapping[str, str]) -> list[tuple[str, str]]:
    """Return (item id, text name) pairs where an item's question is found among ``texts`` (of a pool or target).

    Compared is the last user message in lower case with white space collapsed: an exact collision, not a
    similarity.
    """
    by_text: dict[str, list[str]] = {}
    for name, text in texts.items():
        by_text.setdefault(_normal(text), []).append(name)
    return [
        (item.id, name) for item in items for name in by_text.get(_normal(item.messages[-1]["content"]), [])
    ]


def _normal(text: str) -> str:
    return " ".join(text.casefold().split())
