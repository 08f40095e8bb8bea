"""A lock checked from raw files alone: the pool is built again, then the columns that the locked recipes read."""

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from autosel_runtime.api.pool import PoolSpec, Target
from autosel_runtime.api.recipe_search import RecipeSearchSpec
from autosel_runtime.api.signals import SignalsSpec
from autosel_runtime.api.uris import is_s3
from autosel_runtime.digest import digest_file
from autosel_runtime.errors import DataError, UnavailableError
from autosel_runtime.pool.build import build_pool
from autosel_runtime.pool.files import Bring, find_inputs
from autosel_runtime.pool.pool import Pool
from autosel_runtime.pool.queries import load_queries
from autosel_runtime.recipe.catalog import CATALOG
from autosel_runtime.recipe.extension import extend_catalog, load_extensions
from autosel_runtime.report.lock_file import Lock, LockedInputs
from autosel_runtime.report.lock_verify import verify_lock
from autosel_runtime.signals.expected import EMBEDDING, LANGUAGE_MODEL
from autosel_runtime.signals.score import score_pool
from autosel_runtime.signals.table import SignalColumns
from autosel_runtime.steps.inputs import SearchInputs
from controller.local.steps import threads_of

# The columns that take a model.
MODEL_COLUMNS = frozenset({*LANGUAGE_MODEL, EMBEDDING})

Tell = Callable[[str], None]


def locked_inputs(spec: RecipeSearchSpec) -> LockedInputs:
    """Return what making the pool and the signals of a search again takes."""

    def plain(model: Any) -> dict[str, Any]:
        return model.model_dump(mode="json", by_alias=True, exclude_none=True)

    return LockedInputs(
        pool=plain(spec.pool),
        signals=plain(spec.signals),
        targets=tuple(plain(target) for target in spec.targets),
        model=spec.signals.language_model.model or spec.model.uri,
        embedding_model=(spec.signals.embedding.model or spec.model.uri)
        if spec.signals.embedding.enabled
        else None,
        chat_template=spec.model.chat_template,
        extensions=tuple(spec.search.extensions),
        threads=threads_of(spec.steps.score.cpu),
    )


def verify_from_files(
    lock: Lock, base: Path, work: Path, tell: Tell, objects: SearchInputs | None = None
) -> list[str]:
    """Make the pool and the columns of ``lock`` again in ``work`` and return all differences, one sentence each.

    Relative paths start at ``base``, ``objects`` brings ``s3://`` ones. ``tell`` gets a sentence about what is made.
    DataError for a lock that does not say how; NoInputError for a file that is gone; then nothing is made.
    """
    inputs = lock.inputs
    if inputs is None:
        raise DataError(
            "this lock was written by a version that did not note how its pool is read; give --run RUN with the run "
            "folder"
        )
    bring = None if objects is None else objects.bring
    changed, files = _files(lock, base, bring)
    if changed:
        return changed
    spec = PoolSpec.model_validate(inputs.pool)
    tell(f"building the pool from {len(files):,} files")
    build_pool(spec, base=base, out=work / "pool", bring=bring)
    pool = Pool.open(work / "pool")
    if pool.digest != lock.pool.digest:
        return [f"The digest of the pool differs: the lock says {lock.pool.digest}, found {pool.digest}."]
    extensions = load_extensions(inputs.extensions)
    columns = SignalColumns.open(_score(lock, inputs, pool, base, work, tell, objects), pool)
    return verify_lock(
        lock,
        columns,
        pool.ids().to_pylist(),
        files=files,
        catalog=extend_catalog(CATALOG, extensions),
    )


def _files(lock: Lock, base: Path, bring: Bring | None) -> tuple[list[str], dict[str, str]]:
    """Return the files that are not what was locked, and the digests of all."""
    found: dict[str, str] = {}
    changed: list[str] = []
    for file in lock.pool.files:
        [entry, *_] = find_inputs(file.uri, base, bring=bring).files
        found[file.uri] = digest_file(entry.path)
        if found[file.uri] != file.sha256:
            changed.append(
                f"File {file.uri} of source {file.source} is not the one that was locked: the lock says "
                f"{file.sha256}, found {found[file.uri]}."
            )
    return changed, found


def _score(
    lock: Lock,
    inputs: LockedInputs,
    pool: Pool,
    base: Path,
    work: Path,
    tell: Tell,
    objects: SearchInputs | None,
) -> Path:
    """Compute the families that hold the locked columns, and say which."""
    spec = SignalsSpec.model_validate(inputs.signals)
    by_model = {
        inputs.model: sorted(lock.columns.keys() & {*LANGUAGE_MODEL}),
        inputs.embedding_model or inputs.model: sorted(lock.columns.keys() & {EMBEDDING}),
    }
    if inputs.embedding_model in (None, inputs.model):
        by_model = {inputs.model: sorted(lock.columns.keys() & MODEL_COLUMNS)}
    minhash = "minhash" in lock.columns
    own = any(
        name in {signal for signal, _ in load_extensions(inputs.extensions).signals} for name in lock.columns
    )
    kinds = ["those of the text"] + ["MinHash signatures"] * minhash + ["those of extensions"] * own
    tell(f"computing signals: {', '.join(kinds)}")
    folders: dict[str, Path] = {}
    for uri, slow in by_model.items():
        if not slow:
            continue
        tell(f"computing {', '.join(slow)} with the model {uri}: a pass of the model over the whole pool")
        folders[uri] = _model(uri, base, objects)
        if not folders[uri].is_dir():
            raise UnavailableError(
                f"{', '.join(slow)} can only be computed with the model {uri}, and there is no folder "
                f"{folders[uri]}; give --run RUN to check against signals that exist"
            )
        with suppress(ImportError):
            import torch

            torch.set_num_threads(inputs.threads)
    scores = not lock.columns.keys().isdisjoint(LANGUAGE_MODEL)
    near = EMBEDDING in lock.columns
    spec = spec.model_copy(
        update={
            "minhash": spec.minhash.model_copy(update={"enabled": minhash}),
            "language_model": spec.language_model.model_copy(update={"enabled": scores}),
            "embedding": spec.embedding.model_copy(update={"enabled": near}),
        }
    )
    targets = [Target.model_validate(target) for target in inputs.targets]
    score_pool(
        pool,
        spec,
        model_dir=folders[inputs.model] if scores else None,
        embedding_model_dir=folders[inputs.embedding_model or inputs.model] if near else None,
        chat_template=inputs.chat_template,
        targets={
            target.name: load_queries(target, base, bring=None if objects is None else objects.bring)
            for target in targets
        },
        out=work / "signals",
        work=work / "shards",
        extensions=load_extensions(inputs.extensions).signals if own else (),
    )
    return work / "signals"


def _model(uri: str, base: Path, objects: SearchInputs | None) -> Path:
    if objects is not None and is_s3(uri):
        return objects.path(uri, model=True)
    return base / Path(uri.removeprefix("file://")).expanduser()
