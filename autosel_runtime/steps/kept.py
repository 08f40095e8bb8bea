"""The result of a step in its scratch folder: made once, even when publishing it has to be tried again.

A store that is down for a while must not cost the hours of training whose result it should take. A new attempt that
finds the scratch folder of the last one (on one machine; a pod starts with an empty one) goes straight to publishing.
"""

import os
import shutil
from pathlib import Path
from typing import Any

import orjson

from autosel_runtime.steps.context import StepOutput

KEPT_FILE = "finished.json"


def keep(work: Path, output: StepOutput) -> None:
    """Write down what a step made in ``work``. Results that are held in memory are quickly made again: not kept."""
    files: dict[str, list[Any]] = {}
    for name, source in output.files.items():
        if not isinstance(source, Path) or not source.is_relative_to(work):
            return
        files[name] = [source.relative_to(work).as_posix(), source.stat().st_size]
    temporary = work / f"{KEPT_FILE}.tmp"
    with temporary.open("wb") as stream:
        stream.write(orjson.dumps({"files": files, "summary": dict(output.summary)}))
        stream.flush()
        os.fsync(stream.fileno())
    temporary.replace(work / KEPT_FILE)


def recall(work: Path) -> StepOutput | None:
    """Return what an earlier attempt made and could not publish; None when there is none, or not all of it."""
    try:
        content = orjson.loads((work / KEPT_FILE).read_bytes())
        files = {name: (work / relative, size) for name, (relative, size) in content["files"].items()}
        if any(path.stat().st_size != size for path, size in files.values()):
            return None
        return StepOutput(files={name: path for name, (path, _) in files.items()}, summary=content["summary"])
    except (OSError, orjson.JSONDecodeError):
        return None


def fresh(folder: Path) -> Path:
    """Return ``folder`` without what a killed attempt left in it; it does not exist any more."""
    shutil.rmtree(folder, ignore_errors=True)
    return folder
