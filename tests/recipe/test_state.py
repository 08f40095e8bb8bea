"""The state vector against its definitions."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autosel_runtime.recipe import mask as masks
from autosel_runtime.recipe.columns import Csr
from autosel_runtime.recipe.prepared import prepare
from autosel_runtime.recipe.state import pool_statistics, state_vector
from tests.array_columns import ArrayColumns
from tests.recipe import oracle
from tests.recipe.pools import pools, scalar, small_spans


@settings(deadline=None, max_examples=30)
@given(pools)
def test_state_vector_is_its_definition(pool):
    with small_spans():
        found = state_vector(pool.mask, pool.columns)
    expected = oracle.state(pool, pool.rows)
    assert set(found) == set(expected)
    for name, value in expected.items():
        assert found[name] == pytest.approx(value, rel=1e-6, abs=1e-7), name


@settings(deadline=None, max_examples=20)
@given(pools, st.sampled_from([2, 4]))
def test_threads_do_not_change_a_bit(pool, threads):
    with small_spans():
        one = state_vector(pool.mask, prepare(pool.columns, threads=1))
        many = state_vector(pool.mask, prepare(pool.columns, threads=threads))
    assert one == many


def test_the_whole_pool_is_the_origin():
    from tests.recipe.pools import make_pool

    pool = make_pool(11, 50)
    state = state_vector(masks.full(50), pool.columns)
    assert state["retain_ratio"] == state["token_ratio"] == 1.0
    assert state["mean_ifd"] == state["mean_varentropy"] == pytest.approx(1.0)
    assert state["mean_ifd_clipped"] == pytest.approx(0.5)
    assert state["distribution_drift"] == 0.0


def test_what_is_unknown_is_left_out():
    columns = ArrayColumns(
        rows=4,
        source_names=("a", "b"),
        source_codes=np.array([0, 0, 1, 1], dtype=np.uint16),
        scalars={
            "ifd": scalar([np.nan, np.nan, 1.0, 2.0]),
            "varentropy": scalar([0.0, 0.0, 0.0, 0.0]),
            "relevance.x": scalar([0.5, np.nan, 0.25, 0.25]),
        },
        feature_columns={
            "sae": Csr(
                indptr=np.array([0, 0, 0, 1, 2]),
                indices=np.array([0, 1], dtype=np.uint32),
                values=np.ones(2, dtype=np.float32),
                width=2,
            )
        },
    )
    half = state_vector(masks.from_rows(np.array([0, 1]), 4), columns)
    assert set(half) == {
        "retain_ratio",
        "score_mean",
        "score_std",
        "score_mean_max",
        "score.x",
        "source_share.a",
        "source_share.b",
        "source_entropy",
    }
    assert half["score_mean"] == 0.5
    assert half["source_entropy"] == 0.0
    other = state_vector(masks.from_rows(np.array([2]), 4), columns)
    assert other["mean_ifd"] == pytest.approx(2 / 3)
    assert other["distribution_drift"] == pytest.approx(math.sqrt((0.5**2 + 0.5**2) / 2))
    assert "distribution_drift" not in state_vector(masks.from_rows(np.array([2]), 4), columns, drift=False)


def test_even_rows_take_the_same_road_to_the_same_drift():
    rng = np.random.default_rng(0)
    n, width, d = 200, 5, 40
    rows = np.stack([rng.choice(d, width, replace=False) for _ in range(n)]).astype(np.uint32)

    def columns(extra):
        lengths = np.full(n + extra, width)
        lengths[n:] = 0
        return ArrayColumns(
            rows=n + extra,
            source_names=("a",),
            source_codes=np.zeros(n + extra, dtype=np.uint16),
            feature_columns={
                "sae": Csr(
                    indptr=np.concatenate([[0], np.cumsum(lengths)]),
                    indices=rows.ravel(),
                    values=np.ones(n * width, dtype=np.float32),
                    width=d,
                )
            },
        )

    even, ragged = columns(0), columns(1)
    assert pool_statistics(even).width == width
    assert pool_statistics(ragged).width == 0
    for size in (1, 30, 150, 199):
        chosen = rng.choice(n, size, replace=False)
        a = state_vector(masks.from_rows(chosen, n), even)["distribution_drift"]
        b = state_vector(masks.from_rows(chosen, n + 1), ragged)["distribution_drift"]
        assert a == pytest.approx(b)


def test_constants_of_the_pool_are_computed_once():
    from tests.recipe.pools import make_pool

    prepared = prepare(make_pool(2, 20).columns)
    assert pool_statistics(prepared) is pool_statistics(prepared)
