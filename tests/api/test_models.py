"""Every field of every model says what it is, shows an example and has a bound."""

import importlib
import pkgutil
import types
from collections.abc import Iterator
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import pytest
from pydantic import BaseModel, TypeAdapter
from pydantic.fields import FieldInfo

import autosel_runtime.api as api
from autosel_runtime.api.common import Model


def all_models() -> list[type[BaseModel]]:
    found: dict[str, type[BaseModel]] = {}
    for module in pkgutil.iter_modules(api.__path__):
        for value in vars(importlib.import_module(f"autosel_runtime.api.{module.name}")).values():
            if isinstance(value, type) and issubclass(value, Model) and value is not Model:
                found[f"{value.__module__}.{value.__qualname__}"] = value
    return [found[name] for name in sorted(found)]


FIELDS = [
    pytest.param(model, name, id=f"{model.__name__}.{name}")
    for model in all_models()
    for name in model.model_fields
]
MODELS = [pytest.param(model, id=model.__name__) for model in all_models()]


def test_the_walk_finds_theall_models() -> None:
    assert {"RecipeSearch", "RecipeTrial", "StorageSpec", "Condition"} <= {
        model.__name__ for model in all_models()
    }


@pytest.mark.parametrize("model", MODELS)
def test_models_say_what_they_are(model: type[BaseModel]) -> None:
    assert model.__doc__
    assert model.model_config.get("frozen")


@pytest.mark.parametrize(("model", "name"), FIELDS)
def test_fields_have_description_and_a_valid_example(model: type[BaseModel], name: str) -> None:
    field = model.model_fields[name]
    assert field.description
    assert field.description.endswith(".")
    assert field.examples
    owner: Any = model
    kind = Annotated[field.annotation, *field.metadata] if field.metadata else field.annotation
    for example in field.examples:
        if isinstance(example, dict) and owner.__name__ in ("RecipeSearch",):
            continue  # its parts are checked one by one, a whole search would be a page
        TypeAdapter(kind).validate_python(example, strict=True)


@pytest.mark.parametrize(("model", "name"), FIELDS)
def test_fields_are_bounded(model: type[BaseModel], name: str) -> None:
    field = model.model_fields[name]
    unbounded = list(_unbounded(field.annotation, field.metadata))
    assert not unbounded, f"no bound for {unbounded}"


def _unbounded(annotation: Any, metadata: list[Any]) -> Iterator[str]:
    """Yield the parts of a type that may grow or lie anywhere."""
    if get_origin(annotation) is Annotated:
        inner, *more = get_args(annotation)
        yield from _unbounded(inner, [*metadata, *_flat(more)])
        return
    if get_origin(annotation) in (Union, types.UnionType):
        for part in get_args(annotation):
            yield from _unbounded(part, metadata)
        return
    names = {key for item in _flat(metadata) for key in ("max_length", "le", "lt") if hasattr(item, key)}
    lows = {key for item in _flat(metadata) for key in ("ge", "gt") if hasattr(item, key)}
    origin = get_origin(annotation) or annotation
    if (origin is str or origin in (list, dict)) and "max_length" not in names:
        yield str(annotation)
    if origin in (int, float) and not (names & {"le", "lt"} and lows):
        yield str(annotation)
    if origin in (list, dict):
        for part in get_args(annotation):
            if part is not Any:
                yield from _unbounded(part, [])
    assert origin in (str, int, float, bool, list, dict, Literal, type(None), Any) or issubclass(
        origin, BaseModel
    )


def _flat(metadata: Any) -> list[Any]:
    flat: list[Any] = []
    for item in metadata:
        flat += _flat(item.metadata) if isinstance(item, FieldInfo) else [item]
    return flat
