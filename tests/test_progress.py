"""Progress is a line a time, and the last one is said once."""

import io
from unittest.mock import patch

import pytest

from autosel_runtime.progress import Progress, plural


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def _no_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AUTOSEL_PROGRESS_FILE", raising=False)


def told(stream: io.StringIO, *, after: int) -> list[str]:
    """Count to 3 with a report at every step, then ``after`` more that nobody is told of."""
    now = [0.0]
    with (
        patch("autosel_runtime.progress.time.monotonic", lambda: now[0]),
        Progress("score", total=3, unit="samples", stream=stream) as progress,
    ):
        for number in range(3):
            now[0] += 10.0 if number < 3 - after else 0.0
            progress.advance()
    return [line.split(",")[0] for line in stream.getvalue().replace("\r\x1b[2K", "\n").splitlines() if line]


def test_the_last_line_is_printed_once() -> None:
    assert told(io.StringIO(), after=0) == ["score: 1/3 samples", "score: 2/3 samples", "score: 3/3 samples"]


def test_the_end_is_told_when_it_was_not_yet() -> None:
    assert told(io.StringIO(), after=2) == ["score: 1/3 samples", "score: 3/3 samples"]


def test_a_terminal_line_is_ended() -> None:
    stream = Terminal()
    told(stream, after=0)
    assert stream.getvalue().count("\n") == 1
    assert stream.getvalue().endswith("\n")


def test_short_work_is_silent() -> None:
    stream = io.StringIO()
    with Progress("score", total=3, stream=stream) as progress:
        progress.advance(3)
    assert stream.getvalue() == ""


def test_a_noun_goes_with_its_number() -> None:
    assert [plural(n, "sample") for n in (0, 1, 2, 1000)] == [
        "0 samples",
        "1 sample",
        "2 samples",
        "1,000 samples",
    ]
    assert [plural(n, "was", many="were") for n in (1, 2)] == ["1 was", "2 were"]
