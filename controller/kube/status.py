"""The status of a search: one size, however long the search runs."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from autosel_runtime.api.recipe_search import RecipeSearch
from autosel_runtime.api.resources import StorageSpec
from autosel_runtime.api.status import StoreLocation
from controller.kube import names
from controller.kube.conditions import MAX_MESSAGE, conditions_of
from controller.kube.podstate import Waiting
from controller.kube.records import Record, timestamp
from controller.reconcile.model import SearchState, Trial


def search_status(
    state: SearchState,
    search: RecipeSearch,
    *,
    trials: Sequence[Trial],
    records: Sequence[Record],
    waits: Mapping[str, Waiting],
    previous: Mapping[str, Any] | None,
    now: datetime,
    default_store: StorageSpec | None = None,
) -> dict[str, Any]:
    """Return the whole status of a search; it replaces the previous one.

    ``records`` are the search's own, pruned. ``waits`` are the steps whose Jobs exist but do nothing, by step name.
    ``default_store`` is the operator's, for searches that name none.
    The same input gives the same status, so an unchanged one need not be written.
    """
    before = previous or {}
    waiting = {name.split(".")[0] for name in waits} & {trial.name for trial in trials}
    status: dict[str, Any] = {
        "observedGeneration": search.metadata.generation,
        "conditions": conditions_of(
            state.conditions,
            before.get("conditions") or [],
            generation=search.metadata.generation,
            now=now,
        ),
        "progress": {
            "evaluations": state.evaluations,
            "max": search.spec.budget.evaluations,
            "running": max(0, state.running - len(waiting)),
            "pending": len(waiting),
            "failed": state.failed,
            "invalid": state.invalid,
            "reused": state.reused,
            "stage": _stage(state, waits),
        },
        "usage": {"acceleratorSeconds": state.accelerator_seconds},
        "summary": {
            "evaluations": f"{state.evaluations}/{search.spec.budget.evaluations}",
            "best": f"{100 * state.best_score:.2f}" if state.best_score is not None else "",
            "gain": gain_text(full_pool_gain(state)),
        },
        "steps": [dict(record) for record in records],
        "startTime": before.get("startTime") or timestamp(now.timestamp()),
    }
    store = _store(state, search, default_store, before)
    if store is not None:
        status["store"] = store
    best = _best(state, search, trials)
    if best is not None:
        status["best"] = best
    if state.warnings:
        status["warnings"] = list(state.warnings)
    if state.finished:
        status["completionTime"] = before.get("completionTime") or timestamp(now.timestamp())
    return status


def full_pool_gain(state: SearchState) -> Mapping[str, Any] | None:
    """Return the gain over the full pool on the report half: mean, and low and high when there is an interval."""
    return (state.gain or {}).get("full_pool")


def gain_text(gain: Mapping[str, Any] | None) -> str:
    """Return a gain in points for people: ``+2.1 [+0.4, +3.8]``; empty for none."""
    if gain is None:
        return ""
    text = f"{100 * gain['mean']:+.1f}"
    low, high = gain.get("low"), gain.get("high")
    return text if low is None or high is None else f"{text} [{100 * low:+.1f}, {100 * high:+.1f}]"


def _store(
    state: SearchState, search: RecipeSearch, default: StorageSpec | None, before: Mapping[str, Any]
) -> Mapping[str, Any] | None:
    """Return where the results are. An operator that was given another store since the end has them no longer."""
    storage = search.spec.storage if search.spec.storage.uri is not None else default
    if state.finished and before.get("completionTime") and before.get("store"):
        return before["store"]
    if storage is None or storage.uri is None:
        return None
    location = StoreLocation.model_validate(storage.model_dump(include=set(StoreLocation.model_fields)))
    return location.model_dump(mode="json", by_alias=True, exclude_defaults=True)


def _best(state: SearchState, search: RecipeSearch, trials: Sequence[Trial]) -> dict[str, Any] | None:
    trial = next((trial for trial in trials if trial.name == state.best), None)
    if trial is None or state.best_score is None:
        return None
    gain = full_pool_gain(state) or {}
    optional = {
        "stderr": state.best_stderr,
        "gain": gain.get("mean"),
        "gainLow": gain.get("low"),
        "gainHigh": gain.get("high"),
    }
    return {
        "trial": names.trial_object_name(search.metadata.name, trial.name),
        "score": state.best_score,
        "recipeDigest": trial.recipe_digest,
        "recipe": trial.recipe.model_dump(mode="json"),
        **{key: value for key, value in optional.items() if value is not None},
    }


def _stage(state: SearchState, waits: Mapping[str, Waiting]) -> str:
    """Say what happens now, and what it waits for when something does nothing."""
    if not waits or state.finished:
        return state.message[:MAX_MESSAGE]
    name = min(waits)
    more = f" (and {len(waits) - 1} more)" if len(waits) > 1 else ""
    text = f"{state.message}; {name} waits{more}: {waits[name].reason}: {waits[name].message}"
    return text[:MAX_MESSAGE]
