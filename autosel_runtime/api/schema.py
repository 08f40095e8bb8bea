"""From pydantic models to structural OpenAPI v3 schemas, the dialect of CustomResourceDefinitions.

The dialect has no references, no unions with null, no const and no exclusive bounds as numbers; objects have either
properties or free values, never both.
"""

from collections.abc import Mapping
from typing import Any, cast

from pydantic import BaseModel

Schema = dict[str, Any]

# Lists of named things: the server merges them by name and refuses a name given twice. Paths as in documents.
LIST_KEYS: Mapping[str, tuple[str, ...]] = {
    "spec.pool.sources": ("name",),
    "spec.targets": ("name",),
    "spec.evaluation.tasks": ("name",),
    "spec.evaluation.outOfDomain": ("name",),
    "status.conditions": ("type",),
    "status.steps": ("name",),
    "status.taskScores": ("name",),
}

_TEXT: Schema = {"type": "string"}
_KEPT = frozenset(
    {
        "default",
        "description",
        "enum",
        "maxItems",
        "maxLength",
        "maxProperties",
        "maximum",
        "minItems",
        "minLength",
        "minimum",
        "minProperties",
        "pattern",
        "type",
    }
)


def structural_schema(model: type[BaseModel]) -> Schema:
    """Return the structural schema of ``model``, without what the API server knows itself."""
    raw = model.model_json_schema(by_alias=True, mode="validation")
    definitions = raw.get("$defs", {})
    schema = _convert(raw, definitions, "")
    schema["properties"] |= {"apiVersion": _TEXT, "kind": _TEXT, "metadata": {"type": "object"}}
    return schema


def _convert(raw: Schema, definitions: Mapping[str, Schema], path: str) -> Schema:
    raw, nullable = _resolve(raw, definitions)
    result: Schema = {key: value for key, value in raw.items() if key in _KEPT}
    if "const" in raw:
        result["enum"] = [raw["const"]]
    for bound, exclusive in (("minimum", "exclusiveMinimum"), ("maximum", "exclusiveMaximum")):
        if exclusive in raw:
            result[bound], result[exclusive] = raw[exclusive], True
    if nullable:
        # an absent field and null are one thing; a default of null says nothing
        result["nullable"] = True
        if result.get("default", 0) is None:
            del result["default"]
    if raw.get("type") == "array":
        result["items"] = _convert(raw.get("items", {}), definitions, f"{path}[]")
        keys = LIST_KEYS.get(path)
        result["x-kubernetes-list-type"] = "map" if keys else "atomic"
        if keys:
            result["x-kubernetes-list-map-keys"] = list(keys)
    elif raw.get("type") == "object":
        _convert_object(raw, result, definitions, path)
    elif "type" not in raw:
        result["x-kubernetes-preserve-unknown-fields"] = True
    if raw.get("type") == "integer" and raw.get("maximum", 0) > 2**31 - 1:
        result["format"] = "int64"
    return result


def _convert_object(raw: Schema, result: Schema, definitions: Mapping[str, Schema], path: str) -> None:
    if "properties" in raw:
        properties = cast(dict[str, Schema], raw["properties"])
        result["properties"] = {
            name: _convert(field, definitions, f"{path}.{name}" if path else name)
            for name, field in properties.items()
        }
        required = set(raw.get("required", []))
        for name in properties.keys() - required:
            # pydantic's schema leaves out factories, which here make empty collections; without the default a rule
            # on the old value would not see a collection that was left out at first
            field = result["properties"][name]
            if (
                field.get("type") in ("array", "object")
                and "default" not in field
                and "nullable" not in field
            ):
                field["default"] = [] if field["type"] == "array" else {}
        if required:
            result["required"] = sorted(required)
        if "default" in result:
            result["default"] = _pruned(result["default"], result["properties"])
        return
    values = raw.get("additionalProperties", True)
    if isinstance(values, dict) and values:
        result["additionalProperties"] = _convert(values, definitions, f"{path}{{}}")
    else:
        result["x-kubernetes-preserve-unknown-fields"] = True


def _pruned(default: Schema, properties: Mapping[str, Schema]) -> Schema:
    """Return an object's default without what its fields' own defaults fill in."""
    kept: Schema = {}
    for name, value in default.items():
        field = properties[name]
        if isinstance(value, dict) and "properties" in field and "default" in field:
            if pruned := _pruned(cast(Schema, value), field["properties"]):
                kept[name] = pruned
        elif value != field.get("default"):
            kept[name] = value
    return kept


def _resolve(raw: Schema, definitions: Mapping[str, Schema]) -> tuple[Schema, bool]:
    """Follow references and drop null from unions; what stands beside a reference (description, default) wins."""
    nullable = False
    while True:
        if "$ref" in raw:
            target = definitions[raw["$ref"].removeprefix("#/$defs/")]
            raw = {**target, **{key: value for key, value in raw.items() if key != "$ref"}}
        elif "anyOf" in raw:
            alternatives = [part for part in raw["anyOf"] if part.get("type") != "null"]
            nullable = nullable or len(alternatives) < len(raw["anyOf"])
            if len(alternatives) != 1:
                raise ValueError(f"a union of several types has no structural schema: {raw}")
            raw = {**alternatives[0], **{key: value for key, value in raw.items() if key != "anyOf"}}
        else:
            return raw, nullable
