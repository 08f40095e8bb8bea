"""Wrong use of the command line, its help, and its page in the documentation."""

import re

import pytest

from autosel_runtime import __version__
from autosel_runtime.cli.reference import commands, kept_outputs, page
from tests.cli.calls import ROOT, autosel, child

WRONG = {
    "nope": ("no such command 'nope'", "autosel --help"),
    "run": ("missing argument 'SEARCH.yaml'", "autosel run --help"),
    "report x --nope": ("no such option: --nope", "autosel report --help"),
    "materialize p r.yaml --signals s": ("missing option '--out'", "autosel materialize --help"),
    "explain run a b --format html": ("'html' is not one of 'text', 'markdown'", "autosel explain --help"),
    "explain run a b --examples many": ("invalid value for '--examples'", "autosel explain --help"),
    "pool nope": ("no such command 'nope'", "autosel pool --help"),
    "evaluate x --search s --out o --half none": (
        "invalid value for '--half': 'none' is not one of 'search', 'report', 'all'",
        "autosel evaluate --help",
    ),
    "pool build x --format foo --out o": (
        "invalid value for '--format': 'foo' is not one of",
        "autosel pool build --help",
    ),
}


@pytest.mark.parametrize("line", WRONG)
def test_wrong_use_is_one_sentence_and_code_64(line: str) -> None:
    answer = autosel(*line.split())
    assert (answer.code, answer.out) == (64, "")
    assert len(answer.err.splitlines()) == 1
    for part in WRONG[line]:
        assert part in answer.err


@pytest.mark.parametrize("line", WRONG)
def test_wrong_use_with_json_is_one_document(line: str) -> None:
    answer = autosel(*line.split(), "--json")
    assert (answer.code, answer.err) == (64, "")
    assert answer.json["exit_code"] == 64
    assert answer.json["problems"] == []
    assert WRONG[line][0] in answer.json["error"]


@pytest.mark.parametrize("line", ["", "pool"])
def test_no_command_shows_the_help_on_standard_error(line: str) -> None:
    answer = autosel(*line.split())
    assert (answer.code, answer.out) == (64, "")
    assert "Commands:" in answer.err
    assert autosel(*line.split(), "--help").out.strip() == answer.err.strip()


def test_codes_hold_for_the_process_too() -> None:
    assert child("nope", cwd=ROOT).code == 64
    assert child("validate", "nope.yaml", cwd=ROOT).code == 66
    version = child("--version", cwd=ROOT)
    assert (version.code, version.out, version.err) == (0, f"{__version__}\n", "")


@pytest.mark.parametrize("words", [words for words, _ in commands()])
def test_every_command_has_json_and_a_help_that_fits(words: str) -> None:
    answer = autosel(*words.split(), "--help")
    assert (answer.code, answer.err) == (0, "")
    assert "--json" in answer.out
    assert (
        f"  Example:\n    autosel {words} " in answer.out or f"Example:\n    autosel {words}\n" in answer.out
    )
    assert all(len(line) <= 80 for line in answer.out.splitlines())
    assert "..." not in answer.out.split("Arguments:")[0].split("\n", 1)[1]


def test_summaries_are_not_cut_off() -> None:
    answer = autosel("--help")
    for words, _ in commands():
        name = words.split()[0]
        line = next(line for line in answer.out.splitlines() if line.startswith(f"  {name} "))
        assert line.rstrip().endswith(".")
        assert not line.rstrip().endswith("...")


def test_documentation_is_generated_from_the_commands() -> None:
    text = (ROOT / "docs" / "cli.md").read_text("utf-8")
    assert text == page(kept_outputs(text)), "run: python -m autosel_runtime.cli.reference docs/cli.md"
    for words, command in commands():
        [section] = re.findall(
            rf"^## autosel {words}\n(.*?)(?=^## |\Z)", text, flags=re.DOTALL | re.MULTILINE
        )
        assert "Output:" in section or words == "crd"
        for name in [name for option in command.params for name in option.opts if name.startswith("--")]:
            assert name in section


def test_completion_knows_the_commands() -> None:
    import os
    import subprocess
    import sys

    from tests.cli.calls import environment

    done = subprocess.run(
        [sys.executable, "-m", "autosel_runtime.cli"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        env={
            **environment(),
            "_AUTOSEL_COMPLETE": "complete_bash",
            "COMP_WORDS": "autosel tra",
            "COMP_CWORD": "1",
        },
    )
    assert done.stdout.split() == ["train", "transfer"], os.linesep.join([done.stdout, done.stderr])
