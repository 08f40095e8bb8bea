"""The definitions follow the models, and the repository's copies follow the definitions."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from autosel_runtime.api.crd import crds, crds_yaml, immutable_fields, write_crds
from autosel_runtime.api.recipe_search import MUTABLE_FIELDS, RecipeSearchSpec
from autosel_runtime.api.schema import LIST_KEYS

REPOSITORY = Path(__file__).parents[2]


def _schemas(schema: dict[str, Any], path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    yield path, schema
    for name, child in schema.get("properties", {}).items():
        yield from _schemas(child, f"{path}.{name}" if path else name)
    if "items" in schema:
        yield from _schemas(schema["items"], f"{path}[]")
    if isinstance(schema.get("additionalProperties"), dict):
        yield from _schemas(schema["additionalProperties"], f"{path}{{}}")


ALL = [
    (definition["spec"]["names"]["kind"], path, schema)
    for definition in crds()
    for path, schema in _schemas(definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"])
]


def test_the_copies_in_the_repository_are_equal(tmp_path: Path) -> None:
    for path in write_crds(tmp_path):
        copy = REPOSITORY / "crds" / path.name
        assert copy.read_text() == path.read_text(), f"run: python -m autosel_runtime.api.crd {copy.parent}"
    assert sorted(path.name for path in (REPOSITORY / "crds").glob("*.yaml")) == sorted(
        path.name for path in tmp_path.iterdir()
    )


def test_the_text_is_the_definitions() -> None:
    assert list(yaml.safe_load_all(crds_yaml())) == crds()
    assert crds_yaml() == crds_yaml()
    assert len(crds_yaml()) < 262_144, "kubectl apply keeps a copy in an annotation of at most 256 KiB"


def test_schemas_are_structural() -> None:
    for kind, path, schema in ALL:
        where = f"{kind} {path}"
        assert "type" in schema or schema.get("x-kubernetes-preserve-unknown-fields"), where
        assert not set(schema) & {"$ref", "$defs", "anyOf", "allOf", "oneOf", "const", "title", "examples"}, (
            where
        )
        assert not ("properties" in schema and "additionalProperties" in schema), where
        assert schema.get("default", 0) is not None, where


def test_everything_a_user_writes_is_bounded_and_described() -> None:
    for kind, path, schema in ALL:
        where, name = f"{kind} {path}", path.rpartition(".")[2]
        if path in ("", "metadata", "apiVersion", "kind"):
            continue
        bound = {
            "string": {"maxLength", "enum"},
            "array": {"maxItems"},
            "integer": {"maximum"},
            "number": {"maximum"},
        }
        if schema.get("type") in bound:
            assert set(schema) & bound[schema["type"]], where
        if not name.endswith(("[]", "{}")):
            assert schema.get("description"), where


def test_collections_that_may_be_left_out_default_to_empty() -> None:
    """Then a rule on the old value sees them, and pydantic's factories agree with the server."""
    from tests.api.test_models import all_models

    for model in all_models():
        for name, field in model.model_fields.items():
            if field.default_factory is not None:
                assert field.get_default(call_default_factory=True, validated_data={}) in ([], {}), name


def test_named_lists_are_maps() -> None:
    lists = {path: schema for _, path, schema in ALL if schema.get("type") == "array"}
    assert set(LIST_KEYS) <= set(lists)
    for path, schema in lists.items():
        expected = "map" if path in LIST_KEYS else "atomic"
        assert schema["x-kubernetes-list-type"] == expected, path


def test_fixed_and_changeable_fields_are_all_fields() -> None:
    aliases = {name: field.alias for name, field in RecipeSearchSpec.model_fields.items()}
    changeable = {aliases[name] for name in MUTABLE_FIELDS}
    assert set(immutable_fields()) | changeable == set(aliases.values())
    assert not set(immutable_fields()) & changeable
    rules = {
        path: schema.get("x-kubernetes-validations", [])
        for kind, path, schema in ALL
        if kind == "RecipeSearch"
    }
    for field in aliases.values():
        fixed = any(rule["rule"] == "self == oldSelf" for rule in rules[f"spec.{field}"])
        assert fixed == (field in immutable_fields()), field


@pytest.mark.parametrize("definition", crds(), ids=lambda definition: definition["spec"]["names"]["kind"])
def test_columns_select_conditions_by_type(definition: dict[str, Any]) -> None:
    version = definition["spec"]["versions"][0]
    assert version["subresources"] == {"status": {}}
    for column in version["additionalPrinterColumns"]:
        assert "[-1" not in column["jsonPath"]
        if "conditions" in column["jsonPath"]:
            assert "@.type==" in column["jsonPath"]
