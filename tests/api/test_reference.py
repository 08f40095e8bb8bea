"""docs/fields.md is what the models say, and it has all of them."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from autosel_runtime.api.crd import crds
from autosel_runtime.api.recipe_search import RecipeSearch
from autosel_runtime.api.reference import reference

DOCUMENT = Path(__file__).parents[2] / "docs" / "fields.md"


def test_the_page_is_generated_from_the_models() -> None:
    assert DOCUMENT.read_text(encoding="utf-8") == reference(), (
        "run: python -m autosel_runtime.api.reference docs/fields.md"
    )


def test_every_field_of_every_model_below_spec_has_a_row() -> None:
    models = RecipeSearch.model_json_schema(by_alias=True)["$defs"]
    outside = {"Metadata", "RecipeSearchStatus", "BestTrial", "Condition", "ResultSummary", "SearchProgress"}
    outside |= {"StepRecord", "StoreLocation", "Usage"}
    rows = [line for line in reference().splitlines() if line.startswith("| `")]
    fields = [name for model in models.keys() - outside for name in models[model]["properties"]]
    assert len(rows) == len(fields)
    assert {row.split("`")[1] for row in rows} == set(fields)


def test_the_page_and_the_definition_tell_of_every_field_whether_it_may_be_changed() -> None:
    """Against the rules that the API server holds fields to."""
    [definition, _] = crds()
    spec = definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"]
    rows = {
        line.split("`")[1]: line for line in reference().split("## spec.")[0].splitlines() if "| `" in line
    }
    assert rows.keys() == spec.keys()
    for name, schema in spec.items():
        fixed = any(rule["rule"] == "self == oldSelf" for rule in schema.get("x-kubernetes-validations", []))
        sentence = "Immutable." if fixed else "May be changed."
        assert f" {sentence} |" in rows[name]
        described = list(_descriptions(schema))
        assert all(text.endswith(f" {sentence}") for text in described), name
    sections = reference().split("\n## spec")[2:]
    assert len(sections) > 15
    for section in sections:
        field = section[1:].split("\n")[0].split(".")[0].removesuffix("[]")
        about = section.split("\n\n")[1]
        assert about.endswith(
            "Immutable." if "Immutable." in spec[field]["description"] else "May be changed."
        )


def _descriptions(schema: dict[str, Any]) -> Iterator[str]:
    yield schema["description"]
    for below in schema.get("properties", {}).values():
        yield from _descriptions(below)
    for below in schema.get("items", {}).get("properties", {}).values():
        yield from _descriptions(below)
