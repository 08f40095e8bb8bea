"""The report in a terminal."""

import io

import pytest

from autosel_runtime.report.table import print_report
from tests.report.sample import sample_report


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize("kind", ["full", "running", "none", "hostile"])
@pytest.mark.parametrize("width", [40, 72, 120])
def test_table_fits_the_width_and_is_plain(kind: str, width: int):
    stream = io.StringIO()
    report = sample_report(kind, rows=400)
    print_report(report, stream, width=width)
    text = stream.getvalue()
    assert max(len(line) for line in text.splitlines()) <= width
    assert "\x1b" not in text
    squeezed = " ".join(text.split())
    assert report.headline.split()[0] in squeezed


def test_numbers_are_those_of_the_report():
    stream = io.StringIO()
    report = sample_report("full", rows=400)
    print_report(report, stream, width=120)
    for gain in report.gains:
        assert f"{100 * gain.difference.value:+.1f}" in stream.getvalue()
    assert all(f" {trial.ordinal} " in stream.getvalue() for trial in report.trials if trial.role == "search")


def test_colour_on_a_terminal_only(monkeypatch: pytest.MonkeyPatch):
    for name in ("NO_COLOR", "FORCE_COLOR", "TTY_COMPATIBLE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")
    stream = Terminal()
    print_report(sample_report("full", rows=400), stream, width=100)
    assert "\x1b[" in stream.getvalue()


def test_long_searches_show_the_best_unless_asked():
    report = sample_report("many", rows=400)
    few, all_of_them = io.StringIO(), io.StringIO()
    print_report(report, few, width=100)
    print_report(report, all_of_them, width=100, all_trials=True)
    assert "20 of 203" in few.getvalue()
    assert "203 of 203" in all_of_them.getvalue()
