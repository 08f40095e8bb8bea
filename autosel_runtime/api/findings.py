"""What is wrong with a valid-looking document: findings, and the rules between the fields of one object."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, Self, cast

from pydantic import BaseModel, ValidationInfo, model_validator

from autosel_runtime.api.common import Model
from autosel_runtime.api.yaml_tree import Path_

# Validation context of whoever asks for ``disagreements`` itself: rules between fields then stop nothing.
RULES_LATER: Final = {"rules": "later"}


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One problem: ``field`` says where, ``reads`` from which other fields of the document it was concluded."""

    field: Path_
    message: str
    reads: tuple[Path_, ...] = ()

    def below(self, path: Path_) -> "Finding":
        """Return the finding of an object that lies at ``path``."""
        return replace(self, field=(*path, *self.field), reads=tuple((*path, *read) for read in self.reads))


class Ruled(Model):
    """An object whose fields must go together. Validation refuses it, unless its context is ``RULES_LATER``."""

    def disagreements(self) -> Iterable[Finding]:
        """Return what does not go together here; fields start at this object."""
        return ()

    @model_validator(mode="after")
    def _fields_go_together(self, info: ValidationInfo) -> Self:
        found = () if info.context == RULES_LATER else self.disagreements()
        sentences = [finding.message for finding in found]
        if sentences:
            raise ValueError("; ".join(sentences))
        return self


def disagreements(model: BaseModel, path: Path_ = ()) -> Iterator[Finding]:
    """Yield what does not go together in ``model`` and in all objects below it."""
    if isinstance(model, Ruled):
        for finding in model.disagreements():
            yield finding.below(path)
    for name, field in type(model).model_fields.items():
        yield from _inside(getattr(model, name), (*path, field.alias or name))


def repeated_names(field: Path_, names: Sequence[str], what: str) -> Iterator[Finding]:
    """Yield a finding for every name in the list at ``field`` that an earlier entry has, too."""
    for index, name in enumerate(names):
        if name in names[:index]:
            yield Finding(
                field=(*field, index, "name"), message=f"{what} must differ; {name!r} is given twice"
            )


def _inside(value: Any, path: Path_) -> Iterator[Finding]:
    if isinstance(value, BaseModel):
        yield from disagreements(value, path)
    elif isinstance(value, list):
        for index, item in enumerate(cast(list[Any], value)):
            yield from _inside(item, (*path, index))
