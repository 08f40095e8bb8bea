"""Extensions on the command line: their signals are computed, and their faults are told as theirs."""

import textwrap
from pathlib import Path

import pytest

from tests.cli.calls import ROOT, autosel, child

FAULTY = """\
from autosel_runtime.recipe.operator import Operator, Outcome, Params

class P(Params):
    pass

def apply(mask, columns, params, seed):
    return 1 / 0

def operators():
    return [Operator(name="odd", family="filter", params=P, apply=apply, summary="x")]

def signals():
    return [("faulty.one", lambda sample: 1 / 0)]
"""
LINE = '{{"instruction": "number {0}", "output": "the answer is {0}\\nand no other"}}\n'


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a pool, its signals, and extensions that can be imported."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}:{ROOT}:{ROOT / 'examples' / 'extension'}")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.syspath_prepend(ROOT / "examples" / "extension")
    (tmp_path / "faulty_module.py").write_text(textwrap.dedent(FAULTY))
    Path("a.jsonl").write_text("".join(LINE.format(number) for number in range(20)))
    Path("odd.yaml").write_text("- operator: odd\n")
    assert autosel("pool", "build", "a.jsonl", "--out", "pool").code == 0
    assert autosel("score", "pool", "--out", "signals").code == 0
    return tmp_path


def test_signals_of_an_extension_are_scored_and_filtered_by() -> None:
    found = autosel("score", "pool", "--extension", "answer_length", "--out", "more", "--json").json
    assert found["scalars"]["answer_length.lines"]["mean"] == 2.0
    Path("recipe.yaml").write_text(
        "- operator: score_filter\n  params: {signal: answer_length.lines, threshold: 2}\n"
        "- {operator: answer_length, params: {min_words: 1}}\n"
    )
    line = [
        "materialize",
        "pool",
        "recipe.yaml",
        "--signals",
        "more",
        "--out",
        "o",
        "--extension",
        "answer_length",
    ]
    assert autosel(*line, "--json").json["size"] == 20


def test_an_operator_that_crashes_is_named_with_its_line_after_its_own_trace(folder: Path) -> None:
    line = [
        "materialize",
        "pool",
        "odd.yaml",
        "--signals",
        "signals",
        "--extension",
        "faulty_module",
        "--out",
        "o",
    ]
    answer = autosel(*line)
    assert (answer.code, answer.out) == (78, "")
    *trace, error = answer.err.splitlines()
    place = f"{folder}/faulty_module.py:7 in apply"
    assert error == (
        "error: step 1 (odd): operator 'odd' of extension faulty_module failed: ZeroDivisionError: division by zero "
        f"({place})"
    )
    assert trace[0] == "Traceback (most recent call last):"
    assert any("return 1 / 0" in text for text in trace)
    assert "autosel_runtime" not in answer.err
    told = autosel(*line, "--json")
    assert (told.code, told.err) == (78, "")
    assert place in told.json["error"]
    assert "return 1 / 0" in told.json["trace"]
    assert not Path("o").exists()


def test_a_signal_that_crashes_is_named_with_its_line() -> None:
    answer = child("score", "pool", "--extension", "faulty_module", "--out", "more", cwd=Path.cwd())
    assert answer.code == 78
    assert "error: extension signal 'faulty.one' failed on sample" in answer.err
    assert "faulty_module.py:13 in <lambda>" in answer.err
    assert "autosel_runtime" not in answer.err


def test_an_extension_that_is_not_there() -> None:
    for line in (
        ["score", "pool", "--out", "o", "--extension", "not_there"],
        ["materialize", "pool", "odd.yaml", "--signals", "signals", "--out", "o", "--extension", "not_there"],
    ):
        answer = autosel(*line)
        assert answer.code == 69
        assert "extension 'not_there' cannot be imported" in answer.err
        assert not Path("o").exists()
