"""What a search document may name in a bucket, an argument may name there too, and the answers are the same."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from autosel_runtime.report.lock_file import lock_text
from tests.cli.calls import autosel
from tests.controller.local_search import LocalSearch, specification, write_inputs
from tests.controller.test_rebuild import MODEL, lock_of
from tests.llm.test_client import Server, chat, server  # noqa: F401  (a fixture)
from tests.seaweed import ACCESS_KEY, SECRET_KEY, Seaweed, seaweed
from tests.tiny_model import build_model

BUCKET = "s3://inputs/mine"


@pytest.fixture(scope="module")
def bucket(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Seaweed]:
    with seaweed(tmp_path_factory.mktemp("seaweed") / "server") as running:
        running.bucket("inputs")
        yield running


@pytest.fixture(scope="module")
def files(bucket: Seaweed, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The inputs of a tiny search, in a folder and in the bucket."""
    folder = write_inputs(tmp_path_factory.mktemp("files"))
    upload(bucket, folder, "mine")
    return folder


def upload(bucket: Seaweed, folder: Path, prefix: str) -> None:
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            key = f"{prefix}/{path.relative_to(folder).as_posix()}"
            bucket.client().put_object(Bucket="inputs", Key=key, Body=path.read_bytes())


@pytest.fixture(autouse=True)
def _place(bucket: Seaweed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("AWS_ENDPOINT_URL", bucket.endpoint)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", ACCESS_KEY)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET_KEY)
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")


def test_score_takes_model_and_targets_from_a_bucket(files: Path) -> None:
    assert autosel("pool", "build", f"good={files}/good.jsonl", "--out", "pool").code == 0
    line = ["score", "pool", "--json", "--max-tokens", 64]
    here = autosel(*line, "--model", files / "model", "--target", f"add={files}/target.jsonl", "--out", "a")
    there = autosel(
        *line, "--model", f"{BUCKET}/model", "--target", f"add={BUCKET}/target.jsonl", "--out", "b"
    )
    assert (there.code, here.code) == (0, 0), there.err
    assert there.json["fingerprint"] == here.json["fingerprint"]
    assert [path.name for path in Path().iterdir() if "inputs" in path.name] == []


def test_train_and_evaluate_take_models_from_a_bucket(files: Path, bucket: Seaweed) -> None:
    spec = specification(files)
    document = {
        "apiVersion": "autosel.dev/v1alpha1",
        "kind": "RecipeSearch",
        "metadata": {"name": "x"},
        "spec": spec,
    }
    Path("search.yaml").write_text(yaml.safe_dump(document))
    rows = [
        {
            "id": str(i),
            "messages": [{"role": "user", "content": f"add {i}"}, {"role": "assistant", "content": "two"}],
        }
        for i in range(8)
    ]
    Path("train.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    bucket.client().put_object(Bucket="inputs", Key="mine/train.jsonl", Body=Path("train.jsonl").read_bytes())
    line = ["--search", "search.yaml", "--json"]
    here = autosel("train", files / "model", "train.jsonl", *line, "--out", "a")
    there = autosel("train", f"{BUCKET}/model", f"{BUCKET}/train.jsonl", *line, "--out", "b")
    assert there.code == 0, there.err
    assert there.json["final_loss"] == here.json["final_loss"]
    upload(bucket, Path("b"), "tuned")
    scores = autosel("evaluate", "a", "s3://inputs/tuned", f"{BUCKET}/model", *line, "--out", "scores")
    assert scores.code == 0, scores.err
    first, second, untuned = scores.json
    assert (first["score"], first["tasks"]) == (second["score"], second["tasks"])
    assert (second["checkpoint"], second["out"]) == ("s3://inputs/tuned", "scores/tuned")
    assert Path(untuned["out"], "items.jsonl").is_file()


def test_map_reads_a_source_in_a_bucket(files: Path, server: Server) -> None:  # noqa: F811
    server.reply = lambda *_: (200, chat(json.dumps({"user": "{question}", "assistant": "{answer}"})))
    line = ["--llm-url", server.url, "--llm-model", "m", "--json"]
    answer = autosel("pool", "map", f"sums={BUCKET}/good.jsonl", *line)
    assert answer.code == 0, answer.err
    assert answer.json["sources"][0]["uri"] == f"{BUCKET}/good.jsonl"
    assert answer.json["samples"][0]["messages"][0]["role"] == "user"


def test_a_lock_of_files_in_a_bucket_is_verified_without_a_run(
    files: Path, bucket: Seaweed, monkeypatch: pytest.MonkeyPatch
) -> None:
    lock = lock_of(files, Path("made"), MODEL)
    assert lock.inputs is not None
    text = (
        lock_text(lock)
        .replace('"uri": "', f'"uri": "{BUCKET}/')
        .replace('"model": "model"', f'"model": "{BUCKET}/model"')
    )
    assert text.count(BUCKET) == 6
    moved = type(lock).model_validate_json(text)
    Path("recipe.lock").write_text(lock_text(moved.sealed()))
    answer = autosel("verify", "recipe.lock")
    assert answer.code == 0, answer.err
    monkeypatch.delenv("AWS_ENDPOINT_URL")
    assert autosel("verify", "recipe.lock", "--endpoint", bucket.endpoint).code == 0
    wrong = autosel("verify", "recipe.lock", "--endpoint", "localhost")
    assert (wrong.code, "--endpoint: found 'localhost'" in wrong.err) == (64, True)
    bucket.client().put_object(Bucket="inputs", Key="mine/good.jsonl", Body=b"other")
    answer = autosel("verify", "recipe.lock", "--endpoint", bucket.endpoint)
    upload(bucket, files, "mine")
    assert answer.code == 65
    assert f"File {BUCKET}/good.jsonl of source good is not the one that was locked" in answer.err


@pytest.mark.parametrize(
    "line",
    [
        "score pool --model s3://inputs/no --out o",
        "train s3://inputs/no train.jsonl --search search.yaml --out o",
        "pool map s3://inputs/no --llm-url http://localhost/v1 --llm-model m",
        "pool build s3://inputs/no --out o",
    ],
)
def test_what_is_not_in_the_bucket(files: Path, line: str) -> None:
    assert autosel("pool", "build", f"good={files}/good.jsonl", "--out", "pool").code == 0
    document = {
        "apiVersion": "autosel.dev/v1alpha1",
        "kind": "RecipeSearch",
        "metadata": {"name": "x"},
        "spec": specification(files),
    }
    Path("search.yaml").write_text(yaml.safe_dump(document))
    answer = autosel(*line.split())
    assert answer.code == 66, answer.err
    assert answer.err.splitlines()[-1].startswith("error: s3://inputs/no does not exist at http://127.0.0.1:")
    assert not Path("o").exists()


def test_transfer_takes_a_model_from_a_bucket(files: Path, bucket: Seaweed, tmp_path: Path) -> None:
    baselines = {"untuned": True, "randomSubset": False, "fullPool": False}
    search = LocalSearch(
        folder=tmp_path / "search",
        spec=specification(files, budget={"evaluations": 1}, parallelism=1, baselines=baselines),
    )
    ended = search.run()
    assert ended.code == 0, ended.err
    build_model(tmp_path / "other", seed=5)
    upload(bucket, tmp_path / "other", "other")
    there = autosel("transfer", search.out, "s3://inputs/other", "--json")
    assert there.code == 0, there.err
    own, found = there.json["models"]
    assert (own["searched"], found["searched"], found["model"]) == (True, False, "s3://inputs/other")
    here = autosel("transfer", search.out, tmp_path / "other", "--json")
    assert here.code == 0, here.err
    assert {**here.json["models"][1], "model": found["model"]} == found
    assert "tuning" not in here.err, "the same model has the same scores, wherever it lies"
