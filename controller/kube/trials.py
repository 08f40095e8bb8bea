"""Trials as RecipeTrial objects and back, searches from their objects, and the status of a trial."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import orjson
from pydantic import ValidationError

from autosel_runtime.api.common import API_VERSION
from autosel_runtime.api.recipe_search import RecipeSearch
from autosel_runtime.api.recipe_trial import Prediction, RecipeTrialSpec
from autosel_runtime.api.search import Recipe
from autosel_runtime.digest import canonical_json
from autosel_runtime.errors import DataError
from controller.kube import names
from controller.kube.conditions import MAX_MESSAGE, conditions_of
from controller.kube.jobs import Owner, owner_reference
from controller.kube.records import Record, summary_of
from controller.reconcile.model import Condition, Trial, TrialPhase
from controller.reconcile.trials import TrialView

STATES: Mapping[TrialPhase, str] = {
    "pending": "Pending",
    "running": "Running",
    "succeeded": "Succeeded",
    "reused": "Reused",
    "failed": "Failed",
    "invalid": "Invalid",
}
MAX_TASKS = 128


def search_of(manifest: Mapping[str, Any]) -> RecipeSearch:
    """Return the search of an object of the API server; DataError when it does not fit this version's model."""
    content = {key: manifest.get(key) for key in ("apiVersion", "kind", "metadata", "spec")}
    try:
        return RecipeSearch.model_validate(content)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"])
        raise DataError(f"{field}: {first['msg']}") from error


def trial_manifest(trial: Trial, search: RecipeSearch) -> dict[str, Any]:
    """Return the RecipeTrial to create. Its name is deterministic and its spec never changes."""
    uid, name = search.metadata.uid or "", search.metadata.name
    try:
        spec = _trial_spec(trial, search)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"])
        raise DataError(
            f"the proposal for {trial.name} makes no RecipeTrial: {field}: {first['msg']}"
        ) from error
    return {
        "apiVersion": API_VERSION,
        "kind": "RecipeTrial",
        "metadata": {
            "name": names.trial_object_name(name, trial.name),
            "namespace": search.metadata.namespace or "default",
            "labels": names.search_labels(name, uid) | {names.TRIAL: trial.name},
            # The API server writes 1.0 as 1, and recipes are identified by their exact JSON.
            "annotations": {names.RECIPE: canonical_json(trial.recipe.model_dump(mode="json")).decode()},
            "ownerReferences": [owner_reference(Owner(kind="RecipeSearch", name=name, uid=uid))],
        },
        "spec": spec.model_dump(mode="json", by_alias=True, exclude_none=True),
    }


def _trial_spec(trial: Trial, search: RecipeSearch) -> RecipeTrialSpec:
    expected = trial.mean is not None and trial.deviation is not None
    return RecipeTrialSpec(
        search_ref=search.metadata.name,
        role=trial.role,
        ordinal=trial.ordinal,
        recipe=trial.recipe,
        recipe_digest=trial.recipe_digest,
        subset_digest=trial.subset_digest,
        size=trial.size,
        origin=trial.origin,  # pyright: ignore[reportArgumentType]  # the model checks it
        phase=trial.phase,
        parent=trial.parent,
        seed=search.spec.search.seed,
        prediction=Prediction.model_validate({"mean": trial.mean, "deviation": trial.deviation})
        if expected
        else None,
        state_vector=dict(trial.state_vector),
        rationale=trial.rationale[:MAX_MESSAGE],
    )


