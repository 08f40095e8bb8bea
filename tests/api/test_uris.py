"""Which uris of inputs are read, and what is said of the others."""

from pathlib import Path

import pytest
import yaml

from autosel_runtime.api.load import check_documents
from autosel_runtime.api.resources import StorageSpec
from autosel_runtime.api.uris import split_s3, store_uri_problem, uri_problem
from autosel_runtime.errors import ConfigError
from autosel_runtime.store.open import open_store


@pytest.mark.parametrize(
    "uri",
    [
        "a.jsonl",
        "/data/a",
        "file:///data/a",
        "smollm/x",
        "s3://bucket/a",
        "s3://bucket/a/",
        "s3://bucket/",
        "s3://b-1.x/*.jsonl",
    ],
)
def test_paths_hub_ids_and_objects_are_inputs(uri: str) -> None:
    assert uri_problem(uri) is None


@pytest.mark.parametrize(
    ("uri", "words"),
    [
        (
            "https://example.com/a.jsonl",
            "the scheme 'https' is not supported; allowed: a path, file:///path, s3://",
        ),
        ("gs://bucket/a", "the scheme 'gs' is not supported"),
        ("s3://", "names no bucket"),
        ("s3:///a", "names no bucket"),
        ("s3://bucket", "names no key; for the whole bucket write s3://bucket/"),
        ("s3://My_Bucket/a", "'My_Bucket' is no bucket name"),
        ("s3://bucket/a//b", "empty segment"),
        ("s3://bucket/../b", "empty segment, . or .."),
    ],
)
def test_other_uris_are_refused_with_what_is_allowed(uri: str, words: str) -> None:
    assert words in (uri_problem(uri) or "")


@pytest.mark.parametrize(
    "uri", ["store", "./a/b", "/data/store", "~/store", "s3://bucket", "s3://bucket/", "s3://bucket/a/b/"]
)
def test_folders_and_places_in_buckets_are_stores(uri: str) -> None:
    assert store_uri_problem(uri) is None
    assert StorageSpec(uri=uri).uri == uri


@pytest.mark.parametrize(
    ("uri", "words"),
    [
        ("s3://", "names no bucket; allowed: a folder, s3://bucket, or s3://bucket/prefix"),
        ("s3://Bad_Bucket!/x", "'Bad_Bucket!' is no bucket name"),
        ("http://x", "the scheme 'http' is not supported; allowed: a folder, s3://"),
        ("gs://x/y", "the scheme 'gs' is not supported"),
        ("s3://bucket/a//b", "empty segment"),
    ],
)
def test_other_stores_are_refused_with_the_line_and_where_they_are_opened(
    tmp_path: Path, uri: str, words: str
) -> None:
    path = tmp_path / "search.yaml"
    spec = {
        "pool": {"sources": [{"name": "a", "uri": "/a.jsonl"}]},
        "model": {"uri": "/model"},
        "evaluation": {"tasks": [{"name": "gsm8k", "uri": "/items.jsonl"}]},
        "storage": {"uri": uri},
    }
    path.write_text(
        yaml.safe_dump(
            {
                "apiVersion": "autosel.dev/v1alpha1",
                "kind": "RecipeSearch",
                "metadata": {"name": "x"},
                "spec": spec,
            },
            sort_keys=False,
        )
    )
    [problem] = check_documents([path])
    assert problem.field == "spec.storage.uri"
    assert problem.line == 1 + path.read_text().splitlines().index(f"    uri: {uri}")
    assert problem.message == store_uri_problem(uri)
    assert words in problem.message
    unchecked = StorageSpec().model_copy(update={"uri": uri})
    with pytest.raises(ConfigError) as caught:
        open_store(unchecked, base=tmp_path, default=tmp_path, environ={})
    assert str(caught.value) == f"storage.uri: {problem.message}"


def test_a_key_keeps_its_slashes() -> None:
    assert split_s3("s3://bucket/a/b/") == ("bucket", "a/b/")
    assert split_s3("s3://bucket/") == ("bucket", "")


def test_every_field_of_a_document_is_checked_with_its_line(tmp_path: Path) -> None:
    bad = "ftp://example.com/x"
    spec = {
        "pool": {"sources": [{"name": "a", "uri": bad}]},
        "model": {"uri": bad},
        "targets": [{"name": "t", "uri": bad}],
        "signals": {"languageModel": {"model": bad}},
        "evaluation": {"tasks": [{"name": "gsm8k", "uri": bad}], "transferModels": [bad]},
    }
    document = {
        "apiVersion": "autosel.dev/v1alpha1",
        "kind": "RecipeSearch",
        "metadata": {"name": "x"},
        "spec": spec,
    }
    path = tmp_path / "search.yaml"
    path.write_text(yaml.safe_dump(document))
    problems = check_documents([path])
    assert {problem.field for problem in problems} == {
        "spec.pool.sources[0].uri",
        "spec.model.uri",
        "spec.targets[0].uri",
        "spec.signals.languageModel.model",
        "spec.evaluation.tasks[0].uri",
        "spec.evaluation.transferModels[0]",
    }
    lines = path.read_text().splitlines()
    assert all(problem.line is not None and bad in lines[problem.line - 1] for problem in problems)
    path.write_text(path.read_text().replace(bad, "s3://bucket/x"))
    assert check_documents([path]) == []
