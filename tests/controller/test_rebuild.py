"""A lock checked from raw files: it holds where they are the same, and every change of one is named."""

import shutil
from pathlib import Path
from typing import Any

import orjson
import pytest

from autosel_runtime.api.recipe_search import RecipeSearchSpec
from autosel_runtime.api.search import Recipe
from autosel_runtime.digest import digest_file
from autosel_runtime.errors import DataError, UnavailableError
from autosel_runtime.pool.build import build_pool
from autosel_runtime.pool.pool import Pool
from autosel_runtime.pool.queries import load_queries
from autosel_runtime.report.lock import make_lock
from autosel_runtime.report.lock_file import Lock, LockedFile, lock_text, read_lock
from autosel_runtime.signals.score import score_pool
from autosel_runtime.signals.table import SignalColumns
from controller.local.rebuild import locked_inputs, verify_from_files
from tests.controller.local_search import specification

TEXT: list[dict[str, Any]] = [
    {"operator": "mona_filter", "params": {"fraction": 0.6}},
    {"operator": "semantic_dedup", "params": {"strategy": "minhash", "threshold": 0.8}},
]
MODEL: list[dict[str, Any]] = [{"operator": "ifd_filter", "params": {"fraction": 0.5}}, *TEXT]


def lock_of(base: Path, work: Path, steps: list[dict[str, Any]]) -> Lock:
    """Lock a recipe over the pool and all signals of the inputs in ``base``."""
    document = specification(base)
    document["pool"] = {"sources": [{"name": name, "uri": f"{name}.jsonl"} for name in ("good", "bad")]}
    document["model"] = {"uri": "model"}
    document["targets"] = [{"name": "add", "uri": "target.jsonl"}]
    spec = RecipeSearchSpec.model_validate(document)
    build_pool(spec.pool, base=base, out=work / "pool")
    pool = Pool.open(work / "pool")
    score_pool(
        pool,
        spec.signals,
        model_dir=base / "model",
        chat_template=None,
        targets={"add": load_queries(spec.targets[0], base)},
        out=work / "signals",
        work=work / "shards",
        extensions=(),
    )
    names = ("good.jsonl", "bad.jsonl")
    return make_lock(
        search="x",
        trial="t00001",
        seed=7,
        recipe=Recipe.model_validate({"steps": steps}),
        ancestors={},
        columns=SignalColumns.open(work / "signals", pool),
        ids=pool.ids().to_pylist(),
        signals_fingerprint="sha256:any",
        files=[LockedFile(source=n[:-6], uri=n, sha256=digest_file(base / n)) for n in names],
        training={},
        evaluation={},
        versions={},
        inputs=locked_inputs(spec),
    )


@pytest.fixture
def base(inputs: Path, tmp_path: Path) -> Path:
    shutil.copytree(inputs, tmp_path / "base")
    return tmp_path / "base"


def again(lock: Lock, base: Path, work: Path) -> tuple[list[str], list[str]]:
    told: list[str] = []
    work.mkdir()
    return verify_from_files(lock, base, work, told.append), told


def test_text_columns_are_made_again_without_the_model(base: Path, tmp_path: Path) -> None:
    path = tmp_path / "recipe.lock"
    path.write_text(lock_text(lock_of(base, tmp_path, TEXT)))
    shutil.rmtree(base / "model")
    found, told = again(read_lock(path), base, tmp_path / "again")
    assert found == []
    assert told == [
        "building the pool from 2 files",
        "computing signals: those of the text, MinHash signatures",
    ]


def test_columns_of_a_model_are_made_again_and_told(base: Path, tmp_path: Path) -> None:
    lock = lock_of(base, tmp_path, MODEL)
    found, told = again(lock, base, tmp_path / "again")
    assert found == []
    assert told[-1] == "computing ifd with the model model: a pass of the model over the whole pool"
    shutil.rmtree(base / "model")
    with pytest.raises(UnavailableError, match=r"ifd can only be computed with the model model.*--run RUN"):
        again(lock, base, tmp_path / "without")


def test_a_changed_file_is_named_before_anything_is_made(base: Path, tmp_path: Path) -> None:
    lock = lock_of(base, tmp_path, TEXT)
    (base / "bad.jsonl").write_text((base / "good.jsonl").read_text())
    found, told = again(lock, base, tmp_path / "again")
    assert len(found) == 1
    assert "File bad.jsonl of source bad is not the one that was locked" in found[0]
    assert told == []


def test_a_changed_recipe_gives_another_subset(base: Path, tmp_path: Path) -> None:
    lock = lock_of(base, tmp_path, TEXT)
    other = lock.model_copy(update={"chosen": lock.chosen.model_copy(update={"size": 1})}).sealed()
    found, _ = again(other, base, tmp_path / "again")
    assert found
    assert all("keeps" in one and "the lock says 1" in one for one in found)


def test_a_lock_of_an_earlier_version_stays_valid_and_says_what_it_lacks(base: Path, tmp_path: Path) -> None:
    lock = lock_of(base, tmp_path, TEXT)
    old = lock.model_copy(update={"inputs": None}).sealed()
    content = orjson.loads(lock_text(old))
    del content["inputs"]
    path = tmp_path / "old.lock"
    path.write_bytes(orjson.dumps(content))
    assert read_lock(path).sealed().lock_digest == content["lock_digest"]
    with pytest.raises(DataError, match=r"did not note how its pool is read; give --run RUN"):
        again(read_lock(path), base, tmp_path / "again")
