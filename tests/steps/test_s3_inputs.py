"""Steps whose inputs lie in a bucket, as pods run them: each with an empty scratch folder of its own."""

import json
import shutil
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.seaweed import ACCESS_KEY, SECRET_KEY, Seaweed, seaweed
from tests.steps.conftest import lexical
from tests.steps.world import UID, Ran, Steps

STORAGE = {
    "pathStyle": True,
    "accessKey": {"name": "s3", "key": "TEST_S3_ID"},
    "secretKey": {"name": "s3", "key": "TEST_S3_SECRET"},
}
DEFINITION = """\
name: own
description: Sums.
user: '{question}'
gold: {field: answer}
metric: exact_match
items: ../items/own.jsonl
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Seaweed]:
    with seaweed(tmp_path_factory.mktemp("seaweed") / "server") as running:
        running.bucket("inputs")
        yield running


@pytest.fixture
def place(server: Seaweed, inputs: Path) -> str:
    """A folder of the bucket with the inputs of the test's own."""
    name = f"inputs/{uuid.uuid4().hex}"
    for path in sorted(inputs.rglob("*")):
        if path.is_file():
            put(server, name, path.relative_to(inputs).as_posix(), path.read_bytes())
    return name


def put(server: Seaweed, place: str, key: str, body: bytes) -> None:
    bucket, _, folder = place.partition("/")
    server.client().put_object(Bucket=bucket, Key=f"{folder}/{key}", Body=body)


