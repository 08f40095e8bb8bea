"""Everything a user can get wrong: one sentence that names the place, the right code, no traceback."""

import json
import os
from pathlib import Path

import pytest

from tests.cli.calls import autosel

PAIR = json.dumps({"instruction": "add one and two :", "output": "The answer is three."}) + "\n"
TASK = "name: t\ndescription: sums\nuser: '{question}'\ngold: {field: answer}\nmetric: exact_match\n"
SEARCH = """\
apiVersion: autosel.dev/v1alpha1
kind: RecipeSearch
metadata: {name: bad}
spec:
  pool: {sources: [{name: a, uri: one.jsonl}]}
  model: {uri: model}
  evaluation: {tasks: [{name: t, definition: task.yaml, uri: items.jsonl}]}
"""
SIX_MISTAKES = """\
apiVersion: autosel.dev/v1alpha1
kind: RecipeSearch
metadata: {name: six}
spec:
  pool:
    sources: [{name: a, uri: one.jsonl}]
    maxRejectFraction: 1.5
  model: {uri: model}
  training: {method: half, epoch: 3}
  evaluation: {tasks: [{name: t}]}
  budget: {evaluations: many}
  parallelism: 0
"""

FILES: dict[str, bytes | str] = {
    "good.jsonl": "".join(PAIR.replace("one", f"{i} and") for i in range(20)),
    "one.jsonl": PAIR,
    "empty.jsonl": "",
    "rejected.jsonl": json.dumps({"instruction": "a question", "output": ""}) + "\n",
    "latin.jsonl": '{"instruction": "é", "output": "ü"}\n'.encode("latin-1"),
    "half.jsonl": '{"instruction": "a", "outp',
    "items.jsonl": "",
    "task.yaml": TASK,
    "search.yaml": SEARCH,
    "two.yaml": f"{SEARCH}---\n{SEARCH}",
    "array.json": "[1, 2]",
    "six.yaml": SIX_MISTAKES,
    "broken.yaml": "steps: [\n",
    "text.yaml": "hello\n",
    "operator.yaml": "steps:\n  - operator: idf_filter\n",
    "parameter.yaml": "- operator: random_subset\n  params: {fraktion: 0.5}\n",
    "signal.yaml": "- operator: ifd_filter\n  params: {fraction: 0.5}\n",
    "nothing.yaml": "- operator: score_filter\n  params: {signal: words, threshold: 100000}\n",
    "union.yaml": "- operator: union\n  params: {trial: 7}\n",
    "tasks.yaml": "- {name: t, uri: items.jsonl, weigth: 2}\n",
}

