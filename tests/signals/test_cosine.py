"""Pairs of near embeddings against all pairs computed one by one."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from autosel_runtime.recipe.columns import first_equal
from autosel_runtime.signals import cosine
from autosel_runtime.signals.cosine import cosine_pairs

Vectors = np.ndarray


def clustered(rows: int, width: int, seed: int) -> Vectors:
    """Return unit rows around a few centres; some equal another row, some are all zeros."""
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(max(rows // 6, 1), width))
    vectors = centres[rng.integers(len(centres), size=rows)] + 0.3 * rng.normal(size=(rows, width))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    vectors = vectors.astype(np.float16)
    for row in range(rows):
        if rng.random() < 0.1:
            vectors[row] = vectors[rng.integers(rows)]
        elif rng.random() < 0.05:
            vectors[row] = 0
    return vectors


def cosines(vectors: Vectors) -> np.ndarray:
    """Return the cosine of every two rows [n, n] in float64; 0 for rows of zeros."""
    wide = vectors.astype(np.float64)
    norms = np.sqrt((wide * wide).sum(axis=1))
    with np.errstate(invalid="ignore", divide="ignore"):
        units = np.where(norms[:, None] > 0, wide / norms[:, None], 0.0)
    return units @ units.T


def oracle(vectors: Vectors, floor: float) -> set[tuple[int, int]]:
    """Return all pairs that the list must have: equal rows as a star, others between the first rows of stars."""
    found = cosines(vectors)
    leader = [
        next(i for i in range(row + 1) if (vectors[i] == vectors[row]).all()) for row in range(len(vectors))
    ]
    pairs: set[tuple[int, int]] = set()
    for right in range(len(vectors)):
        if not vectors[right].any():
            continue
        if leader[right] != right:
            pairs.add((leader[right], right))
            continue
        pairs |= {
            (left, right)
            for left in range(right)
            if leader[left] == left and vectors[left].any() and found[left, right] >= floor
        }
    return pairs


@given(st.integers(0, 40), st.integers(1, 9), st.integers(0, 1000), st.sampled_from([0.3, 0.7, 0.9, 0.99]))
def test_the_pairs_are_those_of_a_plain_loop(rows: int, width: int, seed: int, floor: float) -> None:
    vectors = clustered(rows, width, seed)
    exact = cosines(vectors)
    near = np.abs(exact - floor) < 1e-6  # rounding may decide there
    search = cosine_pairs(vectors, floor=floor)
    pairs = search.pairs
    found = set(zip(pairs.left.tolist(), pairs.right.tolist(), strict=True))
    assert all(near[pair] for pair in found ^ oracle(vectors, floor))
    assert search.embedded == int(vectors.any(axis=1).sum())
    assert (pairs.left < pairs.right).all()
    assert (np.diff(pairs.right.astype(np.int64) * rows + pairs.left) > 0).all()
    same = (vectors[pairs.left] == vectors[pairs.right]).all(axis=1)
    assert ((pairs.similarity == 1.0) == same).all()
    np.testing.assert_allclose(pairs.similarity, exact[pairs.left, pairs.right], atol=2e-7)
    assert pairs.floor == floor


def test_blocks_and_products_decide_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    vectors = clustered(300, 16, 3)
    whole = cosine_pairs(vectors, floor=0.8).pairs
    assert len(whole.left) > 300

    def rough(left: np.ndarray, right: np.ndarray) -> np.ndarray:
        return (left.astype(np.float64) @ right.T.astype(np.float64) + 3e-6).astype(np.float32)

    monkeypatch.setattr(cosine, "BLOCK", 37)
    for product in (None, rough):
        parts = cosine_pairs(vectors, floor=0.8, product=product).pairs
        for name in ("left", "right", "similarity"):
            np.testing.assert_array_equal(getattr(whole, name), getattr(parts, name))


@pytest.mark.parametrize("block", [64, 2048])
def test_too_many_pairs_raise_the_floor_and_the_list_says_so(
    monkeypatch: pytest.MonkeyPatch, block: int
) -> None:
    monkeypatch.setattr(cosine, "BLOCK", block)
    vectors = clustered(400, 8, 5)
    found = cosine_pairs(vectors, floor=0.3, max_pairs=500).pairs
    unequal = found.similarity < 1.0
    assert 0.3 < found.floor < 1.0
    assert 0 < unequal.sum() <= 500
    assert found.similarity.min() >= np.float32(found.floor)
    complete = cosine_pairs(vectors, floor=found.floor).pairs
    np.testing.assert_array_equal(found.left, complete.left)
    lower = cosine_pairs(vectors, floor=round(found.floor - 0.001, 3)).pairs
    assert (lower.similarity < 1.0).sum() > 500, "the floor is not raised further than it must"


def test_equal_rows_are_a_star_however_many_there_are() -> None:
    vectors = np.tile(np.array([[1, 2, 3]], dtype=np.float16), (5000, 1))
    search = cosine_pairs(vectors, floor=0.9, max_pairs=10)
    assert len(search.pairs.left) == 4999
    assert (first_equal(search.pairs, 5000) == 0).all()
    assert search.pairs.floor == 0.9


def test_parallel_rows_are_near_and_not_equal() -> None:
    vectors = np.array([[1, 2], [2, 4]], dtype=np.float16)
    [similarity] = cosine_pairs(vectors, floor=0.9).pairs.similarity
    assert similarity == np.nextafter(np.float32(1), np.float32(0))
