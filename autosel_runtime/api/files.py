"""Files that a search names: are they there, and models models? Only relative paths: others may lie in a pod."""

from collections.abc import Iterator
from pathlib import Path

from autosel_runtime.api.findings import Finding
from autosel_runtime.api.recipe_search import RecipeSearch
from autosel_runtime.api.yaml_tree import Path_

_GLOB = frozenset("*?[")
_MODEL_FILES = ("config.json", "adapter_config.json")
_TASK_FILES = (".yaml", ".yml", ".json")


def missing_files(search: RecipeSearch, base: Path) -> list[Finding]:
    """Return a finding for every relative file of ``search`` that is not below ``base``, or is no model but must be."""
    found = [
        (path, f"{'no file matches' if _GLOB & set(uri) else 'there is no file or folder'} {base / uri}")
        for path, uri in (*_files(search), *_models(search, base))
        if _is_relative(uri) and not _exists(base, uri)
    ]
    found += [
        (path, f"{base / uri} is no model: it is a folder without {' and without '.join(_MODEL_FILES)}")
        for path, uri in _all_models(search)
        if _is_relative(uri) and (base / uri).is_dir() and not _is_model(base / uri)
    ]
    found += [
        (
            path,
            f"{base / uri} is no model: it is a file; name the folder that holds {' or '.join(_MODEL_FILES)}",
        )
        for path, uri in _all_models(search)
        if _is_relative(uri) and (base / uri).is_file()
    ]
    return [Finding(field=path, message=message) for path, message in found]


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


def _all_models(search: RecipeSearch) -> Iterator[tuple[Path_, str]]:
    spec = search.spec
    yield ("spec", "model", "uri"), spec.model.uri
    for name, own in (("languageModel", spec.signals.language_model), ("embedding", spec.signals.embedding)):
        if own.model is not None:
            yield ("spec", "signals", name, "model"), own.model
    for index, model in enumerate(spec.evaluation.transfer_models):
        yield ("spec", "evaluation", "transferModels", index), model


def _models(search: RecipeSearch, base: Path) -> Iterator[tuple[Path_, str]]:
    """Yield models that are meant as folders: a hub id has one slash too, but no folder of its owner's name."""
    for path, uri in _all_models(search):
        could_be_id = not uri.startswith(".") and uri.count("/") <= 1
        if not could_be_id or ("/" in uri and (base / uri).parent.is_dir()):
            yield path, uri


def _is_model(folder: Path) -> bool:
    return any((folder / name).is_file() for name in _MODEL_FILES)


def _is_relative(uri: str) -> bool:
    return "://" not in uri and not uri.startswith(("/", "~"))


def _exists(base: Path, uri: str) -> bool:
    if (base / uri).exists():
        return True
    return bool(_GLOB & set(uri)) and next(base.glob(uri), None) is not None
