"""What an extension's operators and hooks must be: their fields, whose types nobody has checked before."""

import inspect
from collections.abc import Callable, Container, Iterator
from dataclasses import fields
from typing import Any, get_args

from pydantic import TypeAdapter, ValidationError

from autosel_runtime.api.common import Name
from autosel_runtime.recipe.hooks import Hook
from autosel_runtime.recipe.operator import Family, Operator, Params, Tunable

# A recipe must be able to name it.
_NAME: TypeAdapter[str] = TypeAdapter(Name)
_NAMES = (
    "1 to 63 lower-case letters, digits, dots, hyphens and underscores, with a letter or digit at both ends"
)


def operator_faults(operator: Operator) -> Iterator[str]:
    """Yield what is wrong with the fields of an operator, each as ``field must be ..., found ...``."""
    values: dict[str, Any] = {field.name: getattr(operator, field.name) for field in fields(operator)}
    if not _is_name(values["name"]):
        yield _must("name", _NAMES, values["name"])
    params = values["params"]
    known: Container[str] = ()
    if inspect.isclass(params) and issubclass(params, Params):
        known = params.model_fields
    else:
        yield _must("params", "a class derived from autosel_runtime.recipe.operator.Params", values["params"])
    if values["family"] not in get_args(Family):
        yield _must("family", f"one of {', '.join(get_args(Family))}", values["family"])
    for name in ("apply", "needs", "check"):
        if not callable(values[name]):
            yield _must(name, "a function", values[name])
    for name in ("summary", "paper"):
        if not isinstance(values[name], str):
            yield _must(name, "text", values[name])
    for name in ("adds", "searchable", "by_default"):
        if not isinstance(values[name], bool):
            yield _must(name, "True or False", values[name])
    if not isinstance(values["scalars"], tuple) or any(name not in known for name in values["scalars"]):  # pyright: ignore[reportUnknownVariableType]
        yield _must("scalars", "a tuple of names of parameters", values["scalars"])
    tunables = values["tunables"]
    if not isinstance(tunables, tuple | list) or any(type(entry) is not Tunable for entry in tunables):  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]
        yield _must("tunables", "a tuple of Tunable objects", tunables)


def hook_faults(hook: Hook) -> Iterator[str]:
    """Yield what is wrong with the fields of a hook."""
    values: dict[str, Any] = {field.name: getattr(hook, field.name) for field in fields(hook)}
    if not isinstance(values["name"], str) or not values["name"]:
        yield _must("name", "text", values["name"])
    for name, value in values.items():
        if name != "name" and value is not None and not callable(value):
            yield _must(name, "a function or None", value)


def shown(item: Any) -> str:
    """Return an object for a sentence, at a length that a person reads."""
    text = repr(item)
    return text if len(text) <= 80 else f"{text[:80]}..."


def fits(kind: type, faults: Callable[[Any], Iterator[str]]) -> Callable[[Any], str | None]:
    """Return a check that says what is wrong with an object that must be of ``kind``, None when nothing is."""

    def check(item: Any) -> str | None:
        if not isinstance(item, kind):
            return f"must give {kind.__name__} objects, found {shown(item)}"
        wrong = "; ".join(faults(item))
        return f"gives {kind.__name__} {getattr(item, 'name', None)!r}, whose {wrong}" if wrong else None

    return check


def _is_name(name: Any) -> bool:
    try:
        _NAME.validate_python(name, strict=True)
    except ValidationError:
        return False
    return True


def _must(name: str, allowed: str, found: Any) -> str:
    return f"{name} must be {allowed}, found {shown(found)}"
