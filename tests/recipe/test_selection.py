"""Selection by counting against sorting."""

from collections import Counter
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autosel_runtime.recipe import mask as masks
from autosel_runtime.recipe.selection import (
    apportion,
    exact_share,
    keep_random,
    keep_ranked,
    keep_scored,
    keep_smallest,
    row_hash,
)
from tests.recipe.oracle import best_first, ceil_share, draw
from tests.recipe.pools import directions, scalar, small_spans

RNG = np.random.default_rng

# Rows of a sample: few of the pool, or none since the pool is small. A bracket of hardly any width misses at first.
samples = st.sampled_from([5, 20, 1 << 14])
deviations = st.sampled_from([0.01, 0.5, 5.0])


@pytest.mark.parametrize(
    ("fraction", "m", "kept"),
    [(0.07, 100, 7), (0.29, 100, 29), (0.1, 30, 3), (1.0, 7, 7), (0.5, 3, 2), (1e-9, 5, 1), (0.3, 0, 0)],
)
def test_exact_share(fraction, m, kept):
    assert exact_share(fraction, m) == kept


@given(st.floats(1e-6, 1.0), st.integers(0, 10**9))
def test_exact_share_is_decimal_ceil(fraction, m):
    assert exact_share(fraction, m) == ceil_share(fraction, m)


@settings(deadline=None, max_examples=30)
@given(
    st.integers(0, 2**32),
    st.integers(1, 200),
    st.integers(0, 220),
    directions,
    st.sampled_from([1, 3]),
    st.sampled_from([2, 40, 10**6]),
    samples,
    deviations,
)
def test_keep_ranked_is_the_head_of_a_stable_sort(seed, n, k, direction, threads, levels, sample, deviations):
    rng = RNG(seed)
    column = scalar(rng.integers(0, levels, n) - levels // 2)
    rows = np.flatnonzero(rng.random(n) < 0.7)
    mask = masks.from_rows(rows, n)
    with small_spans(sample=sample, deviations=deviations):
        kept, cut = keep_ranked(mask, column, k, direction, threads=threads)
    expected = best_first(rows.tolist(), column.values.tolist(), direction)[:k]
    assert masks.rows_of(kept, n).tolist() == sorted(expected)
    assert cut == (column.values[expected[-1]] if 0 < k < len(rows) else None)


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 2**32), st.integers(1, 200), st.integers(1, 220), directions, samples, deviations)
def test_keep_scored_is_the_head_of_a_stable_sort(seed, n, k, direction, sample, deviations):
    rng = RNG(seed)
    values = rng.choice(np.array([-np.inf, -2.5, -0.0, 0.0, 1e-40, 1.0, 7.0], dtype=np.float32), n)
    rows = np.flatnonzero(rng.random(n) < 0.7)
    with small_spans(sample=sample, deviations=deviations):
        kept = keep_scored(masks.from_rows(rows, n), n, k, lambda r: values[r], direction)
    assert masks.rows_of(kept, n).tolist() == sorted(
        best_first(rows.tolist(), values.tolist(), direction)[:k]
    )


@settings(deadline=None, max_examples=20)
@given(
    st.integers(0, 2**31),
    st.integers(1, 300),
    st.integers(0, 320),
    st.sampled_from([0.3, 0.6, 1.0]),
    st.sampled_from([1, 2, 4]),
    samples,
    deviations,
)
def test_keep_random_is_the_head_of_the_hashes(seed, n, k, share, threads, sample, deviations):
    rows = np.flatnonzero(RNG(seed).random(n) < share)
    with small_spans(sample=sample, deviations=deviations):
        kept = keep_random(masks.from_rows(rows, n), n, k, seed, threads=threads)
    assert masks.rows_of(kept, n).tolist() == draw(rows.tolist(), k, seed)


