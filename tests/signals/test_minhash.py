"""Signatures against exact Jaccard and datasketch; pairs against brute force."""

import numpy as np
import pytest
from datasketch import MinHash
from hypothesis import given, settings
from hypothesis import strategies as st

from autosel_runtime.signals.minhash import shingles, signatures, without_words
from autosel_runtime.signals.pairs import choose_bands, similar_pairs
from autosel_runtime.signals.text import hash_words, words_of


def shingle_set(text: str, ngram: int) -> set[tuple[bytes, ...]]:
    words = words_of(text)
    if len(words) < ngram:
        return {tuple(words)} if words else set()
    return {tuple(words[i : i + ngram]) for i in range(len(words) - ngram + 1)}


def jaccard(a: set, b: set) -> float:
    return len(a & b) / len(a | b) if a | b else 0.0


@settings(deadline=None)
@given(st.lists(st.text(alphabet="ab ", max_size=30), max_size=8), st.integers(1, 6))
def test_shingles_are_equal_exactly_for_equal_word_runs(texts, ngram):
    found = shingles(hash_words(texts), ngram)
    names: dict[tuple[bytes, ...], int] = {}
    for row, text in enumerate(texts):
        own = found.hashes[found.offsets[row] : found.offsets[row + 1]].tolist()
        words = words_of(text)
        runs = [tuple(words[i : i + ngram]) for i in range(max(len(words) - ngram + 1, min(len(words), 1)))]
        assert len(own) == len(runs)
        for run, value in zip(runs, own, strict=True):
            assert names.setdefault(run, value) == value
    assert len(set(names.values())) == len(names)


def mutated(rng, words: list[str], share: float) -> list[str]:
    return [f"x{rng.integers(10**6)}" if rng.random() < share else word for word in words]


@pytest.fixture(scope="module")
def near_texts() -> list[str]:
    rng = np.random.default_rng(7)
    texts = []
    for _ in range(30):
        words = [f"w{rng.integers(10**6)}" for _ in range(80)]
        texts += [" ".join(mutated(rng, words, share)) for share in (0.0, 0.01, 0.03, 0.08)]
    return texts


def test_estimates_agree_with_exact_jaccard_as_well_as_datasketch_does(near_texts):
    rows = signatures(hash_words(near_texts), ngram=5, permutations=128)
    ours, theirs = [], []
    for a in range(0, len(near_texts), 4):
        for b in range(a + 1, a + 4):
            sets = [shingle_set(near_texts[i], 5) for i in (a, b)]
            exact = jaccard(*sets)
            sketches = [MinHash(num_perm=128, seed=1) for _ in sets]
            for sketch, members in zip(sketches, sets, strict=True):
                sketch.update_batch([b" ".join(member) for member in members])
            ours.append((rows[a] == rows[b]).mean() - exact)
            theirs.append(sketches[0].jaccard(sketches[1]) - exact)
    # Standard error of one estimate is at most 0.044; of 90 of them, 5 deviations is 0.023.
    assert abs(np.mean(ours)) < 0.023
    assert np.std(ours) < 1.4 * np.std(theirs)


def test_signatures_do_not_depend_on_the_batch():
    texts = ["a b c d e f g", "", "x", "a b c d e f g h i j"]
    together = signatures(hash_words(texts), ngram=3, permutations=32)
    alone = np.concatenate([signatures(hash_words([text]), ngram=3, permutations=32) for text in texts])
    np.testing.assert_array_equal(together, alone)
    assert without_words(together).tolist() == [False, True, False, False]


def test_bands_have_the_recall_they_promise():
    assert (choose_bands(0.5, 128).rows, choose_bands(0.5, 128).count) == (3, 42)
    assert choose_bands(0.5, 128).recall == pytest.approx(1 - (1 - 0.125) ** 42)
    assert (choose_bands(0.9, 128).rows, choose_bands(0.9, 128).count) == (10, 12)
    few = choose_bands(0.1, 16)
    assert (few.rows, few.count) == (1, 16)
    assert few.recall == pytest.approx(1 - 0.9**16)


