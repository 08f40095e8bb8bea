"""What a document says of operators, extensions and models is checked before anything runs."""

from pathlib import Path

import pytest
import yaml

from autosel_runtime.api.load import check_documents, load_search
from autosel_runtime.errors import InvalidDocumentError
from autosel_runtime.steps.recipes import recipe_problems
from tests.kube.samples import search_manifest


def document(folder: Path, **search: object) -> Path:
    """Write a valid search with other settings of ``spec.search``."""
    manifest = search_manifest()
    spec = {**manifest["spec"], "search": search}
    path = folder / "search.yaml"
    path.write_text(
        yaml.safe_dump(
            {key: manifest[key] for key in ("apiVersion", "kind")} | {"metadata": {"name": "s"}, "spec": spec}
        )
    )
    return path


def step(operator: str, **params: object) -> dict[str, object]:
    return {"steps": [{"operator": operator, "params": params}]}


@pytest.mark.parametrize(
    ("search", "field", "words"),
    [
        (
            {"seedRecipes": [step("ifd_filer")]},
            "spec.search.seedRecipes[0].steps[0].operator",
            "did you mean ifd_filter?",
        ),
        (
            {"seedRecipes": [step("ifd_filter", fraction=0.5), step("ifd_filter", fraction=7)]},
            "spec.search.seedRecipes[1].steps[0].params.fraction",
            "7",
        ),
        ({"operators": ["ifd_filter", "foo"]}, "spec.search.operators[1]", "unknown operator 'foo'"),
        ({"extensions": ["no_such_module"]}, "spec.search.extensions", "no_such_module"),
    ],
)
def test_each_problem_has_its_field_and_line(
    tmp_path: Path, search: dict[str, object], field: str, words: str
) -> None:
    path = document(tmp_path, **search)
    (problem,) = check_documents([path], check_files=False, also=recipe_problems)
    assert problem.field == field
    assert words in problem.message
    assert problem.line is not None
    with pytest.raises(InvalidDocumentError):
        load_search(path, check_files=False, also=recipe_problems)


def test_a_good_search_has_none(tmp_path: Path) -> None:
    path = document(tmp_path, seedRecipes=[step("ifd_filter", fraction=0.5)], operators=["ifd_filter"])
    assert not check_documents([path], check_files=False, also=recipe_problems)


def test_a_folder_that_is_no_model_is_told(tmp_path: Path) -> None:
    path = document(tmp_path)
    manifest = yaml.safe_load(path.read_text())
    (tmp_path / "model").mkdir()
    manifest["spec"]["model"]["uri"] = "model"
    path.write_text(yaml.safe_dump(manifest))
    found = [problem for problem in check_documents([path]) if problem.field == "spec.model.uri"]
    assert len(found) == 1
    assert "is no model" in found[0].message
    (tmp_path / "model" / "config.json").write_text("{}")
    assert not [problem for problem in check_documents([path]) if problem.field == "spec.model.uri"]
