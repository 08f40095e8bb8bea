"""Inputs of a search that lie in object storage: prepare fixes their content, later steps read that and no other."""

import os
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import TypeAdapter, ValidationError

from autosel_runtime.api.recipe_search import RecipeSearchSpec
from autosel_runtime.api.resources import StorageSpec
from autosel_runtime.api.uris import is_s3, split_s3, uri_problem
from autosel_runtime.checkpoint import is_model_file, is_model_folder
from autosel_runtime.errors import AutoselError, DataError, NoInputError, UnavailableError
from autosel_runtime.store.access import s3_access
from autosel_runtime.store.inputs import InputCache, Snapshot, survey

if TYPE_CHECKING:  # boto3 is an extra and slow to import
    from autosel_runtime.store.s3_source import Found, S3Source

INPUTS_FILE = "inputs.json"  # of prepare's result: the snapshots of all inputs

_SNAPSHOTS = TypeAdapter(tuple[Snapshot, ...])
_SHOWN = 3


@dataclass(frozen=True, kw_only=True)
class Input:
    """A uri of a search and the field it stands in; of a model only its own files are brought."""

    field: str
    uri: str
    model: bool = False


def inputs_of(spec: RecipeSearchSpec) -> Iterator[Input]:
    """Yield all inputs of a search, in the order in which it is best to find them missing."""
    yield Input(field="spec.model.uri", uri=spec.model.uri, model=True)
    for name, own in (("languageModel", spec.signals.language_model), ("embedding", spec.signals.embedding)):
        if own.enabled and own.model is not None:
            yield Input(field=f"spec.signals.{name}.model", uri=own.model, model=True)
    for index, uri in enumerate(spec.evaluation.transfer_models):
        yield Input(field=f"spec.evaluation.transferModels[{index}]", uri=uri, model=True)
    if spec.signals.sae is not None:
        yield Input(field="spec.signals.sae.uri", uri=spec.signals.sae.uri)
    for index, target in enumerate(spec.targets):
        yield Input(field=f"spec.targets[{index}].uri", uri=target.uri)
    for field, tasks in (("tasks", spec.evaluation.tasks), ("outOfDomain", spec.evaluation.out_of_domain)):
        for index, task in enumerate(tasks):
            if task.uri is not None:
                yield Input(field=f"spec.evaluation.{field}[{index}].uri", uri=task.uri)
            if task.definition is not None:
                yield Input(field=f"spec.evaluation.{field}[{index}].definition", uri=task.definition)
    if spec.training.deepspeed is not None:
        yield Input(field="spec.training.deepspeed", uri=spec.training.deepspeed)
    yield from pool_inputs(spec)


def pool_inputs(spec: RecipeSearchSpec) -> Iterator[Input]:
    """Yield the sources of the pool."""
    for index, source in enumerate(spec.pool.sources):
        yield Input(field=f"spec.pool.sources[{index}].uri", uri=source.uri)


class SearchInputs:
    """What the ``s3://`` uris of a search name, as local files below ``work``.

    ``recorded`` is asked once for what prepare has read (``inputs.json``, None when there is none). A uri that is not
    in it, of a model that a person adds at the end, is read as it is now.
    """

    def __init__(
        self, storage: StorageSpec, *, base: Path, work: Path, recorded: Callable[[], bytes | None]
    ) -> None:
        self._storage, self._base, self._recorded = storage, base, recorded
        self._cache = InputCache(folder=work / "s3", cache=work / "cache")
        self._snapshots: dict[str, Snapshot] | None = None
        self._source: S3Source | None = None

    @property
    def snapshots(self) -> tuple[Snapshot, ...]:
        """All that was read or recorded so far."""
        return tuple((self._snapshots or {}).values())

    def take(self, inputs: Sequence[Input]) -> None:
        """Read inputs as they are now, which replaces what was recorded; uris that are no ``s3://`` are left out.

        All are looked for before the first one is brought. An error of one that is not there names its field.
        """
        found: dict[str, list[Found]] = {}
        for one in inputs:
            if is_s3(one.uri) and one.uri not in found:
                with _naming(one.field):
                    found[one.uri] = self._survey(one)
        taken = self._cache.take(self._open(), list(found.items())) if found else []
        self._snapshots = {**self._known(), **{one.uri: one for one in taken}}

    def bring(self, uri: str) -> Path:
        """Return the folder below which ``bucket/key`` of an ``s3://`` uri lies."""
        return self._bring(Input(field="", uri=uri))

    def path(self, uri: str, *, model: bool = False) -> Path:
        """Return the local file or folder of an ``s3://`` uri; ``model`` tells that it must hold a model."""
        bucket, key = split_s3(uri)
        return self._bring(Input(field="", uri=uri, model=model)) / bucket / key.removesuffix("/")

    def _bring(self, one: Input) -> Path:
        if one.uri not in self._known():
            self.take([one])
        return self._cache.tree(self._open, self._known()[one.uri])

    def _known(self) -> dict[str, Snapshot]:
        if self._snapshots is None:
            self._snapshots = _parse(self._recorded())
        return self._snapshots

    def _survey(self, one: Input) -> "list[Found]":
        problem = uri_problem(one.uri)
        if problem is not None:
            raise DataError(problem)
        source = self._open()
        if not one.model:
            return survey(source, one.uri)
        found = survey(source, one.uri)
        _, key = split_s3(one.uri)
        folder = f"{key.removesuffix('/')}/" if key.removesuffix("/") else ""
        if any(not entry.key.startswith(folder) for entry in found):
            raise NoInputError(f"{one.uri}: no model here: it is one object, and a model is a folder")
        names = [entry.key[len(folder) :] for entry in found]
        if not is_model_folder(names):
            shown = ", ".join(names[:_SHOWN]) + (" ..." if len(names) > _SHOWN else "")
            raise NoInputError(
                f"{one.uri}: no model here: neither config.json nor adapter_config.json; it has {shown}"
            )
        return [entry for entry, name in zip(found, names, strict=True) if is_model_file(name)]

    def _open(self) -> "S3Source":
        if self._source is None:
            access = s3_access(self._storage, base=self._base, environ=os.environ)
            try:
                from autosel_runtime.store.s3_source import S3Source  # boto3 is an extra and slow to import
            except ImportError as error:
                raise UnavailableError(
                    "inputs from s3:// need boto3; install it with: pip install 'autosel[s3]'"
                ) from error
            self._source = S3Source(access)
        return self._source


def _parse(text: bytes | None) -> dict[str, Snapshot]:
    try:
        found = () if text is None else _SNAPSHOTS.validate_json(text)
    except ValidationError as error:
        raise DataError(
            f"{INPUTS_FILE} of the prepare step is damaged: {error.errors()[0]['msg']}"
        ) from error
    return {one.uri: one for one in found}


@contextmanager
def _naming(field: str) -> Generator[None]:
    try:
        yield
    except AutoselError as error:
        if not field:
            raise
        raise type(error)(f"{field}: {error}") from error
