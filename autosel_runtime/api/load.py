"""From YAML files to checked documents: every problem at once, each with file, line and field."""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, cast

from pydantic import BaseModel, ValidationError

from autosel_runtime.api.common import API_VERSION
from autosel_runtime.api.files import missing_files
from autosel_runtime.api.problems import meant, problems_of
from autosel_runtime.api.recipe_search import RecipeSearch
from autosel_runtime.api.recipe_trial import RecipeTrial
from autosel_runtime.api.yaml_tree import Document, Path_, field_text, read_documents
from autosel_runtime.errors import InvalidDocumentError, NoInputError, Problem

KINDS: dict[str, type[RecipeSearch] | type[RecipeTrial]] = {
    "RecipeSearch": RecipeSearch,
    "RecipeTrial": RecipeTrial,
}

# A further check of a document that is valid by itself: (field, sentence) of every problem.
Check = Callable[[RecipeSearch], Iterable[tuple[Path_, str]]]


def load_search(path: Path, *, check_files: bool = True, also: Check | None = None) -> RecipeSearch:
    """Return the one RecipeSearch of a file.

    With ``check_files``, relative files that it names must exist. NoInputError when the file cannot be read,
    InvalidDocumentError with all problems otherwise.
    """
    found, problems = _check_file(Path(path), check_files=check_files, also=also)
    searches = [document for document in found if isinstance(document, RecipeSearch)]
    if not problems and len(searches) != 1:
        message = f"the file holds {len(searches) or 'no'} RecipeSearch documents; exactly one is needed"
        problems = [Problem(file=str(path), line=None, field="", message=message)]
    if problems:
        raise InvalidDocumentError(problems)
    return searches[0]


def check_documents(
    paths: Iterable[Path], *, check_files: bool = True, also: Check | None = None
) -> list[Problem]:
    """Return all problems of all documents in ``paths``; an empty list means that they are valid.

    ``also`` is a check of searches that needs more than the document, such as the operators there are.
    """
    problems: list[Problem] = []
    for path in paths:
        try:
            problems += _check_file(Path(path), check_files=check_files, also=also)[1]
        except NoInputError as error:
            problems.append(Problem(file=str(path), line=None, field="", message=str(error)))
    return problems


def _check_file(
    path: Path, *, check_files: bool, also: Check | None
) -> tuple[list[BaseModel], list[Problem]]:
    documents, problems = read_documents(path)
    if not documents and not problems:
        problems = [Problem(file=str(path), line=None, field="", message="the file holds no document")]
    found: list[BaseModel] = []
    for document in documents:
        checked = _check(document, str(path))
        if isinstance(checked, list):
            said = {
                (problem.line, problem.field) for problem in problems
            }  # of a value that cannot even be read
            problems += [problem for problem in checked if (problem.line, problem.field) not in said]
            continue
        if isinstance(checked, RecipeSearch) and any(isinstance(one, RecipeSearch) for one in found):
            message = "a second RecipeSearch in one file; a run takes one, so give each a file of its own"
            problems.append(Problem(file=str(path), line=document.line_of(()), field="", message=message))
        found.append(checked)
        if check_files and isinstance(checked, RecipeSearch):
            problems += missing_files(checked, document=document, file=str(path), base=path.absolute().parent)
        if also is not None and isinstance(checked, RecipeSearch):
            problems += [
                Problem(
                    file=str(path), line=document.line_of(field), field=field_text(field), message=message
                )
                for field, message in also(checked)
            ]
    return found, sorted(problems, key=lambda problem: problem.line or 0)


def _check(document: Document, file: str) -> BaseModel | list[Problem]:
    def problem(path: Path_, message: str) -> list[Problem]:
        return [Problem(file=file, line=document.line_of(path), field=field_text(path), message=message)]

    if not isinstance(document.value, dict):
        return problem((), "the document is no mapping; it must have apiVersion, kind, metadata and spec")
    content = cast(dict[str, Any], document.value)
    kind, version = content.get("kind"), content.get("apiVersion")
    if kind is None:
        return problem((), f"the field kind is required; allowed: {', '.join(KINDS)}")
    if not isinstance(kind, str) or kind not in KINDS:
        hint = meant(str(kind), KINDS)
        return problem(("kind",), f"found {kind!r}{hint or ';'} allowed: {', '.join(KINDS)}")
    if version != API_VERSION:
        found = "the field apiVersion is required" if version is None else f"found {version!r}"
        return problem(("apiVersion",) if version is not None else (), f"{found}; must be {API_VERSION}")
    model = KINDS[kind]
    try:
        return model.model_validate(content, strict=True, by_alias=True, by_name=False)
    except ValidationError as error:
        return problems_of(error, model=model, document=document, file=file)
