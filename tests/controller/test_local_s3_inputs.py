"""Inputs in a bucket: the same search with the same files gives the same names, results and scores as from a folder."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from autosel_runtime.report.lock_file import lock_text
from controller.local.subsets import lock_of, verify_run
from tests.controller.local_search import LocalSearch
from tests.mini_search import write_example
from tests.seaweed import ACCESS_KEY, SECRET_KEY, Seaweed, seaweed

STORAGE = {
    "accessKey": {"name": "s3", "key": "TEST_S3_ID"},
    "secretKey": {"name": "s3", "key": "TEST_S3_SECRET"},
}
KEYS = {"TEST_S3_ID": ACCESS_KEY, "TEST_S3_SECRET": SECRET_KEY}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Seaweed]:
    with seaweed(tmp_path_factory.mktemp("seaweed") / "server") as running:
        running.bucket("inputs")
        yield running


@pytest.fixture(scope="module")
def files(server: Seaweed, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The mini search's files, in a folder and in the bucket."""
    root = tmp_path_factory.mktemp("files")
    folder = write_example(root)
    upload(server, folder, "mini")
    upload(server, root / "examples" / "smollm2" / "model", "other")
    return folder


def upload(server: Seaweed, folder: Path, prefix: str) -> None:
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            key = f"{prefix}/{path.relative_to(folder).as_posix()}"
            server.client().put_object(Bucket="inputs", Key=key, Body=path.read_bytes())


def local_spec(folder: Path) -> dict[str, Any]:
    """Return the search with absolute paths."""
    text = (
        (folder / "search.yaml")
        .read_text()
        .replace("../smollm2/model", str(folder.parent / "smollm2" / "model"))
    )
    return yaml.safe_load(re.sub(r"(uri|definition): (?!/)([a-z])", rf"\1: {folder}/\2", text))["spec"]


def s3_spec(folder: Path, server: Seaweed, prefix: str = "mini") -> dict[str, Any]:
    """Return the search with every uri in the bucket; the task's definition stays a file."""
    text, places = re.subn(
        rf'"uri": "{folder}/', f'"uri": "s3://inputs/{prefix}/', json.dumps(local_spec(folder))
    )
    assert places == 7
    spec = json.loads(text)
    spec["evaluation"]["transferModels"] = ["s3://inputs/other/"]
    spec["storage"] = {**STORAGE, "endpoint": server.endpoint, "pathStyle": True}
    return spec


@pytest.fixture(scope="module")
def from_folder(files: Path, tmp_path_factory: pytest.TempPathFactory) -> LocalSearch:
    search = LocalSearch(folder=tmp_path_factory.mktemp("local"), spec=local_spec(files))
    ended = search.run()
    assert ended.code == 0, ended.err
    return search


def test_a_bucket_and_a_folder_give_the_same_names_and_results(
    server: Seaweed, files: Path, from_folder: LocalSearch, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    search = LocalSearch(folder=tmp_path / "s3", spec=s3_spec(files, server), environment=KEYS)
    ended = search.run()
    assert ended.code == 0, ended.err
    assert search.result() == from_folder.result()
    assert prefixes(search) == prefixes(from_folder)
    account = marker(search, "prepare")["summary"]
    assert without_seconds(account) == without_seconds(marker(from_folder, "prepare")["summary"])
    for name, value in KEYS.items():
        monkeypatch.setenv(name, value)
    lock, local = lock_of(search.out, None), lock_of(from_folder.out, None)
    assert [one.sha256 for one in lock.pool.files] == [one.sha256 for one in local.pool.files]
    assert lock.pool.files[0].uri == "s3://inputs/mini/pool/forum.jsonl"
    assert lock.chosen == local.chosen
    (search.out / "recipe.lock").write_text(lock_text(lock))
    assert verify_run(search.out / "recipe.lock", search.out) == []
    server.client().put_object(Bucket="inputs", Key="mini/pool/forum.jsonl", Body=b'{"messages": []}\n')
    found = verify_run(search.out / "recipe.lock", search.out)
    assert len(found) == 1
    assert "file s3://inputs/mini/pool/forum.jsonl of source forum differs" in found[0]


def prefixes(search: LocalSearch) -> set[str]:
    """Return the names of all finished artifacts but those of one search and of its reports, which tell times."""
    store = search.out / "store"
    found = {path.parent.relative_to(store).as_posix() for path in store.rglob("_SUCCESS.json")}
    return {name for name in found if not name.startswith(("searches/", "reports/"))}


def marker(search: LocalSearch, step: str) -> dict[str, Any]:
    return json.loads(next((search.out / "store").glob(f"searches/*/{step}/_SUCCESS.json")).read_text())


def without_seconds(account: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in account.items() if name != "seconds"}
