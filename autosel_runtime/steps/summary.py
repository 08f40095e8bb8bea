"""Summaries that fit: a step's account travels as a pod's termination message, which holds 4 KiB and no more.

What can grow with the search (tasks, sources, signals, the state vector) is cut here on purpose, with a count of what
was left out; all of it lies in the step's files.
"""

from collections.abc import Mapping, Sequence
from itertools import chain, zip_longest
from typing import Any

from autosel_runtime.digest import canonical_json
from autosel_runtime.store.marker import SUMMARY_BYTES

# Shares of the 4,096 bytes of a suggestion: the recipe, its reason, the quantities by target and by source; the other
# quantities of a state vector and the fixed fields take at most 1,100.
RECIPE_BYTES = 1600
REASON_BYTES = 300
NAMED_STATE_BYTES = 900
# `,"name":-1.2345678901234567e-05` without the name.
NUMBER_BYTES = 28
MOST_WARNINGS = 5
# What is added to a summary on its way: `{"summary":...}`, whether it was found, models that could not be dropped.
AROUND_BYTES = 400


def head(entries: Mapping[str, Any], limit: int) -> tuple[dict[str, Any], int]:
    """Return the first entries whose JSON takes at most ``limit`` bytes, and how many were left out."""
    kept: dict[str, Any] = {}
    size = 2
    for name, value in entries.items():
        size += len(canonical_json({name: value})) - 1
        if size > limit:
            break
        kept[name] = value
    return kept, len(entries) - len(kept)


def cut_text(text: str, limit: int) -> str:
    """Return the text, or its beginning and ``...`` so that it takes at most ``limit`` bytes of UTF-8."""
    data = text.encode()
    if len(data) <= limit:
        return text
    return data[: limit - 3].decode(errors="ignore") + "..."


def beside(summary: Mapping[str, Any], warnings: Sequence[str]) -> list[str]:
    """Return the first warnings, cut, as many as may stand in ``summary`` beside the rest of it."""
    room = SUMMARY_BYTES - AROUND_BYTES - len(canonical_json(dict(summary)))
    kept: list[str] = []
    for warning in warnings[:MOST_WARNINGS]:
        cut = cut_text(warning, REASON_BYTES)
        room -= len(canonical_json(cut)) + 1
        if room < 0:
            break
        kept.append(cut)
    return kept


def named_quantities(targets: Sequence[str], sources: Sequence[str]) -> frozenset[str]:
    """Return which quantities by target and by source a recorded state vector has.

    ``targets`` and ``sources`` come most important first. The choice depends on them alone, not on a subset, so
    that the vectors of all trials of a search have the same quantities.
    """
    scores = [f"score.{name}" for name in targets]
    shares = [f"source_share.{name}" for name in sources]
    kept: set[str] = set()
    size = 0
    for name in chain.from_iterable(zip_longest(scores, shares)):
        if name is None:
            continue
        size += len(canonical_json(name)) + NUMBER_BYTES
        if size > NAMED_STATE_BYTES:
            break
        kept.add(name)
    return frozenset(kept)


def recorded_state(state: Mapping[str, float], named: frozenset[str]) -> dict[str, float]:
    """Return the quantities of a state vector that are recorded: those of the whole subset, and the ``named``."""
    return {name: value for name, value in state.items() if "." not in name or name in named}
