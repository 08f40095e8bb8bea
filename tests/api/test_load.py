"""Documents are checked whole: every problem has its file, line and field, and says what is allowed."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autosel_runtime.api.load import check_documents, load_search
from autosel_runtime.api.recipe_search import RecipeSearch
from autosel_runtime.api.yaml_tree import read_documents
from autosel_runtime.errors import InvalidDocumentError, NoInputError

GOOD = """\
apiVersion: autosel.dev/v1alpha1
kind: RecipeSearch
metadata: {name: quick, creationTimestamp: null}
spec:
  pool:
    sources:
      - name: alpaca
        uri: pool.jsonl
  model: {uri: hub/model}
  training:
    learningRate: 2e-5
  evaluation:
    tasks: [{name: gsm8k, uri: items.jsonl}]
"""
TRIAL = """\
apiVersion: autosel.dev/v1alpha1
kind: RecipeTrial
metadata: {name: quick-t00001}
spec:
  searchRef: quick
  ordinal: 1
  recipe: {steps: []}
  recipeDigest: sha256:%s
""" % ("0" * 64)


def _write(folder: Path, text: str) -> Path:
    (folder / "pool.jsonl").touch()
    (folder / "items.jsonl").touch()
    path = folder / "search.yaml"
    path.write_text(text)
    return path


def _problems(folder: Path, text: str) -> list[str]:
    path = _write(folder, text)
    return [str(problem).removeprefix(str(path)) for problem in check_documents([path])]


def test_a_good_search_is_loaded(tmp_path: Path) -> None:
    search = load_search(_write(tmp_path, GOOD))
    assert search.metadata.name == "quick"
    assert search.spec.training.learning_rate == 2e-5
    assert check_documents([tmp_path / "search.yaml"]) == []


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    search = load_search(_write(tmp_path, GOOD))
    text = search.model_dump_json(by_alias=True)  # JSON is YAML
    assert load_search(_write(tmp_path, text)) == search
    assert RecipeSearch.model_validate_json(text) == search


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ("uri: pool.jsonl", "uri: p.jsonl", ":8: spec.pool.sources[0].uri: there is no file or folder "),
        ("uri: pool.jsonl", "uri: '*.zst'", ":8: spec.pool.sources[0].uri: no file matches "),
        (
            "uri: items.jsonl",
            "uri: i.jsonl",
            ":13: spec.evaluation.tasks[0].uri: there is no file or folder ",
        ),
        ("hub/model", "./model", ":9: spec.model.uri: there is no file or folder "),
        (
            "learningRate",
            "learning_rate",
            ":11: spec.training.learning_rate: the field is unknown; did you mean "
            "learningRate? allowed: method, ",
        ),
        ("2e-5", "-1", ":11: spec.training.learningRate: found -1; must be more than 0.0"),
        ("2e-5", ".nan", ":11: spec.training.learningRate: found .nan; NaN and infinity are not allowed"),
        ("2e-5", "'2e-5'", ":11: spec.training.learningRate: found '2e-5'; must be a number"),
        (
            "2e-5",
            "2e-5\n  steps: {prepare: {shards: 2}}",
            ":12: spec.steps.prepare.shards: prepare.shards must be 1: only score and evaluate can be shared out",
        ),
        (
            "2e-5",
            "2e-5\n  steps: {evaluate: {nodes: 2}}",
            ":12: spec.steps.evaluate.nodes: evaluate.nodes must be 1: only train can span several pods",
        ),
        (
            "2e-5",
            "2e-5\n    learningRate: 1",
            ":12: spec.training.learningRate: the key is given twice, first in line 11",
        ),
        (
            "2e-5",
            "2e-5\n    lossOn: last_answers",
            ":12: spec.training.lossOn: found 'last_answers'; allowed: last_answer, "
            "all_answers; did you mean last_answer?",
        ),
        ("2e-5", "2e-5\n    maxSteps: 1.5", ":12: spec.training.maxSteps: found 1.5; must be a whole number"),
        ("2e-5", "2e-5\n\tseed: 1", ":12: a tab is used for indentation; YAML allows spaces only"),
        ("2e-5", "2e-5\n    seed: yes", ":12: spec.training.seed: found true; must be a whole number"),
        ("2e-5", "2e-5\n    1: 2", ":12: spec.training: keys are text: 1 is not allowed"),
        ("name: alpaca", "name: y", ":7: spec.pool.sources[0].name: found true; must be text"),
        ("name: alpaca", "name: A", ":7: spec.pool.sources[0].name: found 'A'; must match "),
        (
            "name: alpaca",
            "name: " + "a" * 64,
            ":7: spec.pool.sources[0].name: the text has 64 characters; at most 63",
        ),
        (
            "name: quick",
            "name: " + "a" * 41,
            ":3: metadata.name: the text has 41 characters; at most 40 are allowed",
        ),
        ("{uri: hub/model}", "{}", ":9: spec.model.uri: the field is required"),
        ("{uri: hub/model}", "hub/model", ":9: spec.model: found 'hub/model'; must be a mapping"),
        (
            "    tasks: [{name: gsm8k, uri: items.jsonl}]",
            "    tasks: []",
            ":13: spec.evaluation.tasks: there are 0 items; at least 1 are needed",
        ),
        (
            "uri: items.jsonl}",
            "lmEval: x, uri: items.jsonl}",
            ":13: spec.evaluation.tasks[0].lmEval: lmEval excludes definition and uri",
        ),
        (
            "  training:",
            "  parallelism: 99\n  training:",
            ":10: spec.parallelism: parallelism must not exceed budget.evaluations",
        ),
        (
            "RecipeSearch",
            "RecipeSerch",
            ":2: kind: found 'RecipeSerch'; did you mean RecipeSearch? allowed: ",
        ),
        ("kind: RecipeSearch", "", ":1: the field kind is required; allowed: RecipeSearch, RecipeTrial"),
        ("v1alpha1", "v2", ":1: apiVersion: found 'autosel.dev/v2'; must be autosel.dev/v1alpha1"),
        (GOOD, "", ": the file holds no document"),
        (GOOD, "- 1", ":1: the document is no mapping"),
        (GOOD, "a: [", ":1: "),
        (GOOD, "a: &a [*a]", ":1: an alias contains itself"),
        (GOOD, "a: !!python/object:os.system {}", ":1: "),
        (GOOD, "a: !!binary aGk=\nkind: X", ":1: a: found tag:yaml.org,2002:binary; allowed are "),
    ],
)
def test_problems_are_precise(tmp_path: Path, old: str, new: str, problem: str) -> None:
    assert old in GOOD
    found = _problems(tmp_path, GOOD.replace(old, new))
    assert any(line.startswith(problem) for line in found), found


def test_features_that_nobody_computes_are_refused_with_what_to_do(tmp_path: Path) -> None:
    path = _write(tmp_path, GOOD + "  signals: {sae: {uri: sae/layers.26, hookpoint: layers.26}}\n")
    with pytest.raises(InvalidDocumentError) as raised:
        load_search(path)
    [problem] = raised.value.problems
    assert (problem.field, problem.line) == ("spec.signals.sae", 14)
    assert "computes no features of sparse autoencoders; leave sae out" in problem.message


def test_all_problems_come_at_once_in_order(tmp_path: Path) -> None:
    text = GOOD.replace("name: quick", "name: Quick").replace("2e-5", "0") + "---\nkind: Pod\n---\n" + TRIAL
    found = _problems(tmp_path, text)
    assert [line.split(":")[1] for line in found] == ["3", "11", "15"]


def test_other_documents_of_ours_are_checked(tmp_path: Path) -> None:
    assert _problems(tmp_path, f"{GOOD}---\n{TRIAL}") == []
    assert load_search(tmp_path / "search.yaml").metadata.name == "quick"
    bad = _problems(tmp_path, f"{GOOD}---\n{TRIAL}".replace("ordinal: 1", "ordinal: -1"))
    assert bad == [":20: spec.ordinal: found -1; must be at least 0"]


def test_exactly_one_search_is_loaded(tmp_path: Path) -> None:
    with pytest.raises(
        InvalidDocumentError, match="no RecipeSearch documents; exactly one is needed"
    ) as caught:
        load_search(_write(tmp_path, TRIAL))
    assert len(caught.value.problems) == 1


def test_what_run_refuses_validate_refuses(tmp_path: Path) -> None:
    sentence = "a second RecipeSearch in one file; a run takes one, so give each a file of its own"
    path = _write(tmp_path, f"{GOOD}---\n{GOOD}")
    with pytest.raises(InvalidDocumentError, match=sentence):
        load_search(path)
    [problem] = check_documents([path])
    assert (problem.line, problem.message) == (15, sentence)


@pytest.mark.parametrize("value", [".nan", ".inf", "-.inf", "!!float x"])
def test_a_number_that_is_none_is_one_problem(tmp_path: Path, value: str) -> None:
    for text, field in (
        (GOOD.replace("2e-5", value), "spec.training.learningRate"),
        (GOOD + f"  budget: {{evaluations: {value}}}\n", "spec.budget.evaluations"),
    ):
        [line] = _problems(tmp_path, text)
        assert f"{field}: " in line
        assert value.split()[-1] in line


@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("localhost:8000/v1", "does not begin with http:// or https://"),
        ("ftp://host/v1", "does not begin with http:// or https://"),
        ("nope", "does not begin with http:// or https://"),
        ("http:///v1", "names no host"),
        ("http://a b/v1", "has a space"),
        ("http://host:99999/v1", "port out of range"),
        ("http://[::1/v1", "invalid IPv6"),
    ],
)
def test_addresses_that_cannot_be_asked(tmp_path: Path, address: str, words: str) -> None:
    llm = f"  search: {{llm: {{model: m, baseUrl: {json.dumps(address)}}}}}\n"
    [line] = _problems(tmp_path, GOOD + llm)
    assert "spec.search.llm.baseUrl: found" in line
    assert words in line
    assert _problems(tmp_path, GOOD + llm.replace(json.dumps(address), "'https://[::1]:8000/v1'")) == []


def test_files_are_checked_only_when_asked(tmp_path: Path) -> None:
    path = tmp_path / "search.yaml"
    path.write_text(GOOD)
    assert load_search(path, check_files=False).metadata.name == "quick"
    assert len(check_documents([path])) == 2
    elsewhere = GOOD.replace("pool.jsonl", "s3://bucket/p.jsonl").replace("items.jsonl", "/in/the/pod.jsonl")
    path.write_text(elsewhere)
    assert check_documents([path]) == []


def test_a_model_folder_is_told_from_a_hub_id(tmp_path: Path) -> None:
    (tmp_path / "models").mkdir()
    found = _problems(tmp_path, GOOD.replace("hub/model", "models/tiny"))
    assert [line.split(": ")[1] for line in found] == ["spec.model.uri"]
    (tmp_path / "models" / "tiny").mkdir()
    (line,) = _problems(tmp_path, GOOD.replace("hub/model", "models/tiny"))
    assert "is no model: it is a folder without config.json" in line
    (tmp_path / "models" / "tiny" / "config.json").write_text("{}")
    assert _problems(tmp_path, GOOD.replace("hub/model", "models/tiny")) == []
    (line,) = _problems(tmp_path, GOOD.replace("hub/model", "models/tiny/config.json"))
    assert line.startswith(":9: spec.model.uri: ")
    assert line.endswith(
        "is no model: it is a file; name the folder that holds config.json or adapter_config.json"
    )


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(NoInputError, match="cannot read"):
        load_search(tmp_path / "none.yaml")
    assert "No such file" in str(check_documents([tmp_path / "none.yaml"])[0])
    (tmp_path / "latin.yaml").write_bytes(b"a: 1\nb: \xe9\n")
    assert str(check_documents([tmp_path / "latin.yaml"])[0]).endswith(
        "latin.yaml:2: the file is not UTF-8 text"
    )
    (tmp_path / "bell.yaml").write_bytes(b"a: 1\nb: \x07\n")
    assert ":2: the file has a control character" in str(check_documents([tmp_path / "bell.yaml"])[0])


def test_aliases_that_explode_are_refused(tmp_path: Path) -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 10)]
    assert "more than 200,000 values" in _problems(tmp_path, "\n".join(lines))[0]


@pytest.mark.parametrize("depth", [65, 5_000])
@pytest.mark.parametrize("style", ["lists", "mappings", "blocks"])
def test_values_that_are_nested_too_deep_are_refused(tmp_path: Path, depth: int, style: str) -> None:
    deep = {
        "lists": "[" * depth + "]" * depth,
        "mappings": "{a: " * depth + "1" + "}" * depth,
        "blocks": "- " * depth + "1",
    }[style]
    assert _problems(tmp_path, f"b: 1\na:\n  {deep}\n") == [":3: values are nested deeper than 64 levels"]


@given(st.text(alphabet="ab:- \n[]{}&*!|>'\"#?,%@`\t0", max_size=60))
def test_any_text_gives_problems_or_documents(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    path = tmp_path_factory.getbasetemp() / "any.yaml"
    path.write_text(text)
    documents, problems = read_documents(path)
    assert all(problem.message for problem in problems)
    assert all(document.line_of(("no", "such", 1)) >= 1 for document in documents)
    assert check_documents([path])
