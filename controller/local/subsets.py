"""Subsets of a run folder: compared with one another, locked, verified."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from autosel_runtime.api.search import Recipe
from autosel_runtime.api.uris import is_s3
from autosel_runtime.digest import digest_file
from autosel_runtime.errors import DataError, NoInputError, UsageError
from autosel_runtime.pool.files import find_inputs
from autosel_runtime.pool.pool import Pool
from autosel_runtime.recipe.columns import Columns
from autosel_runtime.report.explain import SampleText, Side
from autosel_runtime.report.lock import make_lock
from autosel_runtime.report.lock_file import Lock, LockedFile, read_lock
from autosel_runtime.report.lock_verify import verify_lock
from autosel_runtime.signals.table import SignalColumns
from autosel_runtime.steps.catalog import catalog_of
from autosel_runtime.steps.context import StepContext
from autosel_runtime.steps.data import load_mask
from autosel_runtime.steps.inputs import pool_inputs
from autosel_runtime.steps.report import versions
from autosel_runtime.steps.subset import MASK_FILE, TRACE_FILE, read_trace
from controller.local.rebuild import locked_inputs
from controller.local.report import load_run
from controller.reconcile.model import Observed
from controller.reconcile.search import Overview, overview
from controller.reconcile.trials import TrialView


@dataclass(frozen=True, kw_only=True)
class Subsets:
    """The pool, the columns and the realised subsets of a run."""

    observed: Observed
    view: Overview
    context: StepContext
    pool: Pool
    columns: SignalColumns

    def trial(self, name: str) -> TrialView:
        """Return a trial or baseline by name or ordinal."""
        views = [*self.view.trials, *self.view.baselines]
        for view in views:
            if name == view.trial.name or (name.isdigit() and int(name) == view.trial.ordinal):
                return view
        known = ", ".join(view.trial.name for view in views) or "none yet"
        raise UsageError(f"there is no trial {name!r}; there are: {known}")

    def side(self, name: str) -> Side:
        """Return a trial's subset for a comparison."""
        view = self.trial(name)
        if view.subset is None:
            raise UsageError(f"trial {view.trial.name} has no subset: {_why(view)}")
        folder = self.context.fetch(view.subset, [MASK_FILE, TRACE_FILE])
        trace = read_trace(folder / TRACE_FILE, self.pool)
        return Side(name=view.trial.name, recipe=view.trial.recipe, mask=load_mask(folder), trace=trace)

    def read(self, rows: Sequence[int]) -> Sequence[SampleText]:
        """Return the texts of pool rows, in their order."""
        wanted = sorted(set(rows))
        texts = dict(zip(wanted, self.pool.samples(np.asarray(wanted)), strict=True))
        return [
            SampleText(id=texts[row].id, text="\n".join(message.content for message in texts[row].messages))
            for row in rows
        ]


def open_subsets(folder: Path) -> Subsets:
    """Open a run folder whose pool and signals are finished."""
    observed, context = load_run(folder)
    view = overview(observed, 0.0)
    if view.prepared is None:
        raise NoInputError(f"{folder} has no pool and no signals yet: {view.state.message}")
    pool = Pool.open(context.fetch(view.prepared.pool))
    columns = SignalColumns.open(context.fetch(view.prepared.signals), pool)
    return Subsets(observed=observed, view=view, context=context, pool=pool, columns=columns)


def lock_of(folder: Path, name: str | None) -> Lock:
    """Return the lock of a trial of a run folder: of the chosen one when ``name`` is None."""
    subsets = open_subsets(folder)
    chosen = name or subsets.view.state.best
    if chosen is None:
        raise DataError(f"{folder} has no finished trial to lock")
    view = subsets.trial(chosen)
    if view.subset is None:
        raise UsageError(f"trial {view.trial.name} has no subset to lock: {_why(view)}")
    spec = subsets.observed.search.spec
    columns: Columns = subsets.columns
    return make_lock(
        search=subsets.observed.search.metadata.name,
        trial=view.trial.name,
        seed=spec.search.seed,
        recipe=view.trial.recipe,
        ancestors=_ancestors(subsets.view.trials),
        columns=columns,
        ids=subsets.pool.ids().to_pylist(),
        signals_fingerprint=subsets.columns.fingerprint,
        files=_files(subsets),
        training=spec.training.content(),
        evaluation=spec.evaluation.model_dump(mode="json"),
        versions=versions(),
        inputs=locked_inputs(spec),
        catalog=catalog_of(spec),
    )


def verify_run(lock_file: Path, folder: Path) -> list[str]:
    """Return all differences between a lock and the pool and signals of a run folder."""
    lock = read_lock(lock_file)
    subsets = open_subsets(folder)
    columns: Columns = subsets.columns
    subsets.context.inputs.take(list(pool_inputs(subsets.observed.search.spec)))
    return verify_lock(
        lock,
        columns,
        subsets.pool.ids().to_pylist(),
        signals_fingerprint=subsets.columns.fingerprint,
        files={file.uri: file.sha256 for file in _files(subsets)},
        catalog=catalog_of(subsets.observed.search.spec),
    )


def _why(view: TrialView) -> str:
    if view.trial.role == "untuned":
        return "it is the model without training"
    return f"it is {view.phase}{': ' + view.message if view.message else ''}"


def _ancestors(trials: Sequence[TrialView]) -> Mapping[str, Recipe]:
    keyed: dict[str, Recipe] = {}
    for view in trials:
        keyed[view.trial.recipe_digest] = keyed[str(view.trial.ordinal)] = view.trial.recipe
    return keyed


def _files(subsets: Subsets) -> list[LockedFile]:
    """Return the pool's files: local ones as they are now, those of a bucket as the search has read them, or as they
    are now when they were read again."""
    base, bring = subsets.context.base, subsets.context.inputs.bring
    found: list[LockedFile] = []
    for source in subsets.observed.search.spec.pool.sources:
        for file in find_inputs(source.uri, base, bring=bring).files:
            path = file.path.resolve()
            name = path.relative_to(base).as_posix() if path.is_relative_to(base) else path.as_posix()
            name = file.label if is_s3(source.uri) else name
            found.append(LockedFile(source=source.name, uri=name, sha256=digest_file(path)))
    return found
