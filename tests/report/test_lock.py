"""recipe.lock: it holds over the same pool, and any change is found out in a sentence."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from autosel_runtime.errors import DataError, NoInputError
from autosel_runtime.recipe import mask as masks
from autosel_runtime.recipe.catalog import recipe_digest
from autosel_runtime.recipe.columns import Csr, Pairs, Scalar, rank_of
from autosel_runtime.recipe.execute import execute
from autosel_runtime.report.column_digest import column_digest, ids_digest
from autosel_runtime.report.lock import make_lock
from autosel_runtime.report.lock_file import Lock, LockedFile, lock_text, read_lock
from autosel_runtime.report.lock_verify import verify_lock
from tests.array_columns import ArrayColumns
from tests.report.sample import columns, recipe, step

ROWS = 400
IDS = tuple(f"{i:024x}" for i in range(ROWS))


def pool() -> ArrayColumns:
    """Return columns of every kind."""
    plain = columns(ROWS)
    pairs = Pairs(
        left=np.array([0, 3, 9], np.uint32),
        right=np.array([1, 7, 30], np.uint32),
        similarity=np.array([0.9, 0.82, 0.7], np.float32),
        floor=0.5,
    )
    return ArrayColumns(
        rows=ROWS,
        source_names=plain.source_names,
        source_codes=plain.source_codes,
        scalars=plain.scalars,
        group_columns={"exact": (np.arange(ROWS) // 2).astype(np.int32)},
        pair_columns={"minhash": pairs},
        feature_columns={
            "sae_features": Csr(
                indptr=np.arange(ROWS + 1, dtype=np.int64),
                indices=np.zeros(ROWS, np.uint32),
                values=np.ones(ROWS, np.float32),
                width=4,
            )
        },
    )


FIRST = recipe(step("ifd_filter", fraction=0.3, direction="lowest"))
SECOND = recipe(step("ngram_entropy_filter", fraction=0.2), step("union", trial=1))
CHOSEN = recipe(
    step("semantic_dedup", threshold=0.8),
    step("mona_filter", fraction=0.3, benchmarks=["gsm8k"]),
    step("random_subset", fraction=0.5),
    step("union", trial=recipe_digest(SECOND)),
)


def make(**changes: Any) -> Lock:
    """Return a lock with two generations of unions."""
    given: dict[str, Any] = {
        "search": "demo",
        "trial": "demo-7",
        "seed": 42,
        "recipe": CHOSEN,
        "ancestors": {"1": FIRST, recipe_digest(SECOND): SECOND, "99": recipe()},
        "columns": pool(),
        "ids": IDS,
        "signals_fingerprint": "sha256:" + "5" * 64,
        "files": [LockedFile(source="metamath", uri="metamath.jsonl", sha256="sha256:" + "6" * 64)],
        "training": {"method": "lora", "epochs": 3.0},
        "evaluation": {"split_seed": 7},
        "versions": {"autosel": "0.1.0"},
    }
    return make_lock(**{**given, **changes})


LOCK = make()


def test_lock_holds_and_its_text_reads_back(tmp_path: Path):
    assert verify_lock(LOCK, pool(), IDS) == []
    path = tmp_path / "recipe.lock"
    path.write_text(lock_text(LOCK))
    assert read_lock(path) == LOCK
    assert make() == LOCK


def test_only_needed_ancestors_are_kept_parents_first():
    assert [one.key for one in LOCK.ancestors] == ["1", recipe_digest(SECOND)]
    assert set(LOCK.columns) == {"minhash", "mona.gsm8k", "ifd", "ngram_entropy"}


def test_subset_is_the_one_that_execution_gives():
    one = execute(FIRST, pool(), seed=42).mask
    two = execute(SECOND, pool(), seed=42, unions={"1": one}).mask
    done = execute(CHOSEN, pool(), seed=42, unions={recipe_digest(SECOND): two})
    assert LOCK.chosen.subset_digest == masks.subset_digest(IDS, done.mask)
    assert LOCK.chosen.size == done.size


def _digests(node: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield the path of every digest in the lock, and of numbers that a digest depends on."""
    if isinstance(node, dict):
        for key, value in node.items():
            yield from _digests(value, (*path, key))
    elif isinstance(node, list):
        for index, value in enumerate(node):
            yield from _digests(value, (*path, index))
    elif isinstance(node, str) and node.startswith("sha256:"):
        yield path


DOCUMENT = json.loads(lock_text(LOCK))


def _changed(path: tuple[Any, ...], value: Any, *, sealed: bool) -> Lock:
    document = json.loads(lock_text(LOCK))
    node = document
    for key in path[:-1]:
        node = node[key]
    node[path[-1]] = value
    lock = Lock.model_validate(document)
    return lock.sealed() if sealed else lock


@pytest.mark.parametrize("path", list(_digests(DOCUMENT)), ids=lambda path: ".".join(map(str, path)))
def test_any_one_changed_digest_is_found_out(path: tuple[Any, ...]):
    lock = _changed(path, "sha256:" + "0" * 64, sealed=False)
    assert verify_lock(lock, pool(), IDS)


