"""Files that a search names: do they exist? Only relative paths are looked at, others may lie in a pod."""

from collections.abc import Iterator
from pathlib import Path

from autosel_runtime.api.recipe_search import RecipeSearch
from autosel_runtime.api.yaml_tree import Document, Path_, field_text
from autosel_runtime.errors import Problem

_GLOB = frozenset("*?[")
_TASK_FILES = (".yaml", ".yml", ".json")


def missing_files(search: RecipeSearch, *, document: Document, file: str, base: Path) -> list[Problem]:
    """Return a Problem for every relative file of ``search`` that does not exist below ``base``."""
    problems: list[Problem] = []
    for path, uri in (*_files(search), *_models(search, base)):
        if not _is_relative(uri) or _exists(base, uri):
            continue
        problems.append(
            Problem(
                file=file,
                line=document.line_of(path),
                field=field_text(path),
                message=f"{'no file matches' if _GLOB & set(uri) else 'there is no file or folder'} {base / uri}",
            )
        )
    return problems


def _files(search: RecipeSearch) -> Iterator[tuple[Path_, str]]:
    spec = search.spec
    for index, source in enumerate(spec.pool.sources):
        yield ("spec", "pool", "sources", index, "uri"), source.uri
    for index, target in enumerate(spec.targets):
        yield ("spec", "targets", index, "uri"), target.uri
    for field, tasks in (("tasks", spec.evaluation.tasks), ("outOfDomain", spec.evaluation.out_of_domain)):
        for index, task in enumerate(tasks):
            if task.uri is not None:
                yield ("spec", "evaluation", field, index, "uri"), task.uri
            if task.definition is not None and task.definition.endswith(_TASK_FILES):
                yield ("spec", "evaluation", field, index, "definition"), task.definition
    if spec.signals.sae is not None:
        yield ("spec", "signals", "sae", "uri"), spec.signals.sae.uri
    if spec.training.deepspeed is not None:
        yield ("spec", "training", "deepspeed"), spec.training.deepspeed
    if spec.storage.ca_bundle is not None:
        yield ("spec", "storage", "caBundle"), spec.storage.ca_bundle


def _models(search: RecipeSearch, base: Path) -> Iterator[tuple[Path_, str]]:
    """Yield models that are meant as folders: a hub id has one slash too, but no folder of its owner's name."""
    spec = search.spec
    models: list[tuple[Path_, str | None]] = [
        (("spec", "model", "uri"), spec.model.uri),
        (("spec", "signals", "languageModel", "model"), spec.signals.language_model.model),
    ]
    for index, model in enumerate(spec.evaluation.transfer_models):
        models.append((("spec", "evaluation", "transferModels", index), model))
    for path, uri in models:
        if uri is None:
            continue
        could_be_id = not uri.startswith(".") and uri.count("/") <= 1
        if not could_be_id or ("/" in uri and (base / uri).parent.is_dir()):
            yield path, uri


def _is_relative(uri: str) -> bool:
    return "://" not in uri and not uri.startswith(("/", "~"))


def _exists(base: Path, uri: str) -> bool:
    if (base / uri).exists():
        return True
    return bool(_GLOB & set(uri)) and next(base.glob(uri), None) is not None