def trial_of(manifest: Mapping[str, Any]) -> Trial:
    """Return the trial of a RecipeTrial object; DataError for one that was not made by the operator."""
    metadata = manifest.get("metadata") or {}
    name = (metadata.get("labels") or {}).get(names.TRIAL)
    if not name:
        raise DataError(f"RecipeTrial {metadata.get('name')} has no label {names.TRIAL}")
    try:
        spec = RecipeTrialSpec.model_validate(manifest.get("spec"))
        exact = (metadata.get("annotations") or {}).get(names.RECIPE)
        recipe = Recipe.model_validate(orjson.loads(exact)) if exact else spec.recipe
    except (ValidationError, orjson.JSONDecodeError) as error:
        raise DataError(f"RecipeTrial {metadata.get('name')} is damaged: {error}") from error
    return Trial(
        name=name,
        role=spec.role,
        # Equal to Python, exact in its numbers; whatever else an annotation says, the spec decides.
        recipe=recipe if recipe == spec.recipe else spec.recipe,
        recipe_digest=spec.recipe_digest,
        ordinal=spec.ordinal,
        subset_digest=spec.subset_digest,
        size=spec.size,
        state_vector={key: float(value) for key, value in spec.state_vector.items()},
        origin=spec.origin,
        phase=spec.phase,
        parent=spec.parent,
        mean=spec.prediction.mean if spec.prediction else None,
        deviation=spec.prediction.deviation if spec.prediction else None,
        rationale=spec.rationale,
    )


def trial_status(
    view: TrialView,
    records: Sequence[Record],
    *,
    previous: Mapping[str, Any] | None,
    generation: int,
    now: datetime,
) -> dict[str, Any]:
    """Return the whole status of a trial; it replaces the previous one. The same input gives the same status."""
    waiting = _held_up(view, records)
    message = view.message or (f"scored {view.score:.4f}" if view.score is not None else "")
    if not message and waiting is not None:
        message = f"{waiting['name']} waits: {waiting['message']}"
    status: dict[str, Any] = {
        "observedGeneration": generation,
        "state": STATES[view.phase],
        "conditions": conditions_of(
            _conditions(view, message, waiting),
            (previous or {}).get("conditions") or [],
            generation=generation,
            now=now,
        ),
        "steps": [dict(record) for record in records],
        "message": message[:MAX_MESSAGE],
    }
    scores = {"score": view.score, "stderr": view.stderr, **_report_scores(records)}
    status |= {key: value for key, value in scores.items() if value is not None}
    if view.model is not None:
        status["model"] = view.model
    if view.dropped:
        status["modelDropped"] = True
    if view.tasks:
        status["taskScores"] = [
            {"name": name, "score": task["mean"], "stderr": task["stderr"], "items": task["n"]}
            for name, task in sorted(view.tasks.items())
        ][:MAX_TASKS]
    return status


def _held_up(view: TrialView, records: Sequence[Record]) -> Record | None:
    """Return the step that waits: for its pod, or, after a failure that is not final, for its next Job."""
    waiting = next((record for record in records if record["state"] == "Waiting"), None)
    if waiting is None and not view.terminal:
        waiting = next((record for record in records if record["state"] == "Failed"), None)
    return waiting


def _conditions(view: TrialView, message: str, waiting: Record | None) -> tuple[Condition, ...]:
    scored, broken = view.phase in ("succeeded", "reused"), view.phase in ("failed", "invalid")
    reason = "Scored" if scored else STATES[view.phase]
    going_on = str(waiting.get("reason") or "Waiting") if waiting is not None else reason
    return (
        Condition(type="Ready", status="True" if scored else "False", reason=reason, message=message),
        Condition(
            type="Reconciling",
            status="False" if view.terminal else "True",
            reason=reason if view.terminal else going_on,
            message=message,
        ),
        Condition(
            type="Stalled",
            status="True" if broken else "False",
            reason=reason if broken else "Progressing",
            message=message if broken else "",
        ),
        Condition(
            type="Succeeded",
            status="True" if scored else "False" if broken else "Unknown",
            reason=reason,
            message=message,
        ),
    )


def _report_scores(records: Sequence[Record]) -> dict[str, float]:
    for record in records:
        if record["name"] == "evaluate-report" and record["state"] == "Succeeded":
            objective = summary_of(record).get("objective")
            if objective is None:  # it missed its model, which is trained again
                return {}
            return {"reportScore": objective["mean"], "reportStderr": objective["stderr"]}
    return {}
