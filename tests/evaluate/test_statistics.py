"""Means, errors and intervals against scipy and simulation."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autosel_runtime.errors import DataError
from autosel_runtime.evaluate.statistics import (
    LARGE,
    Estimate,
    mean_interval,
    objective,
    paired_difference,
    task_mean,
    wilson,
)

stats = pytest.importorskip("scipy.stats")
scores = st.lists(st.floats(0, 1), min_size=2, max_size=40)


def scored(values: list[float]) -> dict[str, float]:
    return {f"i{k}": float(value) for k, value in enumerate(values)}


@given(values=scores)
def test_mean_and_error_agree_with_scipy(values: list[float]) -> None:
    estimate = task_mean(values)
    assert estimate.mean == pytest.approx(np.mean(values))
    assert estimate.stderr == pytest.approx(stats.sem(values), abs=1e-12)


@given(n=st.integers(1, 500), share=st.floats(0, 1), level=st.sampled_from([0.8, 0.95, 0.99]))
def test_wilson_agrees_with_scipy(n: int, share: float, level: float) -> None:
    k = round(share * n)
    expected = stats.binomtest(k, n).proportion_ci(level, method="wilson")
    assert wilson(k, n, level) == pytest.approx((expected.low, expected.high), abs=1e-9)


def test_objective_weighs_means_and_errors() -> None:
    tasks = {"a": Estimate(mean=0.2, stderr=0.1, n=5), "b": Estimate(mean=0.8, stderr=0.2, n=9)}
    total = objective(tasks, {"a": 3.0})
    assert total.mean == pytest.approx(0.35)
    assert total.n == 14
    assert total.stderr == pytest.approx(np.hypot(0.75 * 0.1, 0.25 * 0.2))


@given(first=scores, seed=st.integers(0, 99))
@settings(max_examples=30, deadline=None)
def test_pairing_is_antisymmetric_and_reproducible(first: list[float], seed: int) -> None:
    a = {"t": scored(first)}
    b = {"t": scored(list(np.random.default_rng(seed).permutation(first)))}
    one = paired_difference(a, b, {}, 0.9, seed=seed, resamples=500)
    assert one == paired_difference(a, b, {}, 0.9, seed=seed, resamples=500)
    assert one.mean == pytest.approx(
        -paired_difference(b, a, {}, 0.9, seed=seed, resamples=500).mean, abs=1e-12
    )
    assert one.low is not None
    assert one.high is not None
    assert one.low <= one.high


def test_the_normal_interval_is_scipys() -> None:
    generator = np.random.default_rng(0)
    a, b = generator.random(LARGE), generator.random(LARGE)
    found = paired_difference({"t": scored(list(a))}, {"t": scored(list(b))}, {}, 0.95)
    expected = stats.norm.interval(0.95, loc=(a - b).mean(), scale=stats.sem(a - b))
    assert (found.low, found.high) == pytest.approx(expected)


def test_the_posterior_interval_agrees_with_a_beta_for_one_proportion() -> None:
    """Ten wins, no loss, no tie: better - worse has the marginal posteriors of the Dirichlet."""
    a, b = {"t": scored([1.0] * 10)}, {"t": scored([0.0] * 10)}
    found = paired_difference(a, b, {}, 0.9, resamples=40_000)
    draws = stats.dirichlet([0.5, 0.5, 10.5]).rvs(40_000, random_state=1) @ [-1, 0, 1]
    assert (found.low, found.high) == pytest.approx(tuple(np.quantile(draws, [0.05, 0.95])), abs=0.02)
    assert found.mean == 1.0
    assert found.low < 0.9


def test_small_samples_keep_their_promise() -> None:
    """Coverage of the 90 % interval for 40 paired items, true difference 0.1, 300 repetitions."""
    generator = np.random.default_rng(5)
    inside = 0
    for _ in range(300):
        kinds = generator.choice([1.0, 0.0, -1.0], size=40, p=[0.25, 0.6, 0.15])
        a, b = {"t": scored(list((kinds > 0) * 1.0))}, {"t": scored(list((kinds < 0) * 1.0))}
        found = paired_difference(a, b, {}, 0.9, resamples=400)
        inside += found.low <= 0.1 <= found.high
    assert 0.85 <= inside / 300 <= 0.95


def test_the_bootstrap_of_graded_scores_agrees_with_scipy() -> None:
    generator = np.random.default_rng(3)
    a, b = generator.random(60), generator.random(60)
    found = paired_difference({"t": scored(list(a))}, {"t": scored(list(b))}, {}, 0.95)
    expected = stats.bootstrap((a - b,), np.mean, confidence_level=0.95, method="percentile", random_state=1)
    assert (found.low, found.high) == pytest.approx(tuple(expected.confidence_interval), abs=0.02)


def test_one_task_does_not_move_anothers_draws() -> None:
    a, b = scored([1, 0, 1, 1, 0.5]), scored([0, 0, 1, 0, 0.5])
    alone = paired_difference({"t": a}, {"t": b}, {}, 0.9)
    beside = paired_difference({"t": a, "u": b}, {"t": b, "u": b}, {"u": 1e-12}, 0.9)
    assert (alone.low, alone.high) == pytest.approx((beside.low, beside.high), abs=1e-6)


def test_the_interval_of_a_mean_holds_it_and_stays_in_bounds() -> None:
    for items in (
        {"t": scored([1, 1, 1])},
        {"t": scored([0.0]), "u": scored([1, 0, 1])},
        {"t": scored([0.2, 0.4])},
    ):
        found = mean_interval(items, {}, 0.95)
        assert found.low is not None
        assert found.high is not None
        assert 0.0 <= found.low <= found.mean <= found.high <= 1.0


def test_unequal_items_are_refused() -> None:
    with pytest.raises(DataError, match="2 items were scored for one"):
        paired_difference({"t": {"a": 1.0, "b": 0.0}}, {"t": {"a": 1.0, "c": 0.0}}, {}, 0.9)
    with pytest.raises(DataError, match="same tasks: u"):
        paired_difference({"t": {"a": 1.0}}, {"t": {"a": 1.0}, "u": {}}, {}, 0.9)
    with pytest.raises(DataError, match="no scores"):
        task_mean([])
