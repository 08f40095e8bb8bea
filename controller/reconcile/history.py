"""The history that a suggestion is made from: trials as plain records, in order."""

from collections.abc import Sequence
from typing import Any

from controller.reconcile.trials import TrialView


def records(views: Sequence[TrialView], *, seen_until: int) -> list[dict[str, Any]]:
    """Return the records of the search's trials.

    Outcomes of trials after ``seen_until`` are hidden (they count as pending), whether or not they are known yet.
    So a suggestion depends on ordinals alone, never on which trial happened to finish first, and the same search
    gives the same trials on a slow and on a fast cluster.
    """
    return [_record(view, visible=_ordinal(view) <= seen_until) for view in views]


def _ordinal(view: TrialView) -> int:
    if view.trial.ordinal is None:
        raise ValueError(f"{view.trial.name} is a baseline and no part of the history")
    return view.trial.ordinal


def _record(view: TrialView, *, visible: bool) -> dict[str, Any]:
    trial = view.trial
    state = view.phase if visible and view.terminal else "pending"
    scored = state in ("succeeded", "reused")
    return {
        "ordinal": trial.ordinal,
        "recipe": trial.recipe.model_dump(mode="json"),
        "recipe_digest": trial.recipe_digest,
        "subset_digest": trial.subset_digest,
        "size": trial.size,
        "state_vector": dict(trial.state_vector),
        "origin": trial.origin,
        "phase": trial.phase,
        "parent": trial.parent,
        "state": "succeeded" if scored else state,
        "score": view.score if scored else None,
        "stderr": view.stderr if scored else None,
        "subset": view.subset if scored else None,
    }