@pytest.fixture
def steps(
    server: Seaweed, place: str, inputs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Steps:
    monkeypatch.setenv("TEST_S3_ID", ACCESS_KEY)
    monkeypatch.setenv("TEST_S3_SECRET", SECRET_KEY)
    text = json.dumps(lexical(inputs)).replace(f'"{inputs}/', f'"s3://{place}/')
    spec = json.loads(text)
    assert spec["model"]["uri"] == f"s3://{place}/model"
    return Steps(folder=tmp_path, spec=spec | {"storage": STORAGE | {"endpoint": server.endpoint}})


def prepared(steps: Steps) -> Steps:
    """Run prepare as the controller names it, and score; forget the scratch folder, as a pod does."""
    steps.account = steps.run("prepare", f"searches/{UID}/prepare", name="setup.prepare").summary
    shutil.rmtree(steps.folder / "work")
    return steps


def score(steps: Steps) -> Ran:
    return steps.run("score", "signals/x", name="setup.score", pool=steps.account["pool"])


def evaluate(steps: Steps) -> Ran:
    return steps.run(
        "evaluate",
        "evaluations/x",
        name="baseline-untuned.evaluate",
        model=None,
        base_model=steps.spec["model"]["uri"],
        group="objective",
        half="search",
    )


def test_files_and_objects_have_one_account(
    steps: Steps, inputs: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    local = Steps(folder=tmp_path_factory.mktemp("local"), spec=lexical(inputs))
    account = prepared(local).account
    found = prepared(steps).account
    assert {k: v for k, v in found.items() if k != "seconds"} == {
        k: v for k, v in account.items() if k != "seconds"
    }


def test_a_step_brings_what_it_needs_and_no_more(steps: Steps, place: str) -> None:
    prepared(steps)
    assert score(steps).code == 0
    below = steps.folder / "work" / "s3" / "trees"
    names = {path.relative_to(below).parts[1:] for path in below.rglob("*") if path.is_file()}
    assert names == {(*place.split("/"), "target.jsonl")}


def test_rows_name_the_object_that_they_came_from(steps: Steps, place: str) -> None:
    import pyarrow.parquet as parquet

    prepared(steps)
    part = next((steps.folder / "store" / "pools").rglob("part-00000.parquet"))
    assert parquet.read_table(part)["record"][0].as_py() == f"s3://{place}/good.jsonl:1"


@pytest.mark.parametrize(
    ("key", "step"), [("target.jsonl", score), ("items.jsonl", evaluate), ("model/config.json", evaluate)]
)
def test_a_step_refuses_what_was_replaced_after_prepare(
    server: Seaweed, steps: Steps, place: str, inputs: Path, key: str, step: Any
) -> None:
    prepared(steps)
    body = (inputs / key).read_bytes()
    put(server, place, key, body.replace(b"e", b"o", 1))
    ran = step(steps)
    assert (ran.code, ran.marker) == (66, None)
    assert ran.error.startswith(f"s3://{place}/{key} is not what it was when the search was prepared")
    put(server, place, key, body)
    assert step(steps).code == 0


def test_a_definition_in_a_bucket_finds_its_items_beside_it(
    server: Seaweed, steps: Steps, place: str, inputs: Path
) -> None:
    put(server, place, "tasks/own.yaml", DEFINITION.encode())
    put(server, place, "items/own.jsonl", (inputs / "target.jsonl").read_bytes())
    steps.spec["evaluation"]["tasks"] = [{"name": "own", "definition": f"s3://{place}/tasks/own.yaml"}]
    prepared(steps)
    put(server, place, "items/own.jsonl", b'{"question": "another", "answer": "one"}\n')
    assert "items/own.jsonl is not what it was when the search was prepared" in evaluate(steps).error


def broken(steps: Steps, server: Seaweed, place: str, fault: str) -> tuple[str, int]:
    """Break one input; return the start of the sentence and the exit code."""
    spec = steps.spec
    match fault:
        case "no such key":
            spec["pool"]["sources"][1]["uri"] = f"s3://{place}/none.jsonl"
            return (
                f"spec.pool.sources[1].uri: s3://{place}/none.jsonl does not exist at {server.endpoint}",
                66,
            )
        case "no match":
            spec["targets"][0]["uri"] = f"s3://{place}/none/*.jsonl"
            return (
                f"spec.targets[0].uri: s3://{place}/none/*.jsonl matches no object at {server.endpoint}",
                66,
            )
        case "no such bucket":
            spec["evaluation"]["tasks"][0]["uri"] = "s3://no-such-bucket/items.jsonl"
            return "spec.evaluation.tasks[0].uri: bucket no-such-bucket does not exist", 66
        case "a model that is none":
            spec["model"]["uri"] = f"s3://{place}/"
            return (
                f"spec.model.uri: s3://{place}/: no model here: neither config.json nor adapter_config.json",
                66,
            )
        case "a model that is a file":
            spec["evaluation"]["transferModels"] = [f"s3://{place}/model/config.json"]
            return (
                f"spec.evaluation.transferModels[0]: s3://{place}/model/config.json: no model here: it is one object",
                66,
            )
        case "wrong credentials":
            spec["storage"]["secretKey"] = {"name": "s3", "key": "TEST_S3_ID"}
            return f"spec.model.uri: cannot read {place.partition('/')[2]}/model: no permission in bucket", 78
        case "no credentials":
            spec["storage"]["secretKey"] = {"name": "s3", "key": "TEST_S3_NONE"}
            return "spec.model.uri: storage.secretKey: environment variable TEST_S3_NONE is not set", 78
        case _:
            spec["model"]["uri"] = "https://example.com/model"
            return "step document", 65


FAULTS = ["no such key", "no match", "no such bucket", "a model that is none", "a model that is a file"]


@pytest.mark.parametrize("fault", [*FAULTS, "wrong credentials", "no credentials", "another scheme"])
def test_what_is_wrong_with_a_uri_is_one_sentence_with_its_field(
    steps: Steps, server: Seaweed, place: str, fault: str, capfd: pytest.CaptureFixture[str]
) -> None:
    words, code = broken(steps, server, place, fault)
    ran = steps.run("prepare", f"searches/{UID}/prepare", name="setup.prepare")
    assert (ran.code, ran.error[: len(words)]) == (code, words), ran.error
    printed = capfd.readouterr().err
    assert "Traceback" not in printed
    assert SECRET_KEY not in printed + ran.error


def test_without_the_library_the_sentence_says_how_to_get_it(
    steps: Steps, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in sys.modules if name.startswith("autosel_runtime.store.s3_")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "boto3", None)
    ran = steps.run("prepare", f"searches/{UID}/prepare", name="setup.prepare")
    assert ran.code == 69
    assert (
        ran.error
        == "spec.model.uri: inputs from s3:// need boto3; install it with: pip install 'autosel[s3]'"
    )


def test_a_server_that_is_down_is_worth_another_attempt(
    steps: Steps, place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("autosel_runtime.store.retry.time.sleep", lambda seconds: None)
    steps.spec["storage"]["endpoint"] = "http://127.0.0.1:9"
    ran = steps.run("prepare", f"searches/{UID}/prepare", name="setup.prepare")
    assert ran.code == 75
    assert ran.error.startswith(f"spec.model.uri: cannot read {place.partition('/')[2]}/model in s3://inputs")
