"""Masks against Python sets."""

import hashlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from autosel_runtime.errors import DataError
from autosel_runtime.recipe import mask as masks


def rows_strategy(n):
    return st.sets(st.integers(0, n - 1)) if n else st.just(set())


@given(st.integers(0, 90).flatmap(lambda n: st.tuples(st.just(n), rows_strategy(n), rows_strategy(n))))
def test_algebra_is_that_of_sets(case):
    n, a, b = case
    pack = lambda rows: masks.from_rows(np.array(sorted(rows), dtype=np.int64), n)  # noqa: E731
    back = lambda mask: set(masks.rows_of(mask, n).tolist())  # noqa: E731
    x, y = pack(a), pack(b)
    for mask in (x, y, masks.full(n), masks.empty(n), masks.either(x, y)):
        masks.check(mask, n, "mask")
    assert back(x) == a
    assert back(masks.full(n)) == set(range(n))
    assert back(masks.empty(n)) == set()
    assert masks.count(x) == len(a)
    assert back(masks.both(x, y)) == a & b
    assert back(masks.either(x, y)) == a | b
    assert back(masks.without(x, y)) == a - b
    assert masks.is_subset(x, y) == (a <= b)
    assert masks.contains(x, np.arange(n)).tolist() == [row in a for row in range(n)]
    assert masks.to_bools(x, n).tolist() == [row in a for row in range(n)]


def test_bits_are_little_endian():
    assert masks.from_rows(np.array([0, 9]), 16).tolist() == [1, 2]


def test_check_names_what_is_wrong():
    with pytest.raises(DataError, match="past the last row"):
        masks.check(np.array([0xFF], dtype=np.uint8), 3, "this")
    with pytest.raises(DataError, match="this is no mask over 9 rows"):
        masks.check(np.array([1], dtype=np.uint8), 9, "this")


def test_subset_digest_is_over_sorted_ids_one_a_line():
    ids = ["c", "a", "b", "d"]
    expected = "sha256:" + hashlib.sha256(b"a\nb\nc\n").hexdigest()
    assert masks.subset_digest(ids, masks.from_rows(np.array([0, 1, 2]), 4)) == expected
    reordered = ["a", "d", "c", "b"]
    assert masks.subset_digest(reordered, masks.from_rows(np.array([0, 2, 3]), 4)) == expected


@given(st.lists(st.text("ab~1é", max_size=4), max_size=30, unique=True), st.randoms(use_true_random=False))
def test_the_digester_of_a_pool_gives_the_same_digests(ids, draw):
    digest = masks.subset_digester(ids)
    for _ in range(3):
        chosen = sorted(draw.sample(range(len(ids)), draw.randint(0, len(ids))))
        mask = masks.from_rows(np.array(chosen, dtype=np.int64), len(ids))
        assert digest(mask) == masks.subset_digest(ids, mask)
        text = "".join(f"{one}\n" for one in sorted(ids[row] for row in chosen))
        assert digest(mask) == "sha256:" + hashlib.sha256(text.encode()).hexdigest()


def test_read_only_copy_cannot_be_written():
    mask = masks.full(9)
    copy = masks.read_only(mask)
    with pytest.raises(ValueError):
        copy[0] = 0
    mask[0] = 0
    assert copy[0] == 0xFF
