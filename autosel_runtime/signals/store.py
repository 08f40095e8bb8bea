"""The finishing pass: shards become the files that recipes read.

Files of a signals folder (rows are pool rows, n of them):

    scalars-<name>.parquet   ``<name>`` float32, NaN where missing, and ``<name>.rank`` uint32; one file a column,
                             so that a recipe fetches only what it reads, and only one column is in memory
    groups.npz               ``exact`` int32 [n]; groups are numbered by their first row
    pairs.npz                ``minhash.left``, ``minhash.right`` uint32, ``minhash.similarity`` float32, and the
                             float64 number ``minhash.floor``; the same for ``embedding`` (cosine)
    signals.json             what is there, what it depends on, and the digest of every file; written last
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from autosel_runtime.digest import digest_file
from autosel_runtime.errors import DataError
from autosel_runtime.progress import Progress
from autosel_runtime.recipe.columns import Pairs, rank_of
from autosel_runtime.signals.cosine import CosineSearch, cosine_pairs
from autosel_runtime.signals.embedding import TEXTS, VECTORS
from autosel_runtime.signals.families import SCHEMA, Family
from autosel_runtime.signals.pairs import PairSearch, similar_pairs
from autosel_runtime.signals.samples import PoolLike
from autosel_runtime.signals.shards import Shard, array_names, read_shard, replacing

MANIFEST = "signals.json"
GROUPS = "groups.npz"
PAIRS = "pairs.npz"
RANK_SUFFIX = ".rank"
_QUANTILES = (0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99)
_ROW_GROUP = 1 << 20
_REPEATS_A_BLOCK = 1 << 14
# Arrays of a shard that are no scalar columns.
_SPECIAL = frozenset({"exact", "signatures", VECTORS, TEXTS})
_NOTE = "note."


@dataclass(frozen=True, kw_only=True)
class ShardedFamily:
    """A family with the folder that its shards lie in."""

    family: Family
    folder: Path


def scalar_file(name: str) -> str:
    """Return the name of a scalar column's file."""
    return f"scalars-{name}.parquet"


def write_signals(
    out: Path,
    pool: PoolLike,
    shards: Sequence[Shard],
    families: Sequence[ShardedFamily],
    *,
    fingerprint: str,
    floors: Mapping[str, float],
    work: Path,
) -> dict[str, Any]:
    """Merge the shards into ``out`` and return the manifest.

    ``floors`` are the least similarities of pairs, by their name. Signatures are gathered in a mapped file of the
    work folder: n * permutations * 4 bytes of disk; so are embeddings: n * d * 2 bytes. DataError when a shard is
    missing.
    """
    scalars: dict[str, dict[str, Any]] = {}
    notes: dict[str, int] = {}
    groups: dict[str, dict[str, Any]] = {}
    pairs: dict[str, dict[str, Any]] = {}
    found: dict[str, Pairs] = {}
    scalars["words"] = _write_scalar(out, "words", pool.words().astype(np.float32), "pool")
    for entry in families:
        names = array_names(entry.folder, shards[0])
        for name in names:
            parts = (_checked(entry.folder, shard, name) for shard in shards)
            if name.startswith(_NOTE):
                notes[name.removeprefix(_NOTE)] = sum(int(part.sum()) for part in parts)
            elif name not in _SPECIAL:
                scalars[name] = _write_scalar(out, name, _gathered(parts, pool.rows), entry.family.name)
        if "exact" in names:
            hashes = np.concatenate([_checked(entry.folder, shard, "exact") for shard in shards])
            exact = number_groups(hashes)
            with replacing(out / GROUPS) as temporary, temporary.open("wb") as stream:
                np.savez(stream, exact=exact)
            groups["exact"] = {"groups": int(exact.max()) + 1, "family": entry.family.name}
        if "signatures" in names:
            search = _search_pairs(entry.folder, shards, pool.rows, floors["minhash"], work)
            found["minhash"] = search.pairs
            pairs["minhash"] = {
                **_pairs_summary(search.pairs, floors["minhash"], entry.family.name),
                "bands": search.bands.count,
                "rows_per_band": search.bands.rows,
                "recall_at_floor": search.bands.recall,
                "candidates": search.candidates,
            }
        if VECTORS in names:
            cosines = _search_cosines(entry.folder, shards, pool.rows, floors["embedding"], work)
            found["embedding"] = cosines.pairs
            summarised = _pairs_summary(cosines.pairs, floors["embedding"], entry.family.name)
            pairs["embedding"] = {**summarised, "embedded": cosines.embedded}
    if found:
        _write_pairs(out, found)
    manifest: dict[str, Any] = {
        "schema": SCHEMA,
        "fingerprint": fingerprint,
        "pool": pool.digest,
        "rows": pool.rows,
        "scalars": scalars,
        "groups": groups,
        "pairs": pairs,
        "notes": notes,
        "families": {
            entry.family.name: {
                "fingerprint": entry.family.fingerprint,
                "depends": dict(entry.family.depends),
            }
            for entry in families
        },
    }
    names = [scalar_file(name) for name in scalars] + [GROUPS] * bool(groups) + [PAIRS] * bool(pairs)
    manifest["files"] = {
        name: {"bytes": (out / name).stat().st_size, "sha256": digest_file(out / name)}
        for name in sorted(names)
    }
    with replacing(out / MANIFEST) as temporary:
        temporary.write_bytes(orjson.dumps(manifest, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE))
    return manifest


