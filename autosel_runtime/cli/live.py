"""A search while it goes on: a live table on a terminal, a line for each change elsewhere, or JSON objects."""

import sys
import time
from typing import Any

import orjson

from autosel_runtime.cli.output import note, say
from autosel_runtime.report.formats import NONE, count, plural, points, shorten
from controller.views.changes import changes, search_data, stamped, state_words
from controller.views.rows import BASELINES, Row, rows, totals, totals_words
from controller.views.snapshot import Snapshot

# Lines of the screen that the table's head, title and the lines around it take.
FRAME = 8
STEP_WIDTH = 34


class Lines:
    """A line for each change: for logs and pipes."""

    def __init__(self, *, as_json: bool) -> None:
        self._as_json = as_json
        self._last: Snapshot | None = None

    def __enter__(self) -> "Lines":
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def show(self, snapshot: Snapshot) -> None:
        """Tell what is new."""
        for change in changes(self._last, snapshot):
            if self._as_json:
                _emit(stamped(change, snapshot.now))
            else:
                say(f"{time.strftime('%H:%M:%S', time.localtime(snapshot.now))}  {change.text}")
        sys.stdout.flush()
        self._last = snapshot

    def trouble(self, text: str) -> None:
        """Tell what keeps the news from coming."""
        note(text)

    def end(self, snapshot: Snapshot) -> None:
        """Tell how it ended."""
        if self._as_json:
            data = {"exit_code": snapshot.exit_code, **search_data(snapshot)}
            _emit({"time": _iso(snapshot.now), "type": "end", **data})


class Table:
    """The live table of a terminal."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.live import Live

        self._console = Console(highlight=False, emoji=False, markup=False)
        self._live = Live(console=self._console, auto_refresh=False)
        self._trouble = ""
        self._last: Snapshot | None = None

    def __enter__(self) -> "Table":
        self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._live.stop()

    def show(self, snapshot: Snapshot) -> None:
        """Draw the search anew."""
        self._trouble, self._last = "", snapshot
        self._draw()

    def trouble(self, text: str) -> None:
        """Tell below the table what keeps the news from coming."""
        self._trouble = text
        self._draw()

    def end(self, snapshot: Snapshot) -> None:
        """Draw the last state."""
        self.show(snapshot)

    def _draw(self) -> None:
        if self._last is not None:
            height = max(3, self._console.height - FRAME)
            self._live.update(picture(self._last, room=height, trouble=self._trouble), refresh=True)


def picture(snapshot: Snapshot, *, room: int, trouble: str = "") -> Any:
    """Return the search as a table of at most ``room`` trials: what runs, the best, and the newest."""
    from rich.box import SIMPLE_HEAD
    from rich.console import Group
    from rich.table import Table as RichTable
    from rich.text import Text

    every = rows(snapshot)
    shown = _most_telling(every, room)
    table = RichTable(box=SIMPLE_HEAD, pad_edge=False)
    for name in ("trial", "state", "step"):
        table.add_column(name, no_wrap=True)
    for name in ("samples", "score", "interval"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("recipe", ratio=1)  # the one that gives way; its texts do not wrap
    for row in shown:
        style = "bold" if row.best else "dim" if row.state in ("failed", "invalid") else None
        step = f"{row.step} {row.note}".strip() if row.state in ("running", "pending") else row.step
        last = row.note if row.note and row.state in ("failed", "invalid", "reused") else row.recipe
        table.add_row(
            BASELINES.get(row.role, row.name),
            row.state,
            Text(shorten(step, STEP_WIDTH)),
            count(row.samples),
            points(row.score),
            _interval(row),
            Text(last, no_wrap=True, overflow="ellipsis"),
            style=style,
        )
    head = Text.assemble((snapshot.full_name, "bold"), f"  {state_words(snapshot)}")
    parts: list[Any] = [head, Text(totals_words(totals(snapshot))), table]
    if len(shown) < len(every):
        parts.append(Text(plural(len(every) - len(shown), "more trial"), style="dim"))
    if trouble:
        parts.append(Text(f"! {trouble}", style="yellow"))
    return Group(*parts)


def _most_telling(every: list[Row], room: int) -> list[Row]:
    if len(every) <= room:
        return every
    ranked = sorted(
        range(len(every)),
        key=lambda i: (
            not every[i].best,
            every[i].state != "running",
            -i if every[i].role == "search" else 0,
        ),
    )
    return [every[i] for i in sorted(ranked[:room])]


def _interval(row: Row) -> str:
    return NONE if row.low is None or row.high is None else f"{points(row.low)} to {points(row.high)}"


def _emit(value: Any) -> None:
    sys.stdout.buffer.write(orjson.dumps(value) + b"\n")
    sys.stdout.flush()


def _iso(seconds: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S+00:00", time.gmtime(seconds))
