"""The surrogate against slow, independent computations."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import approx_fprime

from autosel_runtime.search import hyperparameters
from autosel_runtime.search.kernel import MEAN_DEVIATION, trend
from autosel_runtime.search.surrogate import Surrogate, condition, fit


def data(n: int, seed: int, noise: float = 0.1) -> tuple[list[np.ndarray], np.ndarray]:
    rng = np.random.default_rng(seed)
    state, recipe = rng.normal(size=(n, 3)), rng.normal(size=(n, 2))
    return [state, recipe], 0.5 + 0.05 * (
        np.sin(state[:, 0]) + 0.3 * recipe[:, 0] + noise * rng.normal(size=n)
    )


def matern(a: np.ndarray, b: np.ndarray, scale: np.ndarray) -> float:
    r = float(np.sqrt(np.sum(((a - b) / scale) ** 2)))
    return (1 + 5**0.5 * r + 5 * r**2 / 3) * float(np.exp(-(5**0.5) * r))


def slow_kernel(model: Surrogate, left: list[np.ndarray], right: list[np.ndarray]) -> np.ndarray:
    """Entry by entry, from the definition in the notation block."""
    theta, at = model.theta, 0
    scales = []
    for x in left:
        d = x.shape[1]
        scales.append(np.exp(theta[at] + theta[at + 1 : at + 1 + d]))
        at += d + 1
    K = np.full((len(left[0]), len(right[0])), MEAN_DEVIATION**2)
    for g, scale in enumerate(scales):
        for i, a in enumerate(left[g]):
            for j, b in enumerate(right[g]):
                K[i, j] += np.exp(theta[at + g]) ** 2 * matern(a, b, scale)
                if g == 0:
                    K[i, j] += np.exp(theta[-2]) ** 2 * float(a @ b) / len(a)
    return K


def slow_predict(
    model: Surrogate, groups: list[np.ndarray], y: np.ndarray, points: list[np.ndarray]
) -> tuple[np.ndarray, np.ndarray]:
    K = slow_kernel(model, groups, groups) + np.diag(
        np.exp(2 * model.theta[-1]) * model.relative[: len(y)] ** 2
    )
    cross = slow_kernel(model, points, groups)
    own = np.diag(slow_kernel(model, points, points))
    inverse = np.linalg.inv(K)
    return cross @ inverse @ y, np.sqrt(own - np.einsum("ij,jk,ik->i", cross, inverse, cross))


def test_prediction_equals_the_definition() -> None:
    groups, scores = data(9, 1)
    points, _ = data(5, 2)
    model = fit(groups, scores, np.full(9, 0.01), seed=3)
    assert model is not None
    mean, deviation = model.predict(points)
    slow_mean, slow_deviation = slow_predict(model, groups, (scores - scores.mean()) / scores.std(), points)
    assert np.allclose(mean, scores.mean() + scores.std() * slow_mean, atol=1e-6)
    assert np.allclose(deviation, scores.std() * slow_deviation, atol=1e-5)


@pytest.mark.parametrize("seed", range(4))
def test_gradient_equals_finite_differences(seed: int) -> None:
    groups, scores = data(8, seed)
    y = (scores - scores.mean()) / scores.std()
    centre, width = hyperparameters.prior(groups, 0.3, 0.5)
    rng = np.random.default_rng(seed)
    theta = centre + width * rng.normal(size=len(centre))
    squares = tuple((x[:, None, :] - x[None, :, :]) ** 2 for x in groups)
    arguments = (squares, trend(groups[0], groups[0]), y, rng.uniform(0.5, 2, 8), centre, width)
    _, gradient = hyperparameters.loss(theta, *arguments)
    numeric = approx_fprime(theta, lambda t: hyperparameters.loss(t, *arguments)[0], 1e-6)
    assert np.allclose(gradient, numeric, atol=1e-3)


def test_leave_one_out_equals_refitting_without_each_trial() -> None:
    groups, scores = data(10, 5)
    model = fit(groups, scores, np.full(10, np.nan), seed=0)
    assert model is not None
    y = model.targets
    errors = []
    for i in range(10):
        rest = [j for j in range(10) if j != i]
        part = condition(
            tuple(x[rest] for x in groups),
            model.theta,
            y[rest],
            model.relative[rest],
            centre=0.0,
            spread=1.0,
            trials=9,
            skill=0.0,
            informative=False,
        )
        errors.append((y[i] - part.predict([x[[i]] for x in groups])[0][0]) ** 2)
    base = [(y[i] - np.delete(y, i).mean()) ** 2 for i in range(10)]
    assert model.skill == pytest.approx(1 - sum(errors) / sum(base), abs=1e-6)


def test_it_learns_a_smooth_score_and_says_so() -> None:
    groups, scores = data(25, 7, noise=0.05)
    points, truth = data(40, 8, noise=0.0)
    model = fit(groups, scores, np.full(25, 0.0025), seed=0)
    assert model is not None
    assert model.informative
    assert np.corrcoef(model.predict(points)[0], truth)[0, 1] > 0.7


def test_pure_noise_has_no_skill_and_a_signal_has() -> None:
    def skills(signal: float) -> list[Surrogate]:
        models = []
        for seed in range(10):
            groups, scores = data(12, seed, noise=0.0)
            noise = 0.01 * np.random.default_rng(seed + 99).normal(size=12)
            model = fit(groups, 0.5 + signal * (scores - 0.5) + noise, np.full(12, 0.01), seed=0)
            assert model is not None
            models.append(model)
        return models

    nothing, something = skills(0.0), skills(2.0)
    assert np.mean([m.skill for m in nothing]) < 0.1
    assert sum(not m.informative for m in nothing) >= 3
    assert np.mean([m.skill for m in something]) > 0.3
    assert sum(m.informative for m in something) >= 8


def test_equal_scores_and_few_trials_are_uninformative() -> None:
    groups, scores = data(6, 0)
    flat = fit(groups, np.full(6, 0.4), np.full(6, 0.01), seed=0)
    assert flat is not None
    assert not flat.informative
    few = fit([g[:3] for g in groups], scores[:3], np.full(3, 0.01), seed=0)
    assert few is not None
    assert not few.informative
    assert fit([g[:1] for g in groups], scores[:1], np.full(1, 0.01), seed=0) is None


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 10_000))
def test_believing_keeps_the_mean_and_lowers_the_deviation(seed: int) -> None:
    groups, scores = data(7, seed)
    pending, _ = data(2, seed + 1)
    points, _ = data(6, seed + 2)
    model = fit(groups, scores, np.full(7, 0.01), seed=0)
    assert model is not None
    mean, deviation = model.predict(points)
    believed = model.believe(pending)
    mean_after, deviation_after = believed.predict(points)
    assert np.allclose(mean, mean_after, atol=1e-5)
    assert (deviation_after <= deviation + 1e-9).all()


def test_a_trial_with_a_larger_standard_error_pulls_less() -> None:
    groups, scores = data(8, 3)
    scores[0] += 0.2
    alike = fit(groups, scores, np.full(8, 0.01), seed=0)
    doubted = np.full(8, 0.01)
    doubted[0] = 0.05
    less = fit(groups, scores, doubted, seed=0)
    assert alike is not None
    assert less is not None
    at = [g[:1] for g in groups]
    assert less.predict(at)[0][0] < alike.predict(at)[0][0]