def read_manifest(folder: Path) -> dict[str, Any] | None:
    """Return the manifest of a signals folder, None when it has none; DataError when it cannot be read."""
    path = folder / MANIFEST
    try:
        manifest = orjson.loads(path.read_bytes())
    except FileNotFoundError:
        return None
    except orjson.JSONDecodeError as error:
        raise DataError(f"{path}: not JSON ({error}); remove the folder and score again") from None
    if not isinstance(manifest, dict) or manifest.get("schema") != SCHEMA:
        found = manifest.get("schema") if isinstance(manifest, dict) else type(manifest).__name__
        raise DataError(f"{path}: schema {found!r} is not {SCHEMA}; score again with this version")
    return manifest


def number_groups(hashes: NDArray[np.uint64]) -> NDArray[np.int32]:
    """Return the group of each row [n]: equal hashes, one group; numbered by their first rows."""
    _, first, inverse = np.unique(hashes, return_index=True, return_inverse=True)
    numbers = np.empty(len(first), dtype=np.int32)
    numbers[np.argsort(first)] = np.arange(len(first), dtype=np.int32)
    return numbers[inverse]


def summary(values: NDArray[np.float32]) -> dict[str, Any]:
    """Return count, missing, mean, std (population), min, quantiles and max of a column; null when all missing."""
    present = values[~np.isnan(values)].astype(np.float64)
    result: dict[str, Any] = {"count": len(present), "missing": len(values) - len(present)}
    if len(present) == 0:
        return result | {"mean": None, "std": None, "min": None, "max": None, "quantiles": None}
    quantiles = np.quantile(present, _QUANTILES)
    return result | {
        "mean": float(present.mean()),
        "std": float(present.std()),
        "min": float(present.min()),
        "max": float(present.max()),
        "quantiles": {f"{share:g}": float(value) for share, value in zip(_QUANTILES, quantiles, strict=True)},
    }


def _checked(folder: Path, shard: Shard, name: str) -> NDArray[Any]:
    array = read_shard(folder, shard, name)
    if not name.startswith(_NOTE) and len(array) != shard.rows:
        raise DataError(f"{folder}: shard {shard.index} has {len(array)} rows of {name!r}, not {shard.rows}")
    return array


def _gathered(parts: Iterator[NDArray[Any]], rows: int) -> NDArray[np.float32]:
    values = np.empty(rows, dtype=np.float32)
    start = 0
    for part in parts:
        values[start : start + len(part)] = part
        start += len(part)
    return values


def _write_scalar(out: Path, name: str, values: NDArray[np.float32], family: str) -> dict[str, Any]:
    if np.isinf(values).any():
        raise DataError(f"signal {name!r} has infinite values, first in row {int(np.isinf(values).argmax())}")
    table = pa.table({name: values, name + RANK_SUFFIX: rank_of(values)})
    with replacing(out / scalar_file(name)) as temporary:
        # Ranks are as random as bits can be and losses nearly so: packing them costs time and saves nothing.
        pq.write_table(table, temporary, compression="none", use_dictionary=False, row_group_size=_ROW_GROUP)
    return {"file": scalar_file(name), "family": family, **summary(values)}


def _search_pairs(folder: Path, shards: Sequence[Shard], rows: int, floor: float, work: Path) -> PairSearch:
    path = work / "signatures.npy"
    columns = read_shard(folder, shards[0], "signatures").shape[1]
    gathered = np.lib.format.open_memmap(path, mode="w+", dtype=np.uint32, shape=(rows, columns))
    try:
        for shard in shards:
            gathered[shard.start : shard.stop] = _checked(folder, shard, "signatures")
        return similar_pairs(gathered, floor=floor)
    finally:
        path.unlink()


def _search_cosines(
    folder: Path, shards: Sequence[Shard], rows: int, floor: float, work: Path
) -> CosineSearch:
    path = work / "embeddings.npy"
    width = read_shard(folder, shards[0], VECTORS).shape[1]
    gathered = np.lib.format.open_memmap(path, mode="w+", dtype=np.float16, shape=(rows, width))
    try:
        for shard in shards:
            gathered[shard.start : shard.stop] = _checked(folder, shard, VECTORS)
        # Equal chats of two shards were computed in two batches, which may differ in the last bit.
        texts = np.concatenate([_checked(folder, shard, TEXTS) for shard in shards])
        _, first, inverse = np.unique(texts, return_index=True, return_inverse=True)
        repeated = np.flatnonzero((first[inverse] != np.arange(rows)) & (texts != 0))
        for low in range(0, len(repeated), _REPEATS_A_BLOCK):
            part = repeated[low : low + _REPEATS_A_BLOCK]
            gathered[part] = gathered[first[inverse[part]]]
        with Progress("embedding pairs", total=rows, unit="samples") as progress:
            return cosine_pairs(gathered, floor=floor, report=progress.advance)
    finally:
        path.unlink()


def _write_pairs(out: Path, found: Mapping[str, Pairs]) -> None:
    arrays: dict[str, NDArray[Any]] = {}
    for name, pairs in found.items():
        arrays[f"{name}.left"] = pairs.left
        arrays[f"{name}.right"] = pairs.right
        arrays[f"{name}.similarity"] = pairs.similarity
        arrays[f"{name}.floor"] = np.array(pairs.floor)
    with replacing(out / PAIRS) as temporary, temporary.open("wb") as stream:
        np.savez(stream, **arrays)  # pyright: ignore[reportArgumentType]  # typed as if names were options


def _pairs_summary(pairs: Pairs, asked: float, family: str) -> dict[str, Any]:
    return {
        "family": family,
        "pairs": len(pairs.left),
        "equal": int(np.count_nonzero(pairs.similarity == 1.0)),
        "asked": asked,
        "floor": pairs.floor,
        "raised": not math.isclose(asked, pairs.floor),
    }
