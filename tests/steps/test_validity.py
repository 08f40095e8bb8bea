"""All problems of a document at once: broken fields hide neither rules between fields, nor files, nor operators."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from autosel_runtime.api.load import check_documents
from autosel_runtime.api.recipe_search import RecipeSearch
from autosel_runtime.errors import DataError
from autosel_runtime.pool.build import build_pool
from autosel_runtime.pool.pool import Pool
from autosel_runtime.pool.sample import make_sample
from autosel_runtime.signals.expected import expected_columns
from autosel_runtime.signals.score import score_pool
from autosel_runtime.signals.table import SignalColumns
from autosel_runtime.steps.recipes import spec_problems
from autosel_runtime.steps.validity import search_problems


def spec(**parts: Any) -> dict[str, Any]:
    """Return a good spec; ``parts`` in camelCase replace sections."""
    return {
        "pool": {"sources": [{"name": "alpaca", "uri": "pool.jsonl"}]},
        "model": {"uri": "hub/model"},
        "evaluation": {"tasks": [{"name": "gsm8k", "uri": "items.jsonl"}]},
        **parts,
    }


def problems(folder: Path, content: dict[str, Any]) -> dict[str, str]:
    """Return sentence by field of a search with this spec, its pool and items at hand."""
    for name in ("pool.jsonl", "items.jsonl"):
        (folder / name).touch()
    manifest = {"apiVersion": "autosel.dev/v1alpha1", "kind": "RecipeSearch", "metadata": {"name": "s"}}
    path = folder / "search.yaml"
    path.write_text(yaml.safe_dump({**manifest, "spec": content}, sort_keys=False))
    found = check_documents([path], also=search_problems)
    assert all(problem.line for problem in found)
    by_field = {problem.field: problem.message for problem in found}
    assert len(by_field) == len(found), found
    return by_field


def test_a_good_document_has_none(tmp_path: Path) -> None:
    assert problems(tmp_path, spec()) == {}


def test_every_kind_of_problem_is_told_beside_the_others(tmp_path: Path) -> None:
    found = problems(
        tmp_path,
        spec(
            pool={
                "sources": [
                    {"name": "alpaca", "uri": "none.jsonl"},
                    {"name": "b", "uri": "pool.jsonl", "limt": 1},
                ]
            },
            training={"learningRate": -1},
            signals={"lexical": {"quality": False}},
            search={
                "operators": ["quality_filter", "no_such"],
                "seedRecipes": [{"steps": [{"operator": "semdedup"}]}],
                "candidates": "many",
            },
            parallelism=20,
            targets=[{"name": "t", "uri": "items.jsonl", "mapping": {"user": "{a", "assistant": "x"}}],
            evaluation={"tasks": [{"name": "no_such_task", "uri": "items.jsonl"}]},
        ),
    )
    assert found.keys() == {
        "spec.pool.sources[0].uri",
        "spec.pool.sources[1].limt",
        "spec.training.learningRate",
        "spec.search.operators[0]",
        "spec.search.operators[1]",
        "spec.search.seedRecipes[0].steps[0].operator",
        "spec.search.candidates",
        "spec.parallelism",
        "spec.targets[0].mapping",
        "spec.targets[0].mapping.user",
        "spec.evaluation.tasks[0].name",
    }
    assert "set spec.signals.lexical.quality: true" in found["spec.search.operators[0]"]
    assert "no built-in task is called 'no_such_task'" in found["spec.evaluation.tasks[0].name"]
    assert "single '{' at character 1" in found["spec.targets[0].mapping.user"]


def test_nothing_is_concluded_from_what_is_broken(tmp_path: Path) -> None:
    """A default or an example that stands for a broken field is not the document's word."""
    broken = spec(
        pool={"sources": [{"name": "A", "uri": 7, "format": "alpaca"}]},
        budget={"evaluations": "many"},
        parallelism=20,
        targets=[{"name": "gsm8k"}],
        search={
            "operators": ["mona_filter"],
            "seedRecipes": [
                {"steps": [{"operator": "source_mix", "params": {"weights": {"web": 1.0}, "fraction": 0.5}}]}
            ],
        },
    )
    assert problems(tmp_path, broken).keys() == {
        "spec.pool.sources[0].name",
        "spec.pool.sources[0].uri",
        "spec.budget.evaluations",
        "spec.targets[0].uri",
    }


def test_a_document_without_spec_has_one_problem(tmp_path: Path) -> None:
    path = tmp_path / "search.yaml"
    path.write_text("apiVersion: autosel.dev/v1alpha1\nkind: RecipeSearch\nmetadata: {name: s}\n")
    [problem] = check_documents([path], also=search_problems)
    assert (problem.field, problem.message) == ("spec", "the field is required")


@pytest.mark.parametrize("section", ["sources", "targets"])
@pytest.mark.parametrize(
    "records",
    [{"format": "mapping"}, {"mapping": {"user": "{q}", "assistant": "{a}"}}],
    ids=["format", "mapping"],
)
def test_mapping_and_its_format_go_together(tmp_path: Path, section: str, records: dict[str, Any]) -> None:
    entries = [{"name": "x", "uri": "pool.jsonl", **records}]
    content = spec(pool={"sources": entries}) if section == "sources" else spec(targets=entries)
    [sentence] = problems(tmp_path, content).values()
    assert sentence == "mapping and format: mapping go together"


