"""The run folder: everything a search on one machine leaves behind, and all it needs to go on.

lock                           held while a run uses the folder
search.json                    the accepted search, its uid and its start
status.json                    the state, rewritten when it changes
trials/NAME.json               one file a trial, written before any of its steps
steps/NAME/ATTEMPT/            document.json, environment.json, lock, log.txt, progress.json, result.json, outcome.json;
                               N.interrupted-1, N.stopped-1, N.failed-1, N.lost-1: attempts that no longer count
store/                         the object store, unless the search names another one
work/                          scratch of the steps: removed when the search has ended; nothing is only here
report.html, report.json       the newest report
"""

import atexit
import fcntl
import os
import shutil
import tempfile
from collections.abc import Generator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any, cast

import orjson
from pydantic import ValidationError

from autosel_runtime.api.problems import first_problem
from autosel_runtime.api.recipe_search import RecipeSearchSpec
from autosel_runtime.api.search import Recipe
from autosel_runtime.errors import DataError, NoInputError, OutputError
from controller.reconcile.model import Trial

IDENTITY_FILE = "search.json"
_PASSING = "work-"


@contextmanager
def exclusive(folder: Path) -> Generator[None]:
    """Hold the run folder; a second run into the same folder is refused with a sentence."""
    path = folder / "lock"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    except OSError as error:
        raise OutputError(f"the run folder {folder} cannot be written: {error.strerror}") from error
    try:
        _take(lock, folder)
        text = f"{os.getpid()}\n".encode()
        try:
            os.pwrite(lock, text, 0)
            os.ftruncate(lock, len(text))
        except OSError as error:  # a full disk: the first bytes of a run are written here
            raise OutputError(f"{path} cannot be written: {error.strerror}") from error
        yield
    finally:
        os.close(lock)


def _take(lock: int, folder: Path) -> None:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        owner = os.pread(lock, 32, 0).decode().strip() or "unknown"
        raise OutputError(f"{folder} is in use by another run (process {owner})") from None


def scratch(folder: Path) -> Path:
    """Return where a command that reads the run folder may put files: the scratch of a search that goes on; of one that
    has ended, a folder that goes when the process ends."""
    work = folder / "work"
    if work.is_dir():
        return work
    try:
        made = tempfile.mkdtemp(prefix=_PASSING, dir=folder)  # beside the store, so that files need no copies
    except OSError:
        made = tempfile.mkdtemp(prefix=f"autosel-{_PASSING}")
    atexit.register(shutil.rmtree, made, ignore_errors=True)
    return Path(made)


def remove_scratch(folder: Path) -> None:
    """Remove the scratch of a search that has ended, and what killed commands left. It may have been large."""
    for path in (folder / "work", *folder.glob(f"{_PASSING}*")):
        shutil.rmtree(path, ignore_errors=True)


def write_json(path: Path, value: Any) -> None:
    """Write a JSON file whole or not at all. OutputError when that is impossible."""
    write_bytes(path, orjson.dumps(value, option=orjson.OPT_INDENT_2))


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file whole or not at all. OutputError when that is impossible."""
    temporary = path.with_name(path.name + ".tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(path)
    except OSError as error:
        with suppress(OSError):
            temporary.unlink()  # half a file on a full disk only takes space
        raise OutputError(f"{path} cannot be written: {error.strerror}") from error


def read_json(path: Path, *, having: Sequence[str] = ()) -> dict[str, Any]:
    """Read a JSON object of the run folder; one that is damaged, or lacks a field of ``having``, is named."""
    try:
        found = orjson.loads(path.read_bytes())
    except orjson.JSONDecodeError as error:
        raise DataError(f"{path} is damaged: {error}") from error
    except OSError as error:
        raise NoInputError(f"{path} cannot be read: {error.strerror}") from error
    if not isinstance(found, dict):
        raise DataError(f"{path} is damaged: it holds no JSON object")
    missing = [name for name in having if name not in found]
    if missing:
        raise DataError(f"{path} is damaged: it has no {missing[0]}")
    return cast("dict[str, Any]", found)


def read_identity(folder: Path) -> tuple[dict[str, Any], RecipeSearchSpec]:
    """Return what makes a run folder one search, and its specification; NoInputError when it is no run folder."""
    path = folder / IDENTITY_FILE
    if not path.exists():
        raise NoInputError(f"{folder} is not a run folder: it has no {IDENTITY_FILE}")
    identity = read_json(path, having=("uid", "name", "base", "started_at", "spec"))
    try:
        return identity, RecipeSearchSpec.model_validate(identity["spec"])
    except ValidationError as error:
        why = first_problem(error, RecipeSearchSpec)
        raise DataError(
            f"{path} was written by another version of autosel ({why}); run the search into another folder"
        ) from error


def entries(folder: Path) -> list[Path]:
    """Return what lies in a folder of the run folder, by name; nothing when it is not there (yet)."""
    try:
        return sorted(folder.iterdir())
    except FileNotFoundError:
        return []
    except OSError as error:  # a glob would find nothing in a folder that may not be read
        raise NoInputError(f"{folder} cannot be read: {error.strerror}") from error


def save_trial(folder: Path, trial: Trial) -> None:
    """Write a trial, the durable intent."""
    write_json(
        folder / "trials" / f"{trial.name}.json", {**asdict(trial), "recipe": trial.recipe.model_dump()}
    )


def load_trials(folder: Path) -> tuple[Trial, ...]:
    """Read all trials of the folder, in order of name."""
    return tuple(_trial(path) for path in entries(folder / "trials") if path.suffix == ".json")


def _trial(path: Path) -> Trial:
    content = read_json(path, having=("name", "role", "recipe", "recipe_digest"))
    try:
        fields: dict[str, Any] = {**content, "recipe": Recipe.model_validate(content["recipe"])}
        return Trial(**fields)
    except (ValidationError, TypeError) as error:
        raise DataError(
            f"{path} is damaged: it is no trial ({' '.join(str(error).split())[:200]})"
        ) from error
