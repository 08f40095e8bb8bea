"""What commands are given besides numbers: NAME=PATH pairs, recipe files, task lists, models."""

import os
import re
import shutil
from collections.abc import Generator, Iterable
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from autosel_runtime.errors import DataError, InvalidDocumentError, NoInputError, Problem, UsageError

if TYPE_CHECKING:  # pydantic and yaml take longer to import than --help may take
    from pydantic import BaseModel

    from autosel_runtime.api.evaluation import Task
    from autosel_runtime.api.recipe_search import RecipeSearchSpec
    from autosel_runtime.api.resources import StorageSpec
    from autosel_runtime.api.search import Recipe
    from autosel_runtime.api.yaml_tree import Document
    from autosel_runtime.steps.inputs import SearchInputs

M = TypeVar("M", bound="BaseModel")

_NOT_IN_NAMES = re.compile(r"[^a-z0-9_.-]+")
_STEP = re.compile(r"([^.\[\]]+)|\[(\d+)\]")


@dataclass(frozen=True, kw_only=True)
class RecipeFile:
    """A recipe and the file that it was read from."""

    recipe: "Recipe"
    path: Path
    document: "Document"

    def invalid(self, findings: Iterable[str]) -> InvalidDocumentError:
        """Return findings of the form ``steps[0].params.x: sentence`` as an error with file and lines."""
        problems: list[Problem] = []
        for finding in findings:
            field, _, message = finding.partition(": ")
            parts = tuple(int(number) if number else name for name, number in _STEP.findall(field))
            line = self.document.line_of(parts)
            problems.append(Problem(file=str(self.path), line=line, field=field, message=message))
        return InvalidDocumentError(problems)


def read_recipe(path: Path) -> RecipeFile:
    """Read a recipe file: YAML with a list of steps, or a mapping with ``steps``."""
    from autosel_runtime.api.search import Recipe

    document = _one_document(path, key="steps")
    return RecipeFile(recipe=_checked(Recipe, document, path), path=path, document=document)


def read_tasks(path: Path) -> "list[Task]":
    """Read a task list: YAML with a list of tasks as in spec.evaluation.tasks, or a mapping with ``tasks``.

    Relative paths in it start at the file's folder and are returned absolute.
    """
    from pydantic import Field, create_model

    from autosel_runtime.api.common import Model
    from autosel_runtime.api.evaluation import Task

    listed = create_model("TaskList", __base__=Model, tasks=(list[Task], Field(min_length=1, max_length=64)))
    found = _checked(listed, _one_document(path, key="tasks"), path)
    base = path.resolve().parent
    return [_absolute(task, base) for task in found.tasks]  # pyright: ignore[reportAttributeAccessIssue]


def named_path(text: str, *, option: str) -> tuple[str, str]:
    """Split NAME=PATH."""
    name, found, path = text.partition("=")
    if not (name and found and path):
        raise UsageError(f"{option} takes NAME=FILE, found {text!r}")
    return name, path


def named_source(text: str) -> tuple[str, str]:
    """Return name and path of a pool source, given as PATH or NAME=PATH; a path is named after its file."""
    name, found, path = text.partition("=")
    if found and path and "/" not in name and not Path(text).exists():
        return name, path
    stem = Path(text).name.split(".")[0].lower()
    return _NOT_IN_NAMES.sub("_", stem).strip("_.-")[:63] or "pool", text


@contextmanager
def object_inputs(storage: "StorageSpec | None", *, base: Path, beside: Path) -> "Generator[SearchInputs]":
    """Give access to ``s3://`` inputs, with the environment's usual credentials when there is no storage section.

    They lie beside ``beside``, the result of the command, until the block ends.
    """
    from autosel_runtime.api.resources import StorageSpec
    from autosel_runtime.steps.inputs import SearchInputs

    scratch = beside.absolute().with_name(f".{beside.name}.inputs.{os.getpid()}")
    try:
        yield SearchInputs(storage or StorageSpec(), base=base, work=scratch, recorded=lambda: None)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def starting_model(spec: "RecipeSearchSpec", base: Path, inputs: "SearchInputs") -> Path | str:
    """Return the search's own model: a folder, or a hub id when there is no such folder and a revision is set."""
    if spec.model.uri.startswith("s3://"):
        return inputs.path(spec.model.uri, model=True)
    path = base / Path(spec.model.uri.removeprefix("file://")).expanduser()
    return path if path.exists() or spec.model.revision is None else spec.model.uri


def local_model(uri: str, inputs: "SearchInputs") -> Path:
    """Return the folder of a model that is given as a path or an ``s3://`` uri."""
    if uri.startswith("s3://"):
        return inputs.path(uri, model=True)
    return model_folder(local_path(uri))


def local_path(uri: str) -> Path:
    """Return the path that an argument names, as in a search document: ``file://`` and ``~`` are understood."""
    return Path(uri.removeprefix("file://")).expanduser()


def model_folder(path: Path) -> Path:
    """Return ``path`` when it holds a model or an adapter; NoInputError says what it is instead."""
    if not path.exists():
        raise NoInputError(f"{path}: no model here: no such folder")
    if not path.is_dir():
        raise NoInputError(f"{path}: no model here: it is a file, and a model is a folder")
    if not any((path / name).is_file() for name in ("config.json", "adapter_config.json")):
        raise NoInputError(f"{path}: no model here: neither config.json nor adapter_config.json")
    return path


def _one_document(path: Path, *, key: str) -> "Document":
    """Return the one YAML document of a file as a mapping; a bare list becomes the value of ``key``."""
    from autosel_runtime.api.yaml_tree import Document, read_documents

    documents, problems = read_documents(path)
    if problems:
        raise InvalidDocumentError(problems)
    if len(documents) != 1:
        raise DataError(f"{path}: the file holds {len(documents) or 'no'} documents; exactly one is needed")
    document = documents[0]
    if isinstance(document.value, list):
        lines = {(key, *place): line for place, line in document.lines.items()}
        return Document(value={key: document.value}, lines={(): document.lines[()], **lines})
    if not isinstance(document.value, dict):
        raise DataError(f"{path}: the document is neither a list nor a mapping with {key}")
    return document


def _checked(model: "type[M]", document: "Document", path: Path) -> M:
    from pydantic import ValidationError

    from autosel_runtime.api.problems import problems_of

    try:
        return model.model_validate(document.value, strict=True, by_alias=True, by_name=False)
    except ValidationError as error:
        raise InvalidDocumentError(
            problems_of(error, model=model, document=document, file=str(path))
        ) from None


def _absolute(task: "Task", base: Path) -> "Task":
    changed: dict[str, str] = {}
    if task.uri is not None and "://" not in task.uri:
        changed["uri"] = str(base / task.uri)
    if task.definition is not None and task.definition.endswith((".yaml", ".yml", ".json")):
        changed["definition"] = str(base / task.definition)
    if task.lm_eval is not None and task.lm_eval.endswith((".yaml", ".yml")):
        changed["lm_eval"] = str(base / task.lm_eval)
    return task.model_copy(update=changed)