def brute_pairs(rows: np.ndarray, floor: float) -> set[tuple[int, int, float]]:
    """All pairs of first rows at or above the floor, and the star of each set of equal rows."""
    n, found = len(rows), set()
    empty = without_words(rows)
    first = [next(j for j in range(i + 1) if (rows[j] == rows[i]).all()) for i in range(n)]
    for j in range(n):
        if empty[j]:
            continue
        if first[j] != j:
            found.add((first[j], j, 1.0))
            continue
        for i in range(j):
            share = float((rows[i] == rows[j]).mean())
            if first[i] == i and not empty[i] and share >= floor:
                found.add((i, j, share))
    return found


def as_set(pairs) -> set[tuple[int, int, float]]:
    return set(zip(pairs.left.tolist(), pairs.right.tolist(), pairs.similarity.tolist(), strict=True))


def test_pairs_are_those_of_brute_force(near_texts):
    texts = [*near_texts, "", "", near_texts[0], near_texts[0], near_texts[5]]
    rows = signatures(hash_words(texts), ngram=5, permutations=128)
    search = similar_pairs(rows, floor=0.5)
    expected = brute_pairs(rows, 0.5)
    found = as_set(search.pairs)
    assert found <= expected
    assert len(found) >= 0.99 * len(expected)
    assert {pair for pair in expected if pair[2] >= 0.7} <= found
    assert len(found) == len(search.pairs.left)
    assert search.pairs.floor == 0.5
    assert (search.pairs.left.dtype, search.pairs.similarity.dtype) == (np.uint32, np.float32)
    order = np.lexsort((search.pairs.left, search.pairs.right))
    np.testing.assert_array_equal(order, np.arange(len(order)))


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 2**32 - 1), st.sampled_from([0.25, 0.5, 0.75]))
def test_pairs_of_small_alphabets_are_exact_where_single_positions_are_bands(seed, floor):
    # With few values per position every pair shares positions, so bands of one position miss nothing.
    rng = np.random.default_rng(seed)
    rows = rng.integers(0, 3, size=(30, 16), dtype=np.uint32)
    search = similar_pairs(rows, floor=floor)
    expected = brute_pairs(rows, floor)
    found = as_set(search.pairs)
    assert found <= expected
    if search.bands.rows == 1:
        assert found == expected


def test_a_cluster_of_equal_rows_makes_a_star_not_all_pairs():
    rows = np.tile(np.arange(32, dtype=np.uint32), (5000, 1))
    search = similar_pairs(rows, floor=0.5)
    assert search.candidates == 0
    assert search.pairs.left.tolist() == [0] * 4999
    assert search.pairs.right.tolist() == list(range(1, 5000))


def near_cluster() -> np.ndarray:
    rng = np.random.default_rng(3)
    rows = np.tile(np.arange(64, dtype=np.uint32), (200, 1))
    for row in rows:
        chosen = rng.choice(64, rng.integers(1, 30), replace=False)
        row[chosen] = rng.integers(1000, 2**31, len(chosen), dtype=np.uint32)
    return rows


def test_too_many_pairs_raise_the_floor_and_keep_the_most_similar():
    rows = near_cluster()
    every = similar_pairs(rows, floor=0.5).pairs
    few = similar_pairs(rows, floor=0.5, max_pairs=500).pairs
    assert every.floor == 0.5
    assert few.floor > 0.5
    assert 0 < len(few.left) <= 500
    assert as_set(few) == {pair for pair in as_set(every) if pair[2] >= few.floor}


def test_too_many_candidates_raise_the_floor():
    rows = near_cluster()
    search = similar_pairs(rows, floor=0.5, max_candidates=60_000)
    assert 0.5 < search.pairs.floor <= 0.95
    assert search.candidates <= 60_000
    assert as_set(search.pairs) <= brute_pairs(rows, search.pairs.floor)


def test_no_rows_with_words_make_no_pairs():
    search = similar_pairs(np.full((3, 16), 2**32 - 1, dtype=np.uint32), floor=0.5)
    assert len(search.pairs.left) == 0
