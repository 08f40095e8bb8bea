"""What every step works with: its document, the store, scratch space."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from autosel_runtime.api.recipe_search import RecipeSearchSpec
from autosel_runtime.api.uris import is_s3
from autosel_runtime.errors import AutoselError, DataError, NoInputError
from autosel_runtime.steps.document import StepDocument, prepare_prefix
from autosel_runtime.steps.inputs import INPUTS_FILE, SearchInputs
from autosel_runtime.store.open import open_store
from autosel_runtime.store.port import Store
from autosel_runtime.store.publish import Marker, fetch, find


class DamagedError(AutoselError):
    """An artifact in the store is not what was published. That is no fault of the recipe that needs it."""

    exit_code = 74


@dataclass(frozen=True, kw_only=True)
class StepContext:
    """Access to inputs and outputs of one step."""

    document: StepDocument
    store: Store
    work: Path

    @property
    def spec(self) -> RecipeSearchSpec:
        """The search's specification."""
        return self.document.search

    @property
    def base(self) -> Path:
        """Folder that relative paths start at."""
        return self.document.base_path

    def input(self, name: str) -> Any:
        """Return an input by name; a missing one is a fault of whoever wrote the document."""
        try:
            return self.document.inputs[name]
        except KeyError:
            raise DataError(f"step {self.document.name}: input {name!r} is missing") from None

    def marker(self, prefix: str) -> Marker:
        """Return the marker of a finished artifact."""
        try:
            marker = find(self.store, prefix)
        except DataError as error:
            raise DamagedError(str(error)) from error
        if marker is None:
            raise NoInputError(f"{self.store.uri}/{prefix} is not finished: it has no marker")
        return marker

    def fetch(self, prefix: str, names: list[str] | None = None, *, keep: bool = True) -> Path:
        """Return a local folder with the files of a finished artifact, verified.

        Unless ``keep``, they go with the step: tuned models of a bucket would fill a disk, one by one.
        """
        folder = Path(self.document.work) / "inputs" / prefix if keep else self.work / "inputs"
        cache = Path(self.document.work) / "cache" if keep else None
        try:
            return fetch(self.store, self.marker(prefix), folder, names, cache=cache)
        except DataError as error:
            raise DamagedError(str(error)) from error

    @cached_property
    def inputs(self) -> SearchInputs:
        """Inputs that lie in object storage, as prepare has read them."""
        return SearchInputs(
            self.spec.storage, base=self.base, work=Path(self.document.work), recorded=self._recorded_inputs
        )

    def _recorded_inputs(self) -> bytes | None:
        prefix = prepare_prefix(self.document.uid)
        if self.document.output == prefix or find(self.store, prefix) is None:
            return None
        if INPUTS_FILE not in self.marker(prefix).objects:
            return None
        return (self.fetch(prefix, [INPUTS_FILE]) / INPUTS_FILE).read_bytes()

    def file(self, uri: str) -> Path:
        """Return where a file or folder lies on this machine; relative paths start at the base."""
        return (
            self.inputs.path(uri)
            if is_s3(uri)
            else self.base / Path(uri.removeprefix("file://")).expanduser()
        )

    def model(self, uri: str) -> Path | str:
        """Return the folder of a model (relative ones start at the base), or ``uri`` itself when it is a hub id.

        Only the search's own model may be a hub id, and only with a revision, since its digest is made of both.
        """
        if is_s3(uri):
            return self.inputs.path(uri, model=True)
        path = self.base / Path(uri.removeprefix("file://")).expanduser()
        if path.exists() or uri != self.spec.model.uri or self.spec.model.revision is None:
            return path
        return uri


@dataclass(frozen=True, kw_only=True)
class StepOutput:
    """Files to publish and the summary that the controller sees (at most 4 KiB of JSON)."""

    files: Mapping[str, Path | bytes]
    summary: Mapping[str, Any]


def open_context(document: StepDocument) -> StepContext:
    """Open the store and the scratch folder of a step."""
    work = Path(document.work) / document.output
    work.mkdir(parents=True, exist_ok=True)
    store = open_store(
        document.search.storage,
        base=document.base_path,
        default=Path(document.default_store),
        environ=os.environ,
    )
    return StepContext(document=document, store=store, work=work)


def files_of(folder: Path) -> dict[str, Path | bytes]:
    """Return all files below ``folder`` by relative name, for publishing."""
    return {path.relative_to(folder).as_posix(): path for path in sorted(folder.rglob("*")) if path.is_file()}
