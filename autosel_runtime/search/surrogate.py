"""A Gaussian process over realised state and recipe, with learned noise and an honest "I know nothing".

Notation (``kernel`` has the kernel k, ``hyperparameters`` how theta is found)
    n          evaluated trials; m predicted points
    y          [n] scores, standardised to mean 0 and deviation 1
    s_i        relative standard error of trial i, mean square 1 (1 where unknown)
    v          noise: deviation of a score of mean precision
    K          k + v^2 diag(s_i^2), factor its Cholesky factor, weights = K^-1 y
    mean       k(x, X) weights                          (Rasmussen and Williams, eq. 2.25)
    variance   k(x, x) - k(x, X) K^-1 k(X, x)           (eq. 2.26)

Leave-one-out residuals are closed form (Rasmussen and Williams, eq. 5.12).
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from autosel_runtime.search.hyperparameters import most_probable
from autosel_runtime.search.kernel import Matrix, kernel, prior_variance

MIN_TRIALS = 4
MISLEADING = -0.25  # leave-one-out skill below which predictions are worse than none
LEAST_NOISE = 0.02  # least centre of v, in deviations of the scores
UNKNOWN_NOISE = 0.4  # centre of v without standard errors
KNOWN_WIDTH, UNKNOWN_WIDTH = 0.35, 0.8  # deviation of log v with and without them
RELATIVE = (0.2, 5.0)  # a standard error counts as at least and at most this many times the typical one


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
        cross = kernel(groups, self.groups, self.theta)
        mean = cross @ self.weights
        solved = np.linalg.solve(self.factor, cross.T)
        variance = prior_variance(groups, self.theta) - np.sum(solved**2, axis=0)
        deviation = np.sqrt(np.maximum(variance, 1e-12))
        return self.centre + self.spread * mean, self.spread * deviation

    def believe(self, groups: Sequence[Matrix]) -> "Surrogate":
        """Return the process after pending points were observed at their own predicted mean (kriging believer).

        The mean stays as it is and the deviation shrinks around them, so that the next proposal goes elsewhere.
        """
        if not len(groups[0]):
            return self
        mean, _ = self.predict(groups)
        return condition(
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
    relative = np.clip(relative, *RELATIVE)
    reported = len(known) and not flat
    prior_noise = min(max(typical / spread, LEAST_NOISE), 1.0) if reported else UNKNOWN_NOISE
    arrays = tuple(np.asarray(x, dtype=np.float64) for x in groups)
    theta = most_probable(
        arrays, y, relative, prior_noise, KNOWN_WIDTH if len(known) else UNKNOWN_WIDTH, seed
    )
    fitted = condition(
        arrays, theta, y, relative, centre=centre, spread=spread, trials=n, skill=0.0, informative=False
    )
    skill = 0.0 if flat else _leave_one_out(fitted, y)
    return replace(fitted, skill=skill, informative=bool(n >= MIN_TRIALS and skill > 0.0))


def condition(
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
    """Return the process after ``y`` [n] was observed at ``groups``, with hyper-parameters ``theta``."""
    noise = float(np.exp(theta[-1]))
    K = kernel(groups, groups, theta) + np.diag(noise**2 * relative**2 + 1e-8)
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
        weights=weights,
        factor=factor,
    )


def _leave_one_out(model: Surrogate, y: Matrix) -> float:
    inverse_factor = np.linalg.solve(model.factor, np.eye(len(y)))
    residual = model.weights / np.sum(inverse_factor**2, axis=0)
    without = (y.sum() - y) / (len(y) - 1)
    return 1.0 - float(np.sum(residual**2) / np.sum((y - without) ** 2))
