"""What a document says of operators, extensions and models is checked before anything runs."""

from pathlib import Path

import pytest
import yaml

from autosel_runtime.api.load import check_documents, load_search
from autosel_runtime.errors import InvalidDocumentError
from autosel_runtime.steps.validity import search_problems
from tests.kube.samples import search_manifest


def document(folder: Path, **search: object) -> Path:
    """Write a valid search with other settings of ``spec.search``."""
    manifest = search_manifest()
    tasks = [{"name": "gsm8k", "uri": "gsm8k.jsonl"}]
    spec = {**manifest["spec"], "search": search, "evaluation": {"tasks": tasks}}
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
        (
            {"operators": ["semdedup"]},
            "spec.search.operators[0]",
            "semdedup needs sae, which this search does not compute: this version computes no features of sparse",
        ),
        (
            {"operators": ["random_subset", "mona_filter"]},
            "spec.search.operators[1]",
            "name it in spec.targets, with spec.signals.lexical.relevance: true",
        ),
        ({"operators": ["score_filter"]}, "spec.search.operators[0]", "use it in seedRecipes"),
        ({"operators": ["union"]}, "spec.search.operators", "name another operator, too"),
        (
            {"seedRecipes": [step("action_object_filter", fraction=0.5)]},
            "spec.search.seedRecipes[0].steps[0].operator",
            "set spec.signals.lexical.actionObject: true",
        ),
        (
            {"seedRecipes": [step("score_filter", signal="qualty", fraction=0.5)]},
            "spec.search.seedRecipes[0].steps[0].operator",
            "(did you mean quality?); there are: answer_tokens, answer_words, ifd,",
        ),
        (
            {"seedRecipes": [step("score_filter", signal="minhash", fraction=0.5)]},
            "spec.search.seedRecipes[0].steps[0].params.signal",
            "found 'minhash', which holds pairs of similar samples; signal must name a column that holds a number per "
            "sample; there are: answer_tokens, answer_words, ifd,",
        ),
        (
            {"seedRecipes": [step("random_subset", fraction=0.5), step("semantic_dedup", prefer="exact")]},
            "spec.search.seedRecipes[1].steps[0].params.prefer",
            "found 'exact', which holds groups of equal samples; prefer must name a column that holds a number per",
        ),
        (
            {"seedRecipes": [step("semantic_dedup", prefer="mona.gsm8k")]},
            "spec.search.seedRecipes[0].steps[0].operator",
            "no features of sparse autoencoders",
        ),
        (
            {"seedRecipes": [step("semantic_dedup", threshold=0.3)]},
            "spec.search.seedRecipes[0].steps[0].params.threshold",
            "found 0.3; must be at least spec.signals.minhash.floor, 0.5",
        ),
        (
            {"seedRecipes": [step("union", trial=99)]},
            "spec.search.seedRecipes[0].steps[0].params.trial",
            "trial 99 has no known subset; there are: none",
        ),
        (
            {
                "seedRecipes": [
                    {"steps": [{"operator": "random_subset", "params": {"size": n}} for n in (9, 8, 7)]}
                ],
                "maxSteps": 2,
            },
            "spec.search.seedRecipes[0].steps",
            "3 steps, at most 2 are allowed",
        ),
    ],
)
def test_each_problem_has_its_field_and_line(
    tmp_path: Path, search: dict[str, object], field: str, words: str
) -> None:
    path = document(tmp_path, **search)
    (problem,) = check_documents([path], check_files=False, also=search_problems)
    assert problem.field == field
    assert words in problem.message
    assert problem.line is not None
    with pytest.raises(InvalidDocumentError):
        load_search(path, check_files=False, also=search_problems)


def test_a_good_search_has_none(tmp_path: Path) -> None:
    seeds = [step("ifd_filter", fraction=0.5), step("union", trial=1)]
    path = document(tmp_path, seedRecipes=seeds, operators=["ifd_filter"])
    assert not check_documents([path], check_files=False, also=search_problems)


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


def test_only_columns_that_fit_are_offered(tmp_path: Path) -> None:
    wrong = [step("score_filter", signal=name, fraction=0.5) for name in ("minhash", "qualty")]
    found = check_documents([document(tmp_path, seedRecipes=wrong)], check_files=False, also=search_problems)
    assert len(found) == 2
    for problem in found:
        offered = problem.message.partition("there are: ")[2].split(", ")
        assert "quality" in offered
        assert not {"minhash", "exact", "embedding"} & set(offered)
