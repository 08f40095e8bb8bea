"""Scoring a pool: every signal that the specification asks for, shard by shard, then one merge.

The work folder holds the shards already done, by fingerprint: a run that was killed goes on from there, a run
with other settings reuses the families that did not change, and several pods may each do their part of the
shards before one of them merges.
"""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from autosel_runtime.api.signals import SignalsSpec
from autosel_runtime.checkpoint import model_digest
from autosel_runtime.errors import ConfigError, DataError
from autosel_runtime.pool.sample import Sample
from autosel_runtime.progress import Progress
from autosel_runtime.signals import embedding, language_model, lexical
from autosel_runtime.signals import families as family_of
from autosel_runtime.signals.causal import choose_dtype
from autosel_runtime.signals.families import Extension, Family
from autosel_runtime.signals.samples import PoolLike
from autosel_runtime.signals.segments import Tokenised
from autosel_runtime.signals.shards import Shard, missing_shards, plan_shards, write_shard
from autosel_runtime.signals.store import ShardedFamily, read_manifest, write_signals
from autosel_runtime.signals.text_pass import TextPlan, compute_extensions, compute_text, text_processes

Targets = Mapping[str, Sequence[Sample]]


def score_pool(
    pool: PoolLike,
    spec: SignalsSpec,
    *,
    model_dir: Path | None,
    chat_template: str | None,
    targets: Targets,
    out: Path,
    work: Path,
    shards: tuple[int, int] | None = None,
    extensions: Sequence[Extension] = (),
    workers: int | None = None,
    embedding_model_dir: Path | None = None,
) -> dict[str, Any]:
    """Compute the signals of ``pool`` into ``out`` and return the manifest (``signals.json``).

    ``model_dir`` is the folder of the model whose token probabilities are asked for, ``embedding_model_dir`` that of
    the model whose embeddings are, ``chat_template`` replaces their tokenizers' own, ``targets`` are query samples by
    target name. ``work`` keeps finished shards. With ``shards`` = (index, count) only every count-th shard is
    computed, nothing is merged and the manifest's ``complete`` is false; call once more without it over a work folder
    that holds all shards. ``extensions`` are (name, function) pairs; ``workers`` processes read text, one a core when
    left out.
    """
    if pool.rows == 0:
        raise DataError("the pool has no samples, so there is nothing to score")
    families = plan_families(
        pool.digest, spec, model_dir, chat_template, targets, extensions, embedding_model_dir
    )
    floors: dict[str, float] = {}
    settings: dict[str, Any] = {"floor": None}
    if spec.minhash.enabled:
        floors["minhash"] = settings["floor"] = spec.minhash.floor
    if spec.embedding.enabled:
        floors["embedding"] = settings["embedding_floor"] = spec.embedding.floor
    fingerprint = family_of.signals_fingerprint(list(families.values()), settings)
    done = read_manifest(out)
    if shards is None and done is not None and done["fingerprint"] == fingerprint and _is_whole(out, done):
        return done

    every = plan_shards(pool.rows, spec.rows_per_shard)
    index, count = shards or (0, 1)
    if not 0 <= index < count:
        raise ConfigError(f"shards: index {index} of {count} does not exist; it must be 0..{count - 1}")
    mine = [shard for shard in every if shard.index % count == index]
    sharded = {
        name: ShardedFamily(family=family, folder=family.folder(work, spec.rows_per_shard))
        for name, family in families.items()
    }
    folders = {name: entry.folder for name, entry in sharded.items()}
    _score_text(pool, spec, targets, folders, mine, workers)
    if extensions:
        _score_extensions(pool, folders["extensions"], mine, extensions)
    if "language-model" in folders:
        assert model_dir is not None
        scorer = partial(language_model.load, model_dir, spec.language_model, chat_template)
        _score_model(
            pool,
            scorer,
            language_model.language_model_arrays,
            folders["language-model"],
            mine,
            "language model",
            2,
        )
    if "embedding" in folders:
        assert embedding_model_dir is not None
        embedder = partial(embedding.load, embedding_model_dir, spec.embedding, chat_template)
        _score_model(pool, embedder, embedding.embedding_arrays, folders["embedding"], mine, "embeddings", 1)
    if shards is not None:
        return {"complete": False, "fingerprint": fingerprint, "shards": [shard.index for shard in mine]}
    return write_signals(
        out, pool, every, list(sharded.values()), fingerprint=fingerprint, floors=floors, work=work
    )


