"""A Gaussian process over realised state and recipe, with learned noise and an honest "I know nothing".

Notation
    n          evaluated trials; m predicted points
    X_g        [n, d_g] features of group g (state, recipe)
    y          [n] scores, standardised to mean 0 and deviation 1
    s_i        relative standard error of trial i, mean square 1 (1 where unknown)
    l_gd       length-scale of dimension d of group g: log l_gd = log l_g + delta_gd
    a_g        amplitude of group g
    b          amplitude of the linear trend in the state
    v          noise: deviation of a score of mean precision
    K          b^2 X_1 X_1^T / d_1 + sum_g a_g^2 M52(r_g) + c^2 + v^2 diag(s_i^2)
    r_g        distance in group g:  r_g^2 = sum_d (x_d - x'_d)^2 / l_gd^2
    M52(r)     (1 + sqrt5 r + 5 r^2 / 3) exp(-sqrt5 r)          Matern 5/2 (Rasmussen and Williams, eq. 4.17)
    c          deviation of the unknown mean, 0.5 (a constant term of the kernel)

Much of what a recipe changes is a trend: more data, less noise, closer to the target. With few trials a stationary
kernel alone falls back to the mean between them; the linear term carries the trend across (a linear mean with a normal
prior on its weights: Rasmussen and Williams, section 2.7), and the Matern terms model what departs from it.

Hyper-parameters theta = (log l_g, delta_g, log a_g, log b, log v) maximise log p(y | theta) + log p(theta) (MAP). With
3 to 15 trials the priors carry the fit: l_g is log-normal around the root mean square distance of its group, the
deltas are N(0, 0.5^2), log v is normal around the reported standard error. Leave-one-out residuals are closed form
(Rasmussen and Williams, eq. 5.12).
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

Matrix = NDArray[np.float64]

MEAN_DEVIATION = 0.5
MIN_TRIALS = 4
MISLEADING = -0.25  # leave-one-out skill below which predictions are worse than none
MAX_FITTED = 200  # hyper-parameters are learned from at most this many trials; the posterior uses all
_ROOT5 = float(np.sqrt(5.0))


@dataclass(frozen=True, kw_only=True)
class Surrogate:
    """A fitted process. ``skill`` is the leave-one-out skill: 1 - squared error / squared error of the mean;
    ``trials`` were evaluated; ``noise`` is in units of the score."""

    groups: tuple[Matrix, ...]
    theta: Matrix
    targets: Matrix
    relative: Matrix
    centre: float
    spread: float
    noise: float
    trials: int
    skill: float
    informative: bool
    lengthscales: tuple[float, ...]
    weights: Matrix
    factor: Matrix

    @property
    def trusted(self) -> bool:
        """Whether a ranker should follow the predictions.

        A surrogate without skill is still trusted: it then says little but noise and distance, which ranks by
        diversity anyway (measured: better than distance alone). One that is worse than the mean is not.
        """
        return self.trials >= MIN_TRIALS and self.skill > MISLEADING

    def predict(self, groups: Sequence[Matrix]) -> tuple[Matrix, Matrix]:
        """Return mean and deviation [m] of the noise-free score, in units of the score."""
        shapes = [x.shape[1] for x in self.groups]
        cross = _kernel(groups, self.groups, self.theta, shapes)
        mean = cross @ self.weights
        solved = np.linalg.solve(self.factor, cross.T)
        prior = float(np.sum(_amplitudes(self.theta, shapes) ** 2)) + MEAN_DEVIATION**2
        trend = np.exp(2 * self.theta[-2]) * np.mean(groups[0] ** 2, axis=1) if shapes[0] else 0.0
        variance = prior + trend - np.sum(solved**2, axis=0)
        deviation = np.sqrt(np.maximum(variance, 1e-12))
        return self.centre + self.spread * mean, self.spread * deviation

    def believe(self, groups: Sequence[Matrix]) -> "Surrogate":
        """Return the process after pending points were observed at their own predicted mean (kriging believer).

        The mean stays as it is and the deviation shrinks around them, so that the next proposal goes elsewhere.
        """
        if not len(groups[0]):
            return self
        mean, _ = self.predict(groups)
        return _condition(
            tuple(np.vstack([old, new]) for old, new in zip(self.groups, groups, strict=True)),
            self.theta,
            np.concatenate([self.targets, (mean - self.centre) / self.spread]),
            np.concatenate([self.relative, np.ones(len(mean))]),
            centre=self.centre,
            spread=self.spread,
            trials=self.trials,
            skill=self.skill,
            informative=self.informative,
        )


def fit(groups: Sequence[Matrix], scores: Matrix, stderr: Matrix, *, seed: int) -> Surrogate | None:
    """Fit the process to ``scores`` [n] with standard errors ``stderr`` [n] (NaN where unknown).

    Returns None below two trials. ``informative`` is False below four trials, for scores that do not vary, and
    when leaving trials out shows no skill over their mean.
    """
    n = len(scores)
    if n < 2:
        return None
    spread = float(scores.std())
    flat = spread <= 1e-12
    centre, spread = float(scores.mean()), 1.0 if flat else spread
    y = (scores - centre) / spread
    known = stderr[~np.isnan(stderr) & (stderr > 0)]
    typical = float(np.sqrt(np.mean(known**2))) if len(known) else float("nan")
    relative = (
        np.where(np.isnan(stderr) | (stderr <= 0), typical, stderr) / typical if len(known) else np.ones(n)
    )
    relative = np.clip(relative, 0.2, 5.0)
    prior_noise = min(max(typical / spread, 0.02), 1.0) if len(known) and not flat else 0.4
    arrays = tuple(np.asarray(x, dtype=np.float64) for x in groups)
    theta = _maximise(arrays, y, relative, prior_noise, 0.35 if len(known) else 0.8, seed)
    fitted = _condition(
        arrays, theta, y, relative, centre=centre, spread=spread, trials=n, skill=0.0, informative=False
    )
    skill = 0.0 if flat else _leave_one_out(fitted, y)
    return replace(fitted, skill=skill, informative=bool(n >= MIN_TRIALS and skill > 0.0))


def _condition(
    groups: tuple[Matrix, ...],
    theta: Matrix,
    y: Matrix,
    relative: Matrix,
    *,
    centre: float,
    spread: float,
    trials: int,
    skill: float,
    informative: bool,
) -> Surrogate:
    shapes = [x.shape[1] for x in groups]
    noise = float(np.exp(theta[-1]))
    K = _kernel(groups, groups, theta, shapes) + np.diag(noise**2 * relative**2 + 1e-8)
    factor: Matrix = np.linalg.cholesky(K).astype(np.float64)
    weights: Matrix = np.linalg.solve(factor.T, np.linalg.solve(factor, y)).astype(np.float64)
    return Surrogate(
        groups=groups,
        theta=theta,
        targets=y,
        relative=relative,
        centre=centre,
        spread=spread,
        noise=noise * spread,
        trials=trials,
        skill=skill,
        informative=informative,
        lengthscales=tuple(float(v) for scales in _lengthscales(theta, shapes) for v in scales),
        weights=weights,
        factor=factor,
    )


def _leave_one_out(model: Surrogate, y: Matrix) -> float:
    inverse_factor = np.linalg.solve(model.factor, np.eye(len(y)))
    residual = model.weights / np.sum(inverse_factor**2, axis=0)
    without = (y.sum() - y) / (len(y) - 1)
    return 1.0 - float(np.sum(residual**2) / np.sum((y - without) ** 2))


# --- hyper-parameters -------------------------------------------------------------------------------------


def _maximise(
    groups: tuple[Matrix, ...], y: Matrix, relative: Matrix, prior_noise: float, noise_width: float, seed: int
) -> Matrix:
    from scipy.optimize import minimize  # scipy.optimize takes 0.3 s to import; callers may never fit

    if len(y) > MAX_FITTED:
        chosen = np.linspace(0, len(y) - 1, MAX_FITTED).astype(int)
        groups, y, relative = tuple(x[chosen] for x in groups), y[chosen], relative[chosen]
    centre, width = _prior(groups, prior_noise, noise_width)
    squares = tuple((x[:, None, :] - x[None, :, :]) ** 2 for x in groups)
    trend = _trend(groups[0], groups[0])
    rng = np.random.default_rng(np.random.SeedSequence([seed, len(y), 7]))
    starts = [centre, *(centre + 0.7 * width * rng.standard_normal(len(centre)) for _ in range(3))]
    bounds = [(float(c - 4 * w), float(c + 4 * w)) for c, w in zip(centre, width, strict=True)]
    best, least = centre, np.inf
    for start in starts:
        found = minimize(
            _loss,
            start,
            args=(squares, trend, y, relative, centre, width),
            jac=True,
            method="L-BFGS-B",
            bounds=bounds,
            options={"maxiter": 100},
        )
        if float(found.fun) < least - 1e-9:
            best, least = np.asarray(found.x, dtype=np.float64), float(found.fun)
    return best


def _prior(groups: Sequence[Matrix], prior_noise: float, noise_width: float) -> tuple[Matrix, Matrix]:
    """Return centre and deviation of every hyper-parameter: log l and deltas by group, log a, log b, log v."""
    centre: list[float] = []
    width: list[float] = []
    for x in groups:
        squares = ((x[:, None, :] - x[None, :, :]) ** 2).sum(axis=2)
        n = len(x)
        typical = float(np.sqrt(squares.sum() / max(n * (n - 1), 1))) or 1.0
        centre += [float(np.log(typical)) + SHIFT, *([0.0] * x.shape[1])]
        width += [0.6, *([0.5] * x.shape[1])]
    for amplitude in AMPLITUDES[: len(groups)]:
        centre.append(float(np.log(amplitude)))
        width.append(0.5)
    centre.append(float(np.log(TREND)))
    width.append(0.5)
    return np.array([*centre, float(np.log(prior_noise))]), np.array([*width, noise_width])


AMPLITUDES = (0.9, 0.4)  # state, recipe
TREND = 1.0
SHIFT = 0.2  # log of the typical length-scale over the root mean square distance


def _loss(
    theta: Matrix,
    squares: tuple[Matrix, ...],
    trend: Matrix,
    y: Matrix,
    relative: Matrix,
    centre: Matrix,
    width: Matrix,
) -> tuple[float, Matrix]:
    """Return minus the log posterior of theta and its gradient."""
    shapes = [s.shape[2] for s in squares]
    n = len(y)
    scales, amplitudes = _lengthscales(theta, shapes), _amplitudes(theta, shapes)
    noise = np.exp(2 * theta[-1]) * relative**2
    total = np.full((n, n), MEAN_DEVIATION**2) + np.diag(noise + 1e-8)
    line = np.exp(2 * theta[-2]) * trend
    total += line
    parts: list[Matrix] = []
    slopes: list[Matrix] = []
    for square, scale, amplitude in zip(squares, scales, amplitudes, strict=True):
        r = np.sqrt(square @ (scale**-2)) if len(scale) else np.zeros((n, n))
        decay = np.exp(-_ROOT5 * r)
        part = amplitude**2 * (1 + _ROOT5 * r + 5 * r**2 / 3) * decay
        parts.append(part)
        slopes.append(amplitude**2 * (5 / 3) * (1 + _ROOT5 * r) * decay)
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
    gradient[at] += 2 * float(np.sum(weight * line))
    gradient[at + 1] += 2 * float(np.sum(np.diag(weight) * noise))
    return value, gradient


def _lengthscales(theta: Matrix, shapes: Sequence[int]) -> list[Matrix]:
    scales: list[Matrix] = []
    at = 0
    for width in shapes:
        scales.append(np.exp(theta[at] + theta[at + 1 : at + 1 + width]))
        at += 1 + width
    return scales


def _amplitudes(theta: Matrix, shapes: Sequence[int]) -> Matrix:
    at = sum(shapes) + len(shapes)
    return np.exp(theta[at : at + len(shapes)])


def _kernel(left: Sequence[Matrix], right: Sequence[Matrix], theta: Matrix, shapes: Sequence[int]) -> Matrix:
    total = MEAN_DEVIATION**2 + np.exp(2 * theta[-2]) * _trend(left[0], right[0])
    scales, amplitudes = _lengthscales(theta, shapes), _amplitudes(theta, shapes)
    for a, b, scale, amplitude in zip(left, right, scales, amplitudes, strict=True):
        one, two = a / scale, b / scale
        r = np.sqrt(np.maximum(((one[:, None, :] - two[None, :, :]) ** 2).sum(axis=2), 0.0))
        total += amplitude**2 * (1 + _ROOT5 * r + 5 * r**2 / 3) * np.exp(-_ROOT5 * r)
    return total


def _trend(left: Matrix, right: Matrix) -> Matrix:
    """Return X X'^T / d, which is 0 for a group without features."""
    return left @ right.T / max(left.shape[1], 1)