def test_sources_of_a_mix_are_checked_as_far_as_they_are_known(tmp_path: Path) -> None:
    mix = {"operator": "source_mix", "params": {"weights": {"web": 1.0}, "fraction": 0.5}}
    search = {"seedRecipes": [{"steps": [mix]}]}
    field = "spec.search.seedRecipes[0].steps[0].params.weights"
    fixed = {"sources": [{"name": "alpaca", "uri": "pool.jsonl", "format": "alpaca"}]}
    assert problems(tmp_path, spec(pool=fixed, search=search)) == {
        field: "unknown source 'web'; the pool has: alpaca"
    }
    assert problems(tmp_path, spec(search=search)) == {}  # records may name their source
    whole = RecipeSearch.model_validate({"metadata": {"name": "s"}, "spec": spec(search=search)}).spec
    assert [".".join(map(str, f.field)) for f in spec_problems(whole, sources=["alpaca", "books"])] == [
        "search.seedRecipes.0.steps.0.params.weights"
    ]
    assert spec_problems(whole, sources=["alpaca", "web"]) == []


def test_task_definitions_are_read(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text(
        "name: mine\ndescription: d\nuser: '{question'\nmetric: exact_match\ngold: {field: answer}\n"
    )
    (tmp_path / "good.yaml").write_text(
        "name: good\ndescription: d\nuser: '{question}'\nmetric: exact_match\ngold: {field: answer}\n"
        "items: there.jsonl\n"
    )
    tasks = [
        {"name": "gsm8k"},
        {"name": "a", "definition": "mine.yaml", "uri": "items.jsonl"},
        {"name": "b", "definition": "good.yaml"},
        {"name": "c", "definition": "none.yaml", "uri": "items.jsonl"},
        {"name": "d", "lmEval": "arc_easy"},
    ]
    found = problems(tmp_path, spec(evaluation={"tasks": tasks}))
    place = "spec.evaluation.tasks"
    assert found.keys() == {f"{place}[0].name", *(f"{place}[{i}].definition" for i in (1, 2, 3))}
    assert "set uri to the file of items" in found[f"{place}[0].name"]
    assert "single '{'" in found[f"{place}[1].definition"]
    assert "there is no file of items" in found[f"{place}[2].definition"]


def test_texts_longer_than_the_model_allows(tmp_path: Path) -> None:
    (tmp_path / "tiny").mkdir()
    (tmp_path / "tiny" / "config.json").write_text('{"max_position_embeddings": 512}')
    found = problems(tmp_path, spec(model={"uri": "tiny"}))
    assert found == {
        "spec.signals.languageModel.maxTokens": "found 2048; the model tiny has 512 positions, set at most that"
    }
    assert (
        problems(tmp_path, spec(model={"uri": "tiny"}, signals={"languageModel": {"maxTokens": 512}})) == {}
    )


def readable(read: Callable[[str], Any], name: str) -> bool:
    """Say whether a column can be read in one way."""
    try:
        read(name)
    except DataError:
        return False
    return True


@pytest.mark.parametrize("on", [True, False])
def test_the_expected_columns_are_those_that_scoring_makes(tmp_path: Path, on: bool) -> None:
    """What validation promises is what a recipe finds; signals of a model have their own test."""
    signals = {
        "lexical": {"ngramEntropy": on, "quality": on, "relevance": on},
        "minhash": {"enabled": on, "floor": 0.7},
        "languageModel": {"enabled": False},
    }
    target = {"name": "t", "uri": "items.jsonl"}
    whole = RecipeSearch.model_validate(
        {"metadata": {"name": "s"}, "spec": spec(signals=signals, targets=[target])}
    ).spec
    (tmp_path / "pool.jsonl").write_text(
        "".join(f'{{"prompt": "question {i}?", "completion": "answer {i}"}}\n' for i in range(20))
    )
    build_pool(whole.pool, base=tmp_path, out=tmp_path / "pool")
    pool = Pool.open(tmp_path / "pool")
    query = make_sample("t", [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}])

    def length(sample: Any) -> float:
        return float(len(sample.messages))

    score_pool(
        pool,
        whole.signals,
        model_dir=None,
        chat_template=None,
        targets={"t": [query]},
        out=tmp_path / "out",
        work=tmp_path / "work",
        extensions=[("mine.length", length)],
    )
    columns = SignalColumns.open(tmp_path / "out", pool)
    expected = expected_columns(whole, ["mine.length"], sources=pool.source_names)
    assert expected.names == columns.names
    assert expected.sources == columns.source_names
    assert expected.floors == columns.floors
    for kind, read in (("scalar", columns.scalar), ("groups", columns.groups), ("pairs", columns.pairs)):
        for name in columns.names:
            assert (expected.kinds[name] == kind) == readable(read, name), (name, kind)