def plan_families(
    pool_digest: str,
    spec: SignalsSpec,
    model_dir: Path | None,
    chat_template: str | None,
    targets: Targets,
    extensions: Sequence[Extension] = (),
    embedding_model_dir: Path | None = None,
) -> dict[str, Family]:
    """Return the families that ``spec`` asks for, by name.

    ConfigError when a model is needed and none given, UnavailableError when a library is missing: all of it
    before any work is done.
    """
    empty = [name for name, samples in targets.items() if not samples]
    if empty:
        raise DataError(f"target {empty[0]!r} has no samples")
    families = [family_of.lexical_family(pool_digest, spec.lexical, targets)]
    if spec.minhash.enabled:
        families.append(family_of.minhash_family(pool_digest, spec.minhash))
    if extensions:
        families.append(family_of.extension_family(pool_digest, extensions))
    if spec.language_model.enabled:
        families.append(
            family_of.language_model_family(
                pool_digest,
                spec.language_model,
                model=model_digest(_needed(model_dir, language_model.SECTION)),
                template=chat_template if spec.language_model.chat_template else None,
                dtype=choose_dtype(spec.language_model, language_model.SECTION),
            )
        )
    if spec.embedding.enabled:
        families.append(
            family_of.embedding_family(
                pool_digest,
                spec.embedding,
                model=model_digest(_needed(embedding_model_dir, embedding.SECTION)),
                template=chat_template if spec.embedding.chat_template else None,
                dtype=choose_dtype(spec.embedding, embedding.SECTION),
            )
        )
    return {family.name: family for family in families}


def _needed(model: Path | None, section: str) -> Path:
    if model is None:
        raise ConfigError(f"{section} needs a model: name a model folder, or set {section}.enabled: false")
    return model


def _score_text(
    pool: PoolLike,
    spec: SignalsSpec,
    targets: Targets,
    folders: Mapping[str, Path],
    shards: Sequence[Shard],
    workers: int | None,
) -> None:
    """Compute the missing shards of signals of the text, of each family only those it misses."""
    wanted = {
        name: missing_shards(folders[name], shards) for name in ("lexical", "minhash") if name in folders
    }
    todo = sorted({shard.index: shard for part in wanted.values() for shard in part}.items())
    if not todo:
        return
    prototypes = {name: lexical.prototype(samples) for name, samples in targets.items()}
    plan = TextPlan(
        lexical=spec.lexical if wanted["lexical"] else None,
        minhash=spec.minhash if wanted.get("minhash") else None,
        prototypes=prototypes if spec.lexical.relevance else {},
    )
    rows = sum(shard.rows for _, shard in todo)
    with (
        Progress("text signals", total=rows, unit="samples") as progress,
        text_processes(plan, rows, workers) as (executor, processes),
    ):
        for _, shard in todo:
            samples = pool.samples(shard.row_numbers())
            arrays = compute_text(samples, plan, executor, workers=processes, report=progress.advance)
            for name, missing in wanted.items():
                if shard in missing:
                    write_shard(folders[name], shard, arrays[name])


def _score_extensions(
    pool: PoolLike, folder: Path, shards: Sequence[Shard], extensions: Sequence[Extension]
) -> None:
    for shard in missing_shards(folder, shards):
        write_shard(folder, shard, compute_extensions(pool.samples(shard.row_numbers()), extensions))


def _score_model(
    pool: PoolLike,
    load: Callable[[], Any],
    arrays_of: Callable[[Any, Tokenised, Callable[[int], None]], dict[str, NDArray[Any]]],
    folder: Path,
    shards: Sequence[Shard],
    what: str,
    texts_of_a_chat: int,
) -> None:
    """Compute the missing shards of a family that takes a model; the next shard is tokenised meanwhile."""
    todo = missing_shards(folder, shards)
    if not todo:
        return
    model = load()

    def tokenised(shard: Shard) -> Tokenised:
        return model.tokenise(list(pool.samples(shard.row_numbers())))

    total = texts_of_a_chat * sum(shard.rows for shard in todo)
    with (
        Progress(what, total=total, unit="texts") as progress,
        ThreadPoolExecutor(1) as ahead,
    ):
        following = ahead.submit(tokenised, todo[0])
        for position, shard in enumerate(todo):
            chats = following.result()
            if position + 1 < len(todo):
                following = ahead.submit(tokenised, todo[position + 1])
            write_shard(folder, shard, arrays_of(model, chats, progress.advance))


def _is_whole(out: Path, manifest: Mapping[str, Any]) -> bool:
    files: dict[str, dict[str, Any]] = manifest["files"]
    return all(
        (out / name).is_file() and (out / name).stat().st_size == e["bytes"] for name, e in files.items()
    )
