"""Bring the newest report of a run folder to its top level, where people look for it."""

import shutil
from pathlib import Path

from controller.local.folder import read_json

NAMES = ("report.html", "report.json")


def newest_report(folder: Path) -> dict[str, object] | None:
    """Return the outcome of the last finished report step, or None."""
    outcomes = [read_json(path) for path in (folder / "steps").glob("report-*/*/outcome.json")]
    done = [outcome for outcome in outcomes if outcome["exit_code"] == 0]
    return max(done, key=lambda outcome: float(outcome["finished_at"]), default=None)


def copy_report(folder: Path, *, source: Path | None = None) -> None:
    """Copy report.html and report.json to the run folder."""
    if source is None:
        return
    for name in NAMES:
        shutil.copyfile(source / name, folder / name)
