"""The documents that the end to end test runs are the example's, moved."""

from pathlib import Path

import pytest

from autosel_runtime.api.recipe_search import RecipeSearch
from tests.e2e import documents


def _texts(value: object) -> list[str]:
    if isinstance(value, dict):
        return [text for entry in value.values() for text in _texts(entry)]
    if isinstance(value, list):
        return [text for entry in value for text in _texts(entry)]
    return [value] if isinstance(value, str) else []


def _cluster() -> documents.Document:
    return documents.for_cluster(
        documents.example(), bucket="autosel", endpoint="http://10.0.0.1:8333", namespace="team-a"
    )


def test_every_file_that_is_named_is_uploaded() -> None:
    files = documents.inputs(documents.example())
    assert all((documents.EXAMPLE / path).is_file() for path in files)
    keys = {f"s3://autosel/inputs/{path}" for path in files}
    named = [text for text in _texts(_cluster()["spec"]) if text.startswith("s3://autosel/inputs/")]
    assert len(set(named)) == 12
    assert all(any(key == text or key.startswith(f"{text}/") for key in keys) for text in named)


def test_nothing_but_addresses_changes_for_one_machine() -> None:
    document = documents.example()
    moved = documents.for_machine(document)
    assert {Path(text).is_absolute() for text in _texts(moved["spec"]) if "/" in text} == {True}
    assert _texts(moved["spec"]["training"]) == _texts(document["spec"]["training"])
    assert moved["spec"]["search"] == document["spec"]["search"]


@pytest.mark.parametrize(
    "document", [documents.for_machine(documents.example()), _cluster(), documents.for_two_nodes(_cluster())]
)
def test_the_documents_are_valid(document: documents.Document) -> None:
    RecipeSearch.model_validate(document)


@pytest.mark.parametrize("has", [(), ("nvidia",), ("nvidia", "ascend")])
def test_steps_ask_only_for_accelerators_that_the_cluster_has(has: tuple[str, ...]) -> None:
    document = documents.for_cluster(
        documents.example(), bucket="b", endpoint="http://10.0.0.1:1", namespace="n", accelerators=has
    )
    steps = document["spec"]["steps"].values()
    assert [step["accelerator"]["kind"] for step in steps if "accelerator" in step] == list(has)


def test_inputs_are_the_same_in_the_cluster_and_on_one_machine() -> None:
    local, remote = documents.for_machine(documents.example())["spec"], _cluster()["spec"]
    for field in ("search", "training", "signals", "budget", "parallelism"):
        assert local[field] == remote[field]
