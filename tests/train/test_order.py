"""The order of samples: exact sizes, even use, and independence of devices and micro-batches."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autosel_runtime.errors import ConfigError
from autosel_runtime.train.order import BatchPlan, draw, largest_divisor, plan_batches, sample_order


def ordered(lengths, sizes, *, seed):
    return sample_order(draw(len(lengths), sizes, seed=seed), lengths, sizes)


def plan(n: int, **changes: object) -> BatchPlan:
    settings: dict = {"epochs": 3.0, "max_steps": None, "global_batch": 8, "micro_batch": 4, "devices": 1}
    return plan_batches(samples=n, **{**settings, **changes})


@given(n=st.integers(1, 60), epochs=st.floats(0.1, 5), batch=st.integers(1, 24), seed=st.integers(0, 9))
@settings(max_examples=80, deadline=None)
def test_every_step_is_full_and_every_sample_is_used_evenly(
    n: int, epochs: float, batch: int, seed: int
) -> None:
    sizes = plan(n, epochs=epochs, global_batch=batch)
    order = ordered(np.arange(n) % 7 + 1, sizes, seed=seed)
    assert len(order) == sizes.steps * batch
    assert sizes.steps == 1 or (sizes.steps - 1) * batch < epochs * n + 1e-6
    counts = np.bincount(order, minlength=n)
    assert counts.max() - counts.min() <= 1


@given(
    n=st.integers(5, 60), devices=st.sampled_from([1, 2, 4]), micro=st.integers(1, 8), seed=st.integers(0, 9)
)
@settings(max_examples=60, deadline=None)
def test_devices_and_micro_batches_do_not_change_a_step(n: int, devices: int, micro: int, seed: int) -> None:
    lengths = np.random.default_rng(n).integers(1, 100, n)
    one = ordered(lengths, plan(n), seed=seed).reshape(-1, 8)
    many = ordered(lengths, plan(n, devices=devices, micro_batch=micro), seed=seed).reshape(-1, 8)
    assert (one == many).all()
    assert (np.diff(lengths[one], axis=1) <= 0).all()


def test_the_seed_decides() -> None:
    lengths = np.ones(50, dtype=np.int64)
    assert (ordered(lengths, plan(50), seed=1) == ordered(lengths, plan(50), seed=1)).all()
    assert (ordered(lengths, plan(50), seed=1) != ordered(lengths, plan(50), seed=2)).any()


def test_max_steps_replaces_epochs() -> None:
    assert plan(1000, max_steps=7).steps == 7


def test_sizes_multiply_to_the_global_batch() -> None:
    for devices in (1, 2, 4):
        for micro in (1, 3, 5, 64):
            sizes = plan(100, global_batch=24, devices=devices, micro_batch=micro)
            assert sizes.devices * sizes.micro_batch * sizes.accumulation == 24
            assert sizes.micro_batch <= micro


def test_a_batch_that_cannot_be_shared_says_what_can() -> None:
    with pytest.raises(ConfigError, match="multiples of 3, such as 6 or 9"):
        plan(100, devices=3)
    with pytest.raises(ConfigError, match="such as 16"):
        plan(100, devices=16)


@given(number=st.integers(1, 200), limit=st.integers(1, 200))
def test_largest_divisor(number: int, limit: int) -> None:
    assert largest_divisor(number, limit) == max(d for d in range(1, limit + 1) if number % d == 0)


def test_tokenising_only_what_is_drawn_changes_nothing():
    """A run over a few of many samples sees them in the order in which it would see all of them tokenised."""
    lengths = np.random.default_rng(0).integers(1, 50, 200)
    sizes = plan(200, max_steps=3)
    drawn = draw(200, sizes, seed=4)
    rows, places = np.unique(drawn, return_inverse=True)
    few = sample_order(places.reshape(-1), lengths[rows], sizes)
    assert (rows[few] == sample_order(drawn, lengths, sizes)).all()