# command line: exit code, what the sentence must contain
WRONG: dict[str, tuple[int, str]] = {
    "pool build empty.jsonl --out o": (65, "'empty' (empty.jsonl) has no record"),
    "pool build rejected.jsonl --out o": (65, "all 1 of 1 records were rejected"),
    "pool build latin.jsonl --out o": (65, "latin.jsonl:1: not UTF-8"),
    "pool build half.jsonl --out o": (65, "half.jsonl:1: not valid JSON"),
    "pool build long.jsonl --out o": (65, "long.jsonl:1: the record is too long (the limit is 16 MiB)"),
    "pool build nope.jsonl --out o": (66, "'nope.jsonl' does not exist"),
    "pool build s3://x/y --out o": (64, "'x' is no bucket name"),
    "pool build gs://pool/y --out o": (64, "the scheme 'gs' is not supported"),
    "pool build --out o": (64, "give either PATHs or --spec"),
    "pool build one.jsonl --spec search.yaml --out o": (64, "give either PATHs or --spec"),
    "pool build --spec search.yaml --format alpaca --out o": (64, "search.yaml has its own"),
    "pool build one.jsonl good.jsonl one.jsonl --out o": (64, "two sources are called 'one'"),
    "pool build one.jsonl --max-reject-fraction 7 --out o": (64, "found 7"),
    "pool build one.jsonl --out pool": (73, "pool exists and is not an empty folder"),
    "pool build one.jsonl --out one.jsonl/o": (73, "one.jsonl/o"),
    "pool map empty.jsonl --llm-url http://127.0.0.1:9 --llm-model m": (65, "empty.jsonl"),
    "pool map one.jsonl --llm-url http://127.0.0.1:9 --llm-model m --api-key-env NOT_SET_KEY": (
        66,
        "NOT_SET_KEY",
    ),
    "materialize pool operator.yaml --signals signals --out o": (
        65,
        "operator.yaml:2: steps[0].operator: unknown",
    ),
    "materialize pool parameter.yaml --signals signals --out o": (
        65,
        "parameter.yaml:2: steps[0].params.fraktion",
    ),
    "materialize pool signal.yaml --signals signals --out o": (65, "ifd_filter needs ifd"),
    "materialize pool nothing.yaml --signals signals --out o": (65, "nothing.yaml: step 1 (score_filter)"),
    "materialize pool union.yaml --signals signals --out o": (65, "trial 7 has no known subset"),
    "materialize pool broken.yaml --signals signals --out o": (65, "broken.yaml:2"),
    "materialize pool text.yaml --signals signals --out o": (65, "text.yaml"),
    "materialize pool nope.yaml --signals signals --out o": (66, "nope.yaml"),
    "materialize pool pool --signals signals --out o": (66, "cannot read pool: Is a directory"),
    "materialize pool operator.yaml --signals pool --out o": (66, "pool/signals.json: there are no signals"),
    "materialize signals operator.yaml --signals signals --out o": (66, "signals is not a pool"),
    "materialize pool all.yaml --signals signals --out one.jsonl": (73, "one.jsonl exists and is no folder"),
    "score nope --out o": (66, "nope is not a pool"),
    "score pool --model pool --out o": (66, "pool: no model here"),
    "score pool --model one.jsonl --out o": (66, "one.jsonl: no model here: it is a file"),
    "score pool --target x --out o": (64, "--target takes NAME=FILE, found 'x'"),
    "score pool --target x=empty.jsonl --out o": (65, "empty.jsonl"),
    "score pool --minhash-ngram 0 --out o": (64, "--minhash-ngram: found 0; must be at least 1"),
    "score pool --max-tokens 3 --out o": (64, "--max-tokens: found 3; must be at least 16"),
    "score pool --target a=ftp://x --out o": (
        64,
        "--target: uri: found 'ftp://x'; the scheme 'ftp' is not supported",
    ),
    "pool map one.jsonl --llm-url nope --llm-model m": (
        64,
        "--llm-url: found 'nope', which does not begin with",
    ),
    "pool map one.jsonl --llm-url http:///v1 --llm-model m": (
        64,
        "--llm-url: found 'http:///v1', which names no host",
    ),
    "pool map one.jsonl --llm-url http://h/v1 --llm-model m --timeout 0": (
        64,
        "--timeout: found 0; must be at least",
    ),
    "verify array.json": (65, "array.json is no lock: found a list; must be a mapping"),
    "verify empty.jsonl": (65, "empty.jsonl:1: not JSON"),
    "verify latin.jsonl": (65, "latin.jsonl:1: not JSON"),
    "validate two.yaml": (65, "two.yaml:9: a second RecipeSearch in one file"),
    "run two.yaml": (65, "two.yaml:9: a second RecipeSearch in one file"),
    "train nope one.jsonl --search search.yaml --out o": (66, "nope: no model here"),
    "train pool one.jsonl --search nope.yaml --out o": (66, "nope.yaml"),
    "evaluate pool --search search.yaml --out o": (66, "pool: no model here"),
    "evaluate model --search search.yaml --out o": (65, "items.jsonl has no items"),
    "evaluate model --search search.yaml --out o --out-of-domain": (65, "outOfDomain lists no task"),
    "evaluate model model --search search.yaml --out o": (64, "given twice"),
    "report nope": (66, "nope is not a run folder"),
    "report one.jsonl": (66, "one.jsonl is not a run folder"),
    "explain pool a b": (66, "pool is not a run folder"),
    "lock pool": (66, "pool is not a run folder"),
    "verify nope.lock": (66, "nope.lock"),
    "verify one.jsonl": (65, "one.jsonl"),
    "transfer pool model": (66, "pool is not a run folder"),
    "transfer pool nope": (66, "nope: no model here"),
    "ood pool": (66, "pool is not a run folder"),
    "validate nope.yaml": (66, "nope.yaml does not exist"),
    "validate pool": (66, "pool is a folder"),
    "validate empty.jsonl": (65, "the file holds no document"),
    "run nope.yaml": (66, "nope.yaml"),
    "run one.jsonl": (65, "one.jsonl:1"),
}


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with every bad file, and a good pool with signals."""
    folder = tmp_path_factory.mktemp("bad")
    for name, content in FILES.items():
        (folder / name).write_bytes(content.encode() if isinstance(content, str) else content)
    (folder / "long.jsonl").write_text(json.dumps({"instruction": "a", "output": "b" * 50_000_000}) + "\n")
    (folder / "all.yaml").write_text("steps: []\n")
    (folder / "model").mkdir()
    (folder / "model" / "config.json").write_text("{}")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        assert autosel("pool", "build", "good.jsonl", "--out", "pool").code == 0
        assert autosel("score", "pool", "--out", "signals").code == 0
    return folder


@pytest.fixture(autouse=True)
def _in_folder(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)


@pytest.mark.parametrize("line", WRONG)
def test_one_sentence_and_the_right_code(line: str) -> None:
    code, part = WRONG[line]
    answer = autosel(*line.split())
    assert (answer.code, answer.out) == (code, ""), answer.err
    assert [text for text in answer.err.splitlines() if text.startswith("error: ")] == answer.err.splitlines()
    assert len(answer.err.splitlines()) == 1
    assert part in answer.err
    assert not Path("o").exists()


@pytest.mark.parametrize("line", WRONG)
def test_the_same_as_one_json_document(line: str) -> None:
    code, part = WRONG[line]
    answer = autosel(*line.split(), "--json")
    assert answer.code == code
    assert answer.json["exit_code"] == code
    assert part in answer.json["error"]
    assert answer.err == ""


def test_all_mistakes_are_reported_together_with_their_lines() -> None:
    answer = autosel("validate", "six.yaml", "--json")
    assert answer.code == 65
    found = {(problem["line"], problem["field"]) for problem in answer.json["problems"]}
    assert found == {
        (7, "spec.pool.maxRejectFraction"),
        (9, "spec.training.method"),
        (9, "spec.training.epoch"),
        (11, "spec.budget.evaluations"),
        (10, "spec.evaluation.tasks[0].name"),
        (12, "spec.parallelism"),
    }
    text = autosel("validate", "six.yaml")
    assert (text.code, text.out) == (65, "")
    assert text.err.splitlines()[-1] == "error: 6 problems found"
    assert all(line.startswith("six.yaml:") for line in text.err.splitlines()[:-1])


def test_a_long_line_among_good_ones_is_one_reject() -> None:
    Path("mixed").mkdir()
    Path("mixed/a.jsonl").write_text(PAIR)
    Path("mixed/long.jsonl").symlink_to(Path("long.jsonl").resolve())
    Path("mixed/z.jsonl").write_text('{"instruction": "a", "outp')
    answer = autosel(
        "pool", "build", "mixed", "--out", "mixed_pool", "--json", "--max-reject-fraction", "0.9"
    )
    assert (answer.code, answer.json["rows"], answer.json["rejected"]) == (0, 1, 2)
    rejects = [json.loads(line) for line in Path("mixed_pool/rejects.jsonl").read_text().splitlines()]
    assert [(entry["file"], entry["line"]) for entry in rejects] == [
        ("mixed/long.jsonl", 1),
        ("mixed/z.jsonl", 1),
    ]


def test_a_pool_of_one_is_a_pool() -> None:
    assert autosel("pool", "build", "one.jsonl", "--out", "single").code == 0
    assert autosel("score", "single", "--out", "single_signals").code == 0
    answer = autosel(
        "materialize", "single", "all.yaml", "--signals", "single_signals", "--out", "single_subset"
    )
    assert (answer.code, answer.out.splitlines()[0]) == (0, "1 of 1 sample in single_subset")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_unreadable_file() -> None:
    Path("secret.jsonl").write_text(PAIR)
    Path("secret.jsonl").chmod(0)
    answer = autosel("pool", "build", "secret.jsonl", "--out", "o")
    assert answer.code == 66
    assert "secret.jsonl cannot be read: Permission denied" in answer.err


def test_unknown_signals_of_another_pool_are_refused() -> None:
    assert autosel("pool", "build", "one.jsonl", "--out", "other").code == 0
    answer = autosel("materialize", "other", "all.yaml", "--signals", "signals", "--out", "o")
    assert answer.code == 65
    assert "these signals belong to pool" in answer.err