@pytest.mark.parametrize(
    ("path", "value", "words"),
    [
        (("pool", "digest"), "sha256:0", "The digest of the pool differs"),
        (("pool", "rows"), 7, "The pool has 400 rows, the lock says 7."),
        (("pool", "sources_digest"), "sha256:0", "The digest of the source of every row differs"),
        (("columns", "ifd"), "sha256:0", "The digest of column ifd differs"),
        (("columns", "gone"), "sha256:0", "Column gone does not exist here."),
        (("chosen", "subset_digest"), "sha256:0", "The digest of the subset of the chosen trial differs"),
        (("chosen", "recipe_digest"), "sha256:0", "The digest of the recipe of the chosen trial differs"),
        (("chosen", "size"), 3, "The recipe of the chosen trial keeps"),
        (
            ("ancestors", 0, "subset_digest"),
            "sha256:0",
            "The digest of the subset of trial 1, which a union names, differs",
        ),
        (("seed",), 43, "The digest of the subset of the chosen trial differs"),
        (("training", "settings", "epochs"), 4.0, "The digest of the training settings differs"),
        (("evaluation", "digest"), "sha256:0", "The digest of the evaluation settings differs"),
        (("chosen", "recipe", "steps", 0, "operator"), "nonsense", "cannot be executed"),
    ],
)  # fmt: skip
def test_a_resealed_change_is_named(path: tuple[Any, ...], value: Any, words: str):
    problems = verify_lock(_changed(path, value, sealed=True), pool(), IDS)
    assert any(words in problem for problem in problems), problems
    assert all(problem.endswith(".") and "\n" not in problem for problem in problems)


def test_fingerprint_and_files_are_compared_when_given():
    assert verify_lock(LOCK, pool(), IDS, signals_fingerprint=LOCK.signals_fingerprint) == []
    assert verify_lock(LOCK, pool(), IDS, signals_fingerprint="sha256:1") != []
    assert verify_lock(LOCK, pool(), IDS, files={"metamath.jsonl": "sha256:" + "6" * 64}) == []
    (problem,) = verify_lock(LOCK, pool(), IDS, files={})
    assert problem.startswith("The digest of file metamath.jsonl of source metamath differs")


def test_a_changed_pool_is_found_out():
    base = pool()
    ifd = base.scalars["ifd"].values.copy()
    ifd[5] += 0.25
    changed = {**base.scalars, "ifd": Scalar(values=ifd, ranks=rank_of(ifd))}
    other = ArrayColumns(
        rows=ROWS, source_names=base.source_names, source_codes=base.source_codes, scalars=changed,
        pair_columns=base.pair_columns,
    )  # fmt: skip
    assert any(
        problem.startswith("The digest of column ifd differs") for problem in verify_lock(LOCK, other, IDS)
    )
    swapped = (IDS[1], IDS[0], *IDS[2:])
    assert any(
        problem.startswith("The digest of the pool differs") for problem in verify_lock(LOCK, pool(), swapped)
    )
    assert verify_lock(LOCK, pool(), IDS[1:]) == ["There are 399 ids but 400 rows of columns."]


def test_digests_of_columns():
    base = pool()
    found = {name: column_digest(base, name) for name in sorted(base.names)}
    assert len(set(found.values())) == len(found)
    nan = base.scalars["ifd"].values.copy()
    nan[np.isnan(nan)] = np.frombuffer(np.array([0x7FC12345], "<u4").tobytes(), "<f4")[0]
    same = ArrayColumns(
        rows=ROWS, source_names=base.source_names, source_codes=base.source_codes,
        scalars={"ifd": Scalar(values=nan, ranks=base.scalars["ifd"].ranks)},
    )  # fmt: skip
    assert column_digest(same, "ifd") == found["ifd"]
    with pytest.raises(DataError, match="does not exist"):
        column_digest(base, "ghost")
    assert ids_digest(["a", "b"]) != ids_digest(["b", "a"])


def test_unions_that_lead_nowhere_or_in_a_circle():
    with pytest.raises(DataError, match="refers to trial 8, whose recipe is not known"):
        make(recipe=recipe(step("union", trial=8)))
    circle = {"1": recipe(step("union", trial=2)), "2": recipe(step("union", trial=1))}
    with pytest.raises(DataError, match="refers to itself: 1 → 2 → 1"):
        make(recipe=recipe(step("union", trial=1)), ancestors=circle)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", "not JSON"),
        ("[]", "is no lock: found a list; must be a mapping"),
        ("", "not JSON"),
        ("\x00\xff", "not JSON"),
        ("{}", "search: the field is required"),
        ("3", "found 3; must be a mapping"),
        ('{"schema": "autosel.dev/lock/v9"}', "schema"),
    ],
)
def test_broken_lock_files_get_one_sentence(tmp_path: Path, text: str, words: str):
    path = tmp_path / "recipe.lock"
    path.write_text(text)
    with pytest.raises(DataError, match=words):
        read_lock(path)
    with pytest.raises(NoInputError, match="cannot read the lock"):
        read_lock(tmp_path / "missing.lock")
