"""Validation errors in words: where, what was found, what is allowed, and what was probably meant."""

import difflib
import types
from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from autosel_runtime.api.yaml_tree import Document, Path_, field_text
from autosel_runtime.errors import Problem

_BOUNDS = {
    "greater_than": ("gt", "more than"),
    "greater_than_equal": ("ge", "at least"),
    "less_than": ("lt", "less than"),
    "less_than_equal": ("le", "at most"),
}
_TYPES = {
    "string_type": "text",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "bool_type": "true or false",
    "list_type": "a list",
    "dict_type": "a mapping",
    "model_type": "a mapping",
    "model_attributes_type": "a mapping",
}


def problems_of(
    error: ValidationError, *, model: type[BaseModel], document: Document, file: str
) -> list[Problem]:
    """Return one Problem for each finding of pydantic, in the order of the document's lines."""
    problems: list[Problem] = []
    for detail in error.errors(include_url=False):
        path = document_path(detail["loc"])
        problems.append(
            Problem(
                file=file,
                line=document.line_of(path),
                field=field_text(path),
                message=_message(detail, model),
            )
        )
    return sorted(problems, key=lambda problem: problem.line or 0)


def first_problem(error: ValidationError, model: type[BaseModel]) -> str:
    """Return the first finding of pydantic as ``field: sentence``; without a field when the whole value is meant."""
    first = error.errors(include_url=False)[0]
    field = field_text(document_path(first["loc"]))
    return f"{field + ': ' if field else ''}{_message(first, model)}"


def fields_of(model: type[BaseModel]) -> list[str]:
    """Return the field names of a model as documents write them."""
    return [field.alias or name for name, field in model.model_fields.items()]


def meant(found: str, allowed: Iterable[str]) -> str:
    """Return ``; did you mean x?`` for the nearest allowed word, empty when none is near."""
    by_fold = {word.casefold().replace("_", ""): word for word in allowed}
    near = difflib.get_close_matches(found.casefold().replace("_", ""), by_fold, n=1, cutoff=0.6)
    return f"; did you mean {by_fold[near[0]]}?" if near else ""


def document_path(location: tuple[int | str, ...]) -> Path_:
    """Return the place of a finding of pydantic in the document."""
    # pydantic appends "[key]" when a mapping's key is meant
    return tuple(part for part in location if part != "[key]")


def _message(detail: ErrorDetails, model: type[BaseModel]) -> str:
    kind, found = detail["type"], detail["input"]
    context: Mapping[str, Any] = detail.get("ctx", {})
    if kind == "missing":
        return "the field is required"
    if kind == "extra_forbidden":
        return _unknown_field(detail["loc"], model)
    if kind == "value_error":
        return str(context.get("error", detail["msg"]))
    if kind == "literal_error":
        allowed = [
            part.strip().strip("'") for part in str(context["expected"]).replace(" or ", ", ").split(",")
        ]
        return f"found {_shown(found)}; allowed: {', '.join(allowed)}{meant(str(found), allowed)}"
    if kind in _BOUNDS:
        key, words = _BOUNDS[kind]
        return f"found {_shown(found)}; must be {words} {context[key]}"
    if kind in _TYPES:
        return f"found {_shown(found)}; must be {_TYPES[kind]}"
    if kind == "string_pattern_mismatch":
        return f"found {_shown(found)}; must match {context['pattern']}"
    if kind == "string_too_long":
        return f"the text has {len(found):,} characters; at most {context['max_length']:,} are allowed"
    if kind == "string_too_short":
        return "the text is empty" if not found else f"found {_shown(found)}; it is too short"
    if kind == "too_long":
        return f"there are {context['actual_length']:,} items; at most {context['max_length']:,} are allowed"
    if kind == "too_short":
        return f"there are {context['actual_length']} items; at least {context['min_length']} are needed"
    if kind == "json_invalid":
        return f"not JSON: {context['error']}"
    if kind == "finite_number":
        return f"found {_shown(found)}; NaN and infinity are not allowed"
    message = str(detail["msg"])
    return f"{message[:1].lower()}{message[1:]}; found {_shown(found)}"


def _unknown_field(location: tuple[int | str, ...], model: type[BaseModel]) -> str:
    owner = _model_at(model, location[:-1])
    allowed = fields_of(owner) if owner is not None else []
    hint = meant(str(location[-1]), allowed)
    return f"the field is unknown{hint or ';'} allowed: {', '.join(allowed)}"


def field_at(model: type[BaseModel], path: Path_) -> FieldInfo | None:
    """Return the field at ``path`` of documents of ``model``, None when no model has a field of that name there."""
    owner = _model_at(model, path[:-1]) if path and isinstance(path[-1], str) else None
    if owner is None:
        return None
    return {field.alias or name: field for name, field in owner.model_fields.items()}.get(str(path[-1]))


def _model_at(model: type[BaseModel], location: tuple[int | str, ...]) -> type[BaseModel] | None:
    """Return the model that validates the value at ``location``."""
    current: Any = model
    for part in location:
        owner = _model_in(current)
        if isinstance(part, int) or owner is None:
            current = _item_of(current)
        else:
            names = {field.alias or name: field for name, field in owner.model_fields.items()}
            if part not in names:
                return None
            current = names[part].annotation
    return _model_in(current)


def _model_in(annotation: Any) -> type[BaseModel] | None:
    for member in _members(annotation):
        if isinstance(member, type) and issubclass(member, BaseModel):
            return member
    return None


def _item_of(annotation: Any) -> Any:
    for member in _members(annotation):
        if get_origin(member) in (list, dict):
            return get_args(member)[-1]
    return None


def _members(annotation: Any) -> list[Any]:
    """Return the alternatives of a union, without Annotated."""
    origin = get_origin(annotation)
    if origin is Annotated:
        return _members(get_args(annotation)[0])
    if origin is Union or origin is types.UnionType:
        return [member for part in get_args(annotation) for member in _members(part)]
    return [annotation]


def _shown(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict):
        return "a mapping"
    if isinstance(value, list):
        return "a list"
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
