"""docs/operators.md is what the schemas say."""

from pathlib import Path

from autosel_runtime.recipe.catalog import CATALOG
from autosel_runtime.recipe.reference import reference

DOCUMENT = Path(__file__).parents[2] / "docs" / "operators.md"


def test_the_document_is_generated():
    assert DOCUMENT.read_text(encoding="utf-8") == reference(), (
        "run: python -m autosel_runtime.recipe.reference docs/operators.md"
    )


def test_it_names_every_operator_and_parameter():
    text = reference()
    for operator in CATALOG.values():
        section = text.split(f"\n## {operator.name}\n")[1].split("\n## ")[0]
        for name in operator.params.model_fields:
            assert f"| `{name}` |" in section
