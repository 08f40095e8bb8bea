"""Models that a search needs no more: dropped by the step whose inputs say so, trained again when they are needed.

A step with ``drop`` in its inputs drops those models before it ends, also when it finds its own result finished: a step
that has ended well has dropped them, wherever an earlier attempt was killed.
"""

import sys
from collections.abc import Mapping
from typing import Any

from autosel_runtime.errors import AutoselError, DataError, NoInputError, TransientError
from autosel_runtime.steps.context import StepContext
from autosel_runtime.store.drop import drop, find_dropped
from autosel_runtime.store.publish import find

MODELS = "models/"


class ModelGoneError(NoInputError):
    """The tuned model that a step needs is not in the store; the controller lets it be trained again."""


def drop_models(context: StepContext) -> Mapping[str, Any]:
    """Drop the models that the step's inputs list; return what its summary says of it.

    A store that refuses to delete is told of and costs space only: ``drop_refused`` is then how many models stayed.
    """
    refused = 0
    for prefix in context.document.inputs.get("drop", ()):
        if not prefix.startswith(MODELS):
            raise DataError(f"step {context.document.name}: {prefix} is no model, so it is not dropped")
        try:
            drop(context.store, prefix)
        except TransientError:
            raise
        except AutoselError as error:
            refused += 1
            print(f"{prefix} was not dropped: {error}", file=sys.stderr, flush=True)
    return {"drop_refused": refused} if refused else {}


def known_training(context: StepContext) -> Mapping[str, Any] | None:
    """Return the account of a training whose model was dropped; None for other steps and when it is wanted again.

    Its scores may well be in the store. If they are not, their step says that it misses the model.
    """
    if context.document.step != "train" or context.document.inputs.get("again", False):
        return None
    marker = find_dropped(context.store, context.document.output)
    return None if marker is None else {**marker.summary, "cached": True, "dropped": True}


def lacks_model(context: StepContext) -> bool:
    """Say whether a step that is to leave a model behind, besides its scores, does not find it."""
    if not context.document.inputs.get("needs_model", False):
        return False
    return find(context.store, context.input("model")) is None


def missing_model(context: StepContext) -> Mapping[str, Any]:
    """Return the account of a step that misses its model: after how many further trainings it was not there."""
    return {"missing": int(context.document.inputs.get("trained", 0))}


def check_model(context: StepContext, prefix: str) -> None:
    """Raise ModelGoneError when the store does not have the model ``prefix``."""
    if find(context.store, prefix) is None:
        raise ModelGoneError(f"{context.store.uri}/{prefix} is not there (any more); it has to be trained")
