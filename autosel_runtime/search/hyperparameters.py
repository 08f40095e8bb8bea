"""Hyper-parameters of the surrogate: the most probable ones given the scores and what is usual.

Notation (see ``kernel`` for the rest)
    n        trials;  y [n] standardised scores;  s [n] relative standard errors
    theta    hyper-parameters, see ``kernel``
    mu, w    centre and deviation of the normal prior of every entry of theta
    K        k + v^2 diag(s^2)
    loss     -log p(y | theta) - log p(theta) = y^T K^-1 y / 2 + log |K| / 2 + sum ((theta - mu) / w)^2 / 2

MAP, since with 3 to 15 trials the priors carry the fit: l_g is log-normal around the root mean square distance of its
group times e^SHIFT, the deltas are N(0, 0.5^2), log v is normal around the reported standard error. The gradient is
Rasmussen and Williams, eq. 5.9. The priors were chosen by the regret on synthetic landscapes apart from those that are
reported (benchmarks/RESULTS.md, Search; TREND from 0.5, 1 and 1.5, smaller AMPLITUDES were worse).
"""

from collections.abc import Sequence

import numpy as np

from autosel_runtime.search.kernel import MEAN_DEVIATION, ROOT5, Matrix, amplitudes_of, lengthscales, trend

MAX_FITTED = 200  # hyper-parameters are learned from at most this many trials; the posterior uses all
AMPLITUDES = (0.9, 0.4)  # centre of a_g: state, recipe
TREND = 1.0  # centre of b
SHIFT = 0.2  # log of the typical length-scale over the root mean square distance
LENGTH_WIDTH = 0.6  # deviation of log l_g
DELTA_WIDTH = 0.5  # of delta_gd
AMPLITUDE_WIDTH = 0.5  # of log a_g and of log b
RESTARTS = 3


def most_probable(
    groups: tuple[Matrix, ...], y: Matrix, relative: Matrix, prior_noise: float, noise_width: float, seed: int
) -> Matrix:
    """Return theta for ``groups`` and y; log v is N(log prior_noise, noise_width^2)."""
    from scipy.optimize import minimize  # scipy.optimize takes 0.3 s to import; callers may never fit

    if len(y) > MAX_FITTED:
        chosen = np.linspace(0, len(y) - 1, MAX_FITTED).astype(int)
        groups, y, relative = tuple(x[chosen] for x in groups), y[chosen], relative[chosen]
    centre, width = prior(groups, prior_noise, noise_width)
    squares = tuple((x[:, None, :] - x[None, :, :]) ** 2 for x in groups)
    line = trend(groups[0], groups[0])
    rng = np.random.default_rng(np.random.SeedSequence([seed, len(y), 7]))
    starts = [centre, *(centre + 0.7 * width * rng.standard_normal(len(centre)) for _ in range(RESTARTS))]
    bounds = [(float(c - 4 * w), float(c + 4 * w)) for c, w in zip(centre, width, strict=True)]
    best, least = centre, np.inf
    for start in starts:
        found = minimize(
            loss,
            start,
            args=(squares, line, y, relative, centre, width),
            jac=True,
            method="L-BFGS-B",
            bounds=bounds,
            options={"maxiter": 100},
        )
        if float(found.fun) < least - 1e-9:
            best, least = np.asarray(found.x, dtype=np.float64), float(found.fun)
    return best


def prior(groups: Sequence[Matrix], prior_noise: float, noise_width: float) -> tuple[Matrix, Matrix]:
    """Return centre and deviation of every hyper-parameter: log l and deltas by group, log a, log b, log v."""
    centre: list[float] = []
    width: list[float] = []
    for x in groups:
        squares = ((x[:, None, :] - x[None, :, :]) ** 2).sum(axis=2)
        n = len(x)
        typical = float(np.sqrt(squares.sum() / max(n * (n - 1), 1))) or 1.0
        centre += [float(np.log(typical)) + SHIFT, *([0.0] * x.shape[1])]
        width += [LENGTH_WIDTH, *([DELTA_WIDTH] * x.shape[1])]
    for amplitude in AMPLITUDES[: len(groups)]:
        centre.append(float(np.log(amplitude)))
        width.append(AMPLITUDE_WIDTH)
    centre.append(float(np.log(TREND)))
    width.append(AMPLITUDE_WIDTH)
    return np.array([*centre, float(np.log(prior_noise))]), np.array([*width, noise_width])


def loss(
    theta: Matrix,
    squares: tuple[Matrix, ...],
    line: Matrix,
    y: Matrix,
    relative: Matrix,
    centre: Matrix,
    width: Matrix,
) -> tuple[float, Matrix]:
    """Return the loss of theta and its gradient.

    ``squares`` [n, n, d_g] are (x_d - x'_d)^2 by group, ``line`` [n, n] is X_1 X_1^T / d_1.
    """
    shapes = [s.shape[2] for s in squares]
    n = len(y)
    scales, amplitudes = lengthscales(theta, shapes), amplitudes_of(theta, shapes)
    noise = np.exp(2 * theta[-1]) * relative**2
    total = np.full((n, n), MEAN_DEVIATION**2) + np.diag(noise + 1e-8)
    rising = np.exp(2 * theta[-2]) * line
    total += rising
    parts: list[Matrix] = []
    slopes: list[Matrix] = []
    for square, scale, amplitude in zip(squares, scales, amplitudes, strict=True):
        r = np.sqrt(square @ (scale**-2)) if len(scale) else np.zeros((n, n))
        decay = np.exp(-ROOT5 * r)
        part = amplitude**2 * (1 + ROOT5 * r + 5 * r**2 / 3) * decay
        parts.append(part)
        slopes.append(amplitude**2 * (5 / 3) * (1 + ROOT5 * r) * decay)
        total += part
    try:
        factor = np.linalg.cholesky(total)
    except np.linalg.LinAlgError:
        return 1e10, np.zeros_like(theta)
    inverse_factor = np.linalg.solve(factor, np.eye(n))
    inverse = inverse_factor.T @ inverse_factor
    alpha = inverse @ y
    pull = (theta - centre) / width
    value = 0.5 * float(y @ alpha) + float(np.log(np.diag(factor)).sum()) + 0.5 * float(pull @ pull)
    weight = 0.5 * (inverse - np.outer(alpha, alpha))  # d value / d K
    gradient = pull / width
    at = 0
    for square, scale, slope in zip(squares, scales, slopes, strict=True):
        by_scale = np.einsum("ij,ijd->d", weight * slope, square) / scale**2
        gradient[at] += by_scale.sum()
        gradient[at + 1 : at + 1 + len(scale)] += by_scale
        at += 1 + len(scale)
    for part in parts:
        gradient[at] += 2 * float(np.sum(weight * part))
        at += 1
    gradient[at] += 2 * float(np.sum(weight * rising))
    gradient[at + 1] += 2 * float(np.sum(np.diag(weight) * noise))
    return value, gradient