def test_random_draws_are_even():
    n, times = 40, Counter()
    for seed in range(400):
        times.update(masks.rows_of(keep_random(masks.full(n), n, 10, seed), n).tolist())
    counts = np.array([times[row] for row in range(n)])
    # 400 draws of a quarter: 100 expected for each row, standard deviation 8.7.
    assert counts.sum() == 4000
    assert np.all(np.abs(counts - 100) < 45)
    assert np.std(counts) < 15


def test_row_hash_is_splitmix64_and_distinct():
    def reference(seed, row):
        limit = (1 << 64) - 1

        def step(z):
            z = ((z ^ z >> 30) * 0xBF58476D1CE4E5B9) & limit
            z = ((z ^ z >> 27) * 0x94D049BB133111EB) & limit
            return z ^ z >> 31

        start = step((seed * 0x9E3779B97F4A7C15 + 0xD1B54A32D192ED03) & limit)
        return step((start + (row + 1) * 0x9E3779B97F4A7C15) & limit)

    rows = np.arange(5000)
    hashes = row_hash(12, rows)
    assert hashes[:50].tolist() == [reference(12, row) for row in range(50)]
    assert len(set(hashes.tolist())) == 5000
    assert not np.array_equal(hashes, row_hash(13, rows))


@given(
    st.lists(st.tuples(st.integers(0, 5), st.integers(0, 30)), min_size=1, max_size=6), st.integers(0, 100)
)
def test_apportion_fills_what_it_can(groups, total):
    weights, capacities = [w for w, _ in groups], [c for _, c in groups]
    shares = apportion(weights, capacities, total)
    assert sum(shares) == min(total, sum(c for w, c in groups if w))
    assert all(0 <= share <= (c if w else 0) for share, (w, c) in zip(shares, groups, strict=True))
    # Among groups that are not full, shares follow the weights to within one row of each round.
    free = [i for i, (w, c) in enumerate(groups) if w and shares[i] < c]
    for i in free:
        for j in free:
            gap = Fraction(shares[i], weights[i]) - Fraction(shares[j], weights[j])
            assert abs(gap) <= len(groups) * (Fraction(1, weights[i]) + Fraction(1, weights[j]))


def test_apportion_without_full_groups_is_largest_remainder():
    assert apportion([2, 1, 1], [100] * 3, 10) == [5, 3, 2]
    assert apportion([1, 1, 1], [1, 100, 100], 10) == [1, 5, 4]
    assert apportion([900, 90, 10], [900, 90, 10], 300) == [270, 27, 3]


def test_keep_smallest_reports_the_last_row():
    keys = np.array([5, 1, 9, 3, 7], dtype=np.uint64)
    kept, last = keep_smallest(masks.full(5), 5, 3, lambda rows: keys[rows])
    assert (masks.rows_of(kept, 5).tolist(), last) == ([0, 1, 3], 0)


@pytest.mark.parametrize("order", ["rising", "falling", "random", "two heaps"])
def test_one_pass_is_enough_whatever_the_order_of_the_pool(order):
    n = 3_000_000
    keys = np.arange(n, dtype=np.uint32)
    if order == "falling":
        keys = keys[::-1].copy()
    elif order == "random":
        keys = RNG(1).permutation(keys)
    elif order == "two heaps":
        keys = np.concatenate([keys[1::2], keys[::2]])
    mask = masks.from_bools(RNG(2).random(n) < 0.3)
    passes = []

    def counted(rows):
        if isinstance(rows, slice):
            passes.append(rows.start)
        return keys[rows]

    rows = masks.rows_of(mask, n)
    for k in (1, 1000, len(rows) // 2, len(rows) - 1):
        passes.clear()
        kept, last = keep_smallest(mask, n, k, counted, dense=0.0)
        expected = rows[np.argsort(keys[rows], kind="stable")[:k]]
        assert masks.rows_of(kept, n).tolist() == sorted(expected.tolist())
        assert last == expected[-1]
        assert len(passes) == len(set(passes))
