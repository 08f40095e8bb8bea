"""Deterministic names: the same trial or step has one name, whoever computes it and however often."""

from collections.abc import Iterable


def trial_name(ordinal: int) -> str:
    """Return the name of the search's trial number ``ordinal`` (from 1): ``t00001``."""
    return f"t{ordinal:05d}"


def baseline_name(role: str, size: int | None = None) -> str:
    """Return the name of a baseline; the random subset's carries its size, since it follows the chosen recipe."""
    name = role.replace("_", "-")
    return name if size is None else f"{name}-{size}"


def step_name(owner: str, step: str) -> str:
    """Return the name of a trial's step: ``t00001.train``."""
    return f"{owner}.{step}"


def suggest_name(ordinal: int) -> str:
    """Return the name of the step that proposes trial ``ordinal``."""
    return f"suggest-{ordinal:05d}"


def first_free(ordinals: Iterable[int]) -> int:
    """Return the smallest ordinal from 1 that is not taken: the next trial's, or that of one deleted by hand."""
    taken = set(ordinals)
    return next(ordinal for ordinal in range(1, len(taken) + 2) if ordinal not in taken)
