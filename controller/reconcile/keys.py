"""Content-addressed prefixes: what a step writes is named after all that decides its content.

Two searches that ask for the same signals, model or score therefore share it, and nothing stale can be read. Places
decide nothing: the same files give the same names from a folder and from a bucket.
"""

from collections.abc import Mapping
from typing import Any

from autosel_runtime.api.recipe_search import RecipeSearchSpec
from autosel_runtime.api.search import Recipe
from autosel_runtime.digest import digest, short
from autosel_runtime.steps.document import prepare_prefix

__all__ = [
    "evaluation_prefix",
    "model_prefix",
    "prefix",
    "prepare_prefix",
    "signals_prefix",
    "subset_prefix",
]

# Raised by hand when the meaning of an artifact changes.
VERSIONS = {"signals": 1, "suggestions": 1, "subsets": 2, "models": 1, "evaluations": 1, "reports": 1}


def prefix(kind: str, content: Mapping[str, Any]) -> str:
    """Return ``<kind>/<24 hex digits>`` over ``content`` and the kind's version."""
    return f"{kind}/{short(digest({'version': VERSIONS[kind], **content}), 24)}"


def signals_prefix(spec: RecipeSearchSpec, prepared: Mapping[str, Any]) -> str:
    """Return where the signals of a prepared pool lie."""
    return prefix(
        "signals",
        {
            "pool": prepared["pool_digest"],
            "targets": prepared["targets_digest"],
            "model": prepared["signal_model_digest"],
            "template": spec.model.chat_template,
            "signals": spec.signals.content(),
            "extensions": spec.search.extensions,
        },
    )


def subset_prefix(signals: str, recipe: Recipe, seed: int, unions: Mapping[str, str]) -> str:
    """Return where the subset of a recipe lies; ``unions`` maps recipe digests to their subsets' prefixes."""
    return prefix(
        "subsets",
        {
            "signals": signals,
            "recipe": recipe.model_dump(mode="json"),
            "seed": seed,
            "unions": dict(unions),
        },
    )


def model_prefix(spec: RecipeSearchSpec, prepared: Mapping[str, Any], subset_digest: str, model: str) -> str:
    """Return where the model tuned on a subset lies; ``model`` is the digest of the starting weights."""
    return prefix(
        "models",
        {
            "pool": prepared["pool_digest"],
            "subset": subset_digest,
            "model": model,
            "template": spec.model.chat_template,
            "training": spec.training.content(),
        },
    )


def evaluation_prefix(
    spec: RecipeSearchSpec, prepared: Mapping[str, Any], *, model: str, group: str, half: str
) -> str:
    """Return where the scores of ``model`` (tuned prefix or digest of the untuned one) lie."""
    return prefix(
        "evaluations",
        {
            "model": model,
            "template": spec.model.chat_template,
            "tasks": prepared["tasks_digest"],
            "group": group,
            "half": half,
            "evaluation": spec.evaluation.content(),
        },
    )
