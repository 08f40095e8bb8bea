"""What differs between two versions of a search that a running search may not change."""

from typing import Any

from autosel_runtime.api.recipe_search import MUTABLE_FIELDS, RecipeSearchSpec

SHOWN_CHARACTERS = 60


def immutable_changes(old: RecipeSearchSpec, new: RecipeSearchSpec) -> list[str]:
    """Return the immutable fields that differ, each as ``spec.search.seed was 42 and is 43``, in order of name."""
    before, after = (
        spec.model_dump(mode="json", by_alias=True, exclude=set(MUTABLE_FIELDS)) for spec in (old, new)
    )
    return _differences("spec", before, after)


def _differences(place: str, old: Any, new: Any) -> list[str]:
    if old == new:
        return []
    if isinstance(old, dict) and isinstance(new, dict):
        names = sorted({*old, *new})
        return [
            line for name in names for line in _differences(f"{place}.{name}", old.get(name), new.get(name))
        ]
    if isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        pairs = enumerate(zip(old, new, strict=True))
        return [line for index, (a, b) in pairs for line in _differences(f"{place}[{index}]", a, b)]
    return [f"{place} was {_short(old)} and is {_short(new)}"]


def _short(value: Any) -> str:
    if value is None:
        return "not set"
    text = str(value)
    return text if len(text) <= SHOWN_CHARACTERS else f"{text[:SHOWN_CHARACTERS]}..."
