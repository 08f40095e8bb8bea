"""Progress of long work: count, rate and time left, on standard error and in a small file.

The file (path in ``AUTOSEL_PROGRESS_FILE``) is how a step tells the controller where it stands; it is
replaced whole, so a reader never sees half of it.
"""

import json
import os
import sys
import time
from pathlib import Path
from types import TracebackType
from typing import Self, TextIO

PROGRESS_FILE_VARIABLE = "AUTOSEL_PROGRESS_FILE"


class Progress:
    """Counts work done and reports it at most once per ``interval`` seconds.

    >>> with Progress("score", total=3, unit="samples") as progress:
    ...     progress.advance(3)
    """

    def __init__(
        self,
        label: str,
        *,
        total: int | None = None,
        unit: str = "items",
        stream: TextIO | None = None,
        interval: float = 1.0,
    ) -> None:
        self.label, self.total, self.unit = label, total, unit
        self.done = 0
        self._stream = stream if stream is not None else sys.stderr
        self._interval = interval if self._stream.isatty() else max(interval, 5.0)
        self._started = self._last = time.monotonic()
        path = os.environ.get(PROGRESS_FILE_VARIABLE)
        self._file = Path(path) if path else None
        self._printed: tuple[int, int | None] | None = None  # done and total when the last line was printed

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._printed is None and time.monotonic() - self._started <= 2.0:
            return
        if self._stream.isatty() or self._printed != (self.done, self.total):
            self._report(final=True)

    def advance(self, count: int = 1) -> None:
        """Add finished work."""
        self.done += count
        now = time.monotonic()
        if now - self._last >= self._interval:
            self._last = now
            self._report(final=False)

    def line(self) -> str:
        """Return the one-line report: count, rate and time left."""
        seconds = max(time.monotonic() - self._started, 1e-9)
        rate = self.done / seconds
        text = f"{self.label}: {self.done:,}"
        if self.total:
            text += f"/{self.total:,}"
        text += f" {self.unit}, {rate:,.1f}/s"
        if self.total and 0 < self.done < self.total:
            text += f", {format_seconds((self.total - self.done) / rate)} left"
        return text

    def _report(self, *, final: bool) -> None:
        tty = self._stream.isatty()
        end = "\n" if final or not tty else ""
        self._stream.write(("\r\x1b[2K" if tty else "") + self.line() + end)
        self._stream.flush()
        self._printed = (self.done, self.total)
        if self._file is not None:
            seconds = time.monotonic() - self._started
            state = {
                "label": self.label,
                "done": self.done,
                "total": self.total,
                "unit": self.unit,
                "seconds": round(seconds, 1),
            }
            temporary = self._file.with_suffix(".tmp")
            temporary.write_text(json.dumps(state))
            temporary.replace(self._file)


def format_seconds(seconds: float) -> str:
    """Return a duration as a person would say it: ``8 s``, ``3 min 05 s``, ``2 h 10 min``."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def plural(number: int, noun: str, *, many: str | None = None) -> str:
    """Return ``1 trial``, ``2 trials``; ``many`` is the noun of many where it takes more than an s."""
    return f"{number:,} {noun if number == 1 else many or noun + 's'}"
