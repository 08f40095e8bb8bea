"""The commands that need no run: pools, mappings, signals, subsets, documents."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from autosel_runtime.api.pool import PoolSource
from autosel_runtime.pool.pool import Pool
from tests.cli.calls import autosel
from tests.llm.test_client import Server, chat, server  # noqa: F401  (a fixture)


@pytest.fixture(autouse=True)
def _in_root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def _write(name: str, rows: list[dict[str, Any]]) -> None:
    Path(name).parent.mkdir(parents=True, exist_ok=True)
    Path(name).write_text("".join(json.dumps(row) + "\n" for row in rows))


def _pairs(count: int) -> list[dict[str, Any]]:
    return [{"instruction": f"add {i} and one :", "output": f"The answer is {i + 1}."} for i in range(count)]


def test_pool_names_come_from_the_command_line_or_the_files() -> None:
    _write("data/My Set (1).jsonl", _pairs(3))
    _write("b.jsonl", _pairs(2))
    answer = autosel("pool", "build", "data/My Set (1).jsonl", "named=b.jsonl", "--out", "pool", "--json")
    assert (answer.code, answer.err) == (0, "")
    assert [source["name"] for source in answer.json["sources"]] == ["my_set_1", "named"]
    pool = Pool.open(Path("pool"))
    assert (answer.json["digest"], answer.json["rows"]) == (pool.digest, 5)


def test_pool_from_a_search_document_uses_its_mapping_and_limit() -> None:
    _write("data/odd.jsonl", [{"q": f"question {i}", "a": f"answer {i}"} for i in range(5)])
    source = {
        "name": "odd",
        "uri": "odd.jsonl",
        "format": "mapping",
        "limit": 3,
        "mapping": {"user": "Q: {q}", "assistant": "{a}"},
    }
    spec = {
        "pool": {"sources": [source]},
        "model": {"uri": "not/there"},
        "evaluation": {"tasks": [{"name": "gsm8k"}]},
    }
    document = {
        "apiVersion": "autosel.dev/v1alpha1",
        "kind": "RecipeSearch",
        "metadata": {"name": "m"},
        "spec": spec,
    }
    Path("data/search.yaml").write_text(yaml.safe_dump(document))
    answer = autosel("pool", "build", "--spec", "data/search.yaml", "--out", "pool")
    assert answer.code == 0, answer.err
    samples = [sample.messages[0].content for sample in Pool.open(Path("pool")).samples()]
    assert samples == ["Q: question 0", "Q: question 1", "Q: question 2"]


def test_mapping_is_proposed_checked_and_ready_for_a_search(server: Server) -> None:  # noqa: F811
    _write(
        "odd.jsonl", [{"frage": f"question {i}\nwith two lines", "antwort": f"answer {i}"} for i in range(30)]
    )
    proposals = [
        {"system": None, "user": "{wrong}", "assistant": "{antwort}", "source": None},
        {"system": None, "user": "{frage}", "assistant": "{antwort}", "source": None},
    ]
    server.reply = lambda _, number: (200, chat(json.dumps(proposals[number - 1])))
    line = ["pool", "map", "odd=odd.jsonl", "--llm-url", server.url, "--llm-model", "m"]
    answer = autosel(*line)
    assert answer.code == 0, answer.err
    assert server.url in answer.err
    assert "wrong" in server.requests[1]["messages"][0]["content"]  # what was refused is told to the model
    [entry] = yaml.safe_load(answer.out)  # samples are comments
    source = PoolSource.model_validate(entry)
    assert (source.name, source.format) == ("odd", "mapping")
    assert answer.out.count("# sample ") == 3
    assert "#   user:      question 0\n#              with two lines\n#   assistant: answer 0" in answer.out

    server.reply = lambda _, number: (200, chat(json.dumps(proposals[1])))
    as_json = autosel(*line, "--json").json
    assert as_json["sources"] == [entry]
    assert as_json["samples"][0]["messages"][1]["content"] == "answer 0"


def test_mapping_that_is_never_right_or_an_endpoint_that_is_down(server: Server) -> None:  # noqa: F811
    _write("odd.jsonl", [{"frage": "q", "antwort": "a"}])
    server.reply = lambda *_: (200, chat(json.dumps({"user": "{x}", "assistant": "{y}"})))
    answer = autosel("pool", "map", "odd.jsonl", "--llm-url", server.url, "--llm-model", "m")
    assert (answer.code, answer.out) == (65, "")
    assert "no usable mapping was proposed in 3 attempts" in answer.err
    server.reply = lambda *_: (401, b'{"error": {"message": "who are you"}}')
    answer = autosel("pool", "map", "odd.jsonl", "--llm-url", server.url, "--llm-model", "m")
    assert answer.code == 69
    assert "401" in answer.err


def test_key_of_the_environment_is_sent_and_never_shown(
    server: Server,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    _write("odd.jsonl", [{"frage": "q", "antwort": "a"}])
    monkeypatch.setenv("MY_KEY", "sk-0123456789")
    server.reply = lambda *_: (200, chat(json.dumps({"user": "{frage}", "assistant": "{antwort}"})))
    answer = autosel(
        "pool", "map", "odd.jsonl", "--llm-url", server.url, "--llm-model", "m", "--api-key-env", "MY_KEY"
    )
    assert answer.code == 0
    assert server.keys == ["Bearer sk-0123456789"]
    assert "sk-0123456789" not in answer.out + answer.err


def test_from_pool_to_subset() -> None:
    _write("a.jsonl", _pairs(12))
    assert autosel("pool", "build", "a.jsonl", "--out", "pool").code == 0
    scored = autosel("score", "pool", "--out", "signals", "--json")
    assert (scored.code, scored.json["rows"]) == (0, 12)
    assert autosel("score", "pool", "--out", "signals", "--json").json == scored.json
    Path("recipe.yaml").write_text("steps:\n- operator: random_subset\n  params: {size: 5}\n")
    made = autosel("materialize", "pool", "recipe.yaml", "--signals", "signals", "--out", "subset", "--json")
    assert (made.code, made.json["size"]) == (0, 5)
    lines = [json.loads(line) for line in Path("subset/train.jsonl").read_text().splitlines()]
    assert [line["id"] for line in lines] == Path("subset/ids.txt").read_text().split()
    again = autosel("materialize", "pool", "recipe.yaml", "--signals", "signals", "--out", "again", "--json")
    other = autosel(
        "materialize", "pool", "recipe.yaml", "--signals", "signals", "--out", "other", "--seed", 7, "--json"
    )
    assert again.json["subset_digest"] == made.json["subset_digest"] != other.json["subset_digest"]
    text = autosel("materialize", "pool", "recipe.yaml", "--signals", "signals", "--out", "subset").out
    assert text.splitlines()[0] == "5 of 12 samples in subset"
    assert "1. random_subset: 5 left" in text


def test_custom_resources_are_yaml_and_json() -> None:
    documents = list(yaml.safe_load_all(autosel("crd").out))
    assert [document["spec"]["names"]["kind"] for document in documents] == ["RecipeSearch", "RecipeTrial"]
    assert autosel("crd", "--json").json == documents
