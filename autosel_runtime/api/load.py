"""From YAML files to checked documents: every problem at once, each with file, line and field."""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, cast

from pydantic import BaseModel

from autosel_runtime.api.common import API_VERSION
from autosel_runtime.api.files import missing_files
from autosel_runtime.api.findings import Finding, disagreements
from autosel_runtime.api.problems import meant, problems_of
from autosel_runtime.api.recipe_search import RecipeSearch
from autosel_runtime.api.recipe_trial import RecipeTrial
from autosel_runtime.api.repair import check
from autosel_runtime.api.yaml_tree import Document, Path_, field_text, read_documents
from autosel_runtime.errors import InvalidDocumentError, NoInputError, Problem

KINDS: dict[str, type[RecipeSearch] | type[RecipeTrial]] = {
    "RecipeSearch": RecipeSearch,
    "RecipeTrial": RecipeTrial,
}

# A further check of a search, by its models and the folder of its document. Of a broken document it sees what
# ``repair`` made of it; what it concludes from broken fields is dropped.
Check = Callable[[RecipeSearch, Path], Iterable[Finding]]


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
        model, new = _check(document, path, check_files=check_files, also=also)
        said = {(problem.line, problem.field) for problem in problems}  # of values that cannot even be read
        problems += [problem for problem in new if (problem.line, problem.field) not in said]
        if isinstance(model, RecipeSearch) and any(isinstance(one, RecipeSearch) for one in found):
            message = "a second RecipeSearch in one file; a run takes one, so give each a file of its own"
            problems.append(Problem(file=str(path), line=document.line_of(()), field="", message=message))
        if model is not None:
            found.append(model)
    return found, sorted(problems, key=lambda problem: problem.line or 0)


def _check(
    document: Document, path: Path, *, check_files: bool, also: Check | None
) -> tuple[BaseModel | None, list[Problem]]:
    """Return the model of a document, mended where it is broken, and all problems of the document."""

    def problem(field: Path_, message: str) -> Problem:
        return Problem(file=str(path), line=document.line_of(field), field=field_text(field), message=message)

    if not isinstance(document.value, dict):
        message = "the document is no mapping; it must have apiVersion, kind, metadata and spec"
        return None, [problem((), message)]
    content = cast(dict[str, Any], document.value)
    kind, version = content.get("kind"), content.get("apiVersion")
    if not isinstance(kind, str) or kind not in KINDS:
        if kind is None:
            return None, [problem((), f"the field kind is required; allowed: {', '.join(KINDS)}")]
        hint = meant(str(kind), KINDS)
        return None, [problem(("kind",), f"found {kind!r}{hint or ';'} allowed: {', '.join(KINDS)}")]
    problems: list[Problem] = []
    if version != API_VERSION:
        known = "the field apiVersion is required" if version is None else f"found {version!r}"
        place = ("apiVersion",) if version is not None else ()
        problems.append(problem(place, f"{known}; must be {API_VERSION}"))
    checked = check({**content, "apiVersion": API_VERSION}, KINDS[kind])
    if checked.error is not None:
        problems += problems_of(checked.error, model=KINDS[kind], document=document, file=str(path))
    if checked.model is not None:
        findings = list(disagreements(checked.model))
        if isinstance(checked.model, RecipeSearch):
            base = path.absolute().parent
            findings += missing_files(checked.model, base) if check_files else []
            findings += also(checked.model, base) if also is not None else []
        problems += [
            problem(finding.field, finding.message) for finding in findings if checked.untouched(finding)
        ]
    return checked.model, problems
