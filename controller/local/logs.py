"""The log of a step of a run folder: of its newest attempt, or of the one before."""

import time
from collections import deque
from collections.abc import Callable
from pathlib import Path

from autosel_runtime.errors import NoInputError
from controller.local import attempts

LOOK_SECONDS = 0.3


def log_of(folder: Path, step: str, *, previous: bool) -> Path:
    """Return the log file of a step. NoInputError when there is no such attempt."""
    logs = (folder / "steps" / step).glob("*/log.txt")
    ordered = sorted(logs, key=lambda path: (path.stat().st_mtime, path.parent.name))
    if previous:
        ordered = ordered[:-1]
    if not ordered:
        what = "no earlier attempt" if previous else "no log"
        raise NoInputError(f"{step} has {what} in {folder}")
    return ordered[-1]


def print_log(path: Path, *, follow: bool, tail: int | None, emit: Callable[[str], None]) -> None:
    """Give every line to ``emit``; with ``follow`` until the attempt ends."""
    with path.open(errors="replace") as stream:
        lines = list(stream) if tail is None else list(deque(stream, maxlen=tail))
        for line in lines:
            emit(line.rstrip("\n"))
        rest = ""
        while follow:
            running = attempts.holder(path.parent) is not None
            *whole, rest = (rest + stream.read()).split("\n")
            for line in whole:
                emit(line)
            if not running:
                break
            time.sleep(LOOK_SECONDS)
        if rest:
            emit(rest)
