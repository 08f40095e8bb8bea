"""A run that cannot go on says why once, and where the log lies."""

from pathlib import Path

from tests.cli.calls import child

SEARCH = """\
apiVersion: autosel.dev/v1alpha1
kind: RecipeSearch
metadata: {name: bad}
spec:
  pool: {sources: [{name: a, uri: half.jsonl, format: alpaca}]}
  model: {uri: model}
  evaluation: {tasks: [{name: t, definition: mmlu_choice, uri: items.jsonl}]}
"""
WHY = "all 1 of 1 records were rejected: not valid JSON (1)"


def test_a_broken_pool_is_told_once(tmp_path: Path) -> None:
    (tmp_path / "half.jsonl").write_text('{"instruction": "a", "outp')
    (tmp_path / "items.jsonl").write_text('{"question": "a", "choices": ["a", "b"], "answer": 0}\n' * 2)
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "config.json").write_text("{}")
    (tmp_path / "search.yaml").write_text(SEARCH)
    for _ in range(2):  # the second run tries again what stopped the first one
        answer = child("run", "search.yaml", "--out", "out", cwd=tmp_path)
        assert (answer.code, answer.out) == (65, "")
        assert answer.err.count(WHY) == 1
        assert "internal" not in answer.err
        last = answer.err.splitlines()[-1]
        assert last.startswith("error: the search stopped: the pool has no sample")
        log = tmp_path / last.rpartition("; log: ")[2]
        assert WHY in log.read_text()
    told = child("run", "search.yaml", "--out", "out", "--json", cwd=tmp_path).json
    assert WHY in told["error"]
    assert told["exit_code"] == 65
