"""Write statuses: whole, only when they differ, and only over the version that was read; then tell what changed."""

import logging
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from pydantic import ValidationError

from autosel_runtime.api.common import Model
from autosel_runtime.api.recipe_search import RecipeSearchStatus
from autosel_runtime.api.recipe_trial import RecipeTrialStatus
from controller.kube.api import Api, Object
from controller.kube.errors import AlreadyExistsError, ApiError, IntakeClosedError
from controller.kube.events import Event, event_manifest
from controller.kube.kinds import EVENTS, SEARCHES, TRIALS, Kind

log = logging.getLogger("autosel.operator")

MODELS: Mapping[str, type[Model]] = {SEARCHES.plural: RecipeSearchStatus, TRIALS.plural: RecipeTrialStatus}


async def write_status(api: Api, kind: Kind, item: Object, status: Mapping[str, Any]) -> bool:
    """Make ``status`` the status of ``item``; say whether it was another one before.

    ConflictError when the object has changed since ``item`` was read: what was decided may be wrong by now.
    """
    metadata, previous = item["metadata"], item.get("status") or {}
    if _same(MODELS[kind.plural], previous, status):
        return False
    body: Object = {
        "metadata": {"resourceVersion": metadata["resourceVersion"]},
        "status": replacement(previous, status),
    }
    await api.patch(kind, metadata["namespace"], metadata["name"], body, subresource="status")
    return True


async def tell(api: Api, regarding: Object, events: Sequence[Event]) -> None:
    """Write events about an object. One that cannot be written is only logged: nothing depends on events."""
    for event in events:
        body = event_manifest(event, regarding, now=datetime.fromtimestamp(api.now(), UTC))
        try:
            await api.create(EVENTS, regarding["metadata"]["namespace"], body)
        except AlreadyExistsError:
            continue
        except IntakeClosedError:
            raise
        except ApiError as error:
            log.info("event %s was not written: %s", event.reason, error)


def replacement(previous: Mapping[str, Any], wanted: Mapping[str, Any]) -> dict[str, Any]:
    """Return the merge patch that turns ``previous`` into ``wanted``: what is not wanted any more is set to null."""
    patch: dict[str, Any] = {key: None for key in previous if key not in wanted}
    for key, value in wanted.items():
        old = previous.get(key)
        if isinstance(value, Mapping) and isinstance(old, Mapping):
            patch[key] = replacement(old, value)
        else:
            patch[key] = value
    return patch


def _same(model: type[Model], previous: Mapping[str, Any], wanted: Mapping[str, Any]) -> bool:
    """Compare as the API means it: the server fills in defaults and writes 1.0 as 1."""
    if not previous or previous == wanted:
        return bool(previous)
    try:
        return model.model_validate(previous) == model.model_validate(wanted)
    except ValidationError:
        return False
