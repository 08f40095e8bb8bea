"""docs/fields.md is what the models say, and it has all of them."""

from pathlib import Path

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
