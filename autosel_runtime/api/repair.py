"""A broken document made valid, so that what is right in it can be checked, too.

Broken fields get their default, or their example where they have none. What is concluded from such a field is no
finding about the document; ``untouched`` tells.
"""

import copy
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar, cast

from pydantic import BaseModel, ValidationError

from autosel_runtime.api.findings import RULES_LATER, Finding
from autosel_runtime.api.problems import document_path, field_at
from autosel_runtime.api.yaml_tree import Path_

M = TypeVar("M", bound=BaseModel)
_ROUNDS = 6  # of an example's own required fields, each one level deeper


@dataclass(frozen=True, kw_only=True)
class Checked(Generic[M]):
    """A document as a model: ``error`` has what is wrong with its fields, ``broken`` the fields that are not the
    document's own; ``model`` is None when nothing could be made of it."""

    model: M | None
    error: ValidationError | None = None
    broken: frozenset[Path_] = frozenset()

    def untouched(self, finding: Finding) -> bool:
        """Return whether a finding is about what the document says."""
        return not any(
            path[: len(broken)] == broken or broken[: len(path)] == path
            for path in (finding.field, *finding.reads)
            for broken in self.broken
        )


def check(content: dict[str, Any], model: type[M]) -> Checked[M]:
    """Validate ``content``, rules between fields left aside, and mend what is broken."""
    first: ValidationError | None = None
    broken: set[Path_] = set()
    mended = content
    for _ in range(_ROUNDS):
        try:
            found = model.model_validate(
                mended, strict=True, by_alias=True, by_name=False, context=RULES_LATER
            )
        except ValidationError as error:
            first = first or error
            mended, changed = _mend(mended, model, error)
            if not changed:
                break
            broken |= changed
        else:
            return Checked(model=found, error=first, broken=frozenset(broken))
    return Checked(model=None, error=first, broken=frozenset(broken))


def _mend(
    content: dict[str, Any], model: type[BaseModel], error: ValidationError
) -> tuple[dict[str, Any], set[Path_]]:
    """Return a copy in which every field that ``error`` names has another value, and their paths."""
    result = copy.deepcopy(content)
    changed: set[Path_] = set()
    for detail in error.errors(include_url=False):
        path = document_path(detail["loc"])
        unknown = detail["type"] == "extra_forbidden"
        while path and not unknown and field_at(model, path) is None:
            path = path[:-1]  # an entry of a list or of a free object: all of the field goes
        owner = _owner(result, path)
        if owner is None or _covered(path, changed):
            continue
        changed.add(path)
        name = str(path[-1])
        owner.pop(name, None)
        field = None if unknown else field_at(model, path)
        if field is not None and field.is_required():
            owner[name] = copy.deepcopy((field.examples or [None])[0])
    return result, changed


def _owner(content: dict[str, Any], path: Path_) -> dict[str, Any] | None:
    """Return the mapping that has the field at ``path``, None where there is none."""
    value: Any = content
    for part in path[:-1]:
        if isinstance(value, dict) and part in value:
            value = cast(dict[Any, Any], value)[part]
        elif isinstance(value, list) and isinstance(part, int) and part < len(cast(list[Any], value)):
            value = cast(list[Any], value)[part]
        else:
            return None
    return cast(dict[str, Any], value) if path and isinstance(value, dict) else None


def _covered(path: Path_, changed: Iterable[Path_]) -> bool:
    return any(path[: len(one)] == one for one in changed)
