"""The kernel of the surrogate: a linear trend in the state and a Matern term for each group of features.

Notation
    n, m       rows of two sets of points
    X_g        [n, d_g] features of group g (state, recipe)
    theta      hyper-parameters, in this order: log l_g and delta_gd of each group, log a_g of each group, log b, log v
    l_gd       length-scale of dimension d of group g: log l_gd = log l_g + delta_gd
    a_g        amplitude of group g
    b          amplitude of the linear trend in the state
    v          noise: deviation of a score of mean precision; not in the kernel of noise-free scores
    k          [n, m]  b^2 X_1 X'_1^T / d_1 + sum_g a_g^2 M52(r_g) + c^2
    r_g        [n, m] distance in group g:  r_g^2 = sum_d (x_d - x'_d)^2 / l_gd^2
    M52(r)     (1 + sqrt5 r + 5 r^2 / 3) exp(-sqrt5 r)          Matern 5/2 (Rasmussen and Williams, eq. 4.17)
    c          deviation of the unknown mean, 0.5 (a constant term of the kernel)

Much of what a recipe changes is a trend: more data, less noise, closer to the target. With few trials a stationary
kernel alone falls back to the mean between them; the linear term carries the trend across (a linear mean with a normal
prior on its weights: Rasmussen and Williams, section 2.7), and the Matern terms model what departs from it.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Matrix = NDArray[np.float64]

MEAN_DEVIATION = 0.5
ROOT5 = float(np.sqrt(5.0))


def kernel(left: Sequence[Matrix], right: Sequence[Matrix], theta: Matrix) -> Matrix:
    """Return k [n, m]."""
    shapes = [x.shape[1] for x in left]
    total = MEAN_DEVIATION**2 + np.exp(2 * theta[-2]) * trend(left[0], right[0])
    scales, amplitudes = lengthscales(theta, shapes), amplitudes_of(theta, shapes)
    for a, b, scale, amplitude in zip(left, right, scales, amplitudes, strict=True):
        one, two = a / scale, b / scale
        r = np.sqrt(np.maximum(((one[:, None, :] - two[None, :, :]) ** 2).sum(axis=2), 0.0))
        total += amplitude**2 * (1 + ROOT5 * r + 5 * r**2 / 3) * np.exp(-ROOT5 * r)
    return total


def trend(left: Matrix, right: Matrix) -> Matrix:
    """Return X X'^T / d, which is 0 for a group without features."""
    return left @ right.T / max(left.shape[1], 1)


def lengthscales(theta: Matrix, shapes: Sequence[int]) -> list[Matrix]:
    """Return l_g [d_g] of every group; ``shapes`` are the d_g."""
    scales: list[Matrix] = []
    at = 0
    for width in shapes:
        scales.append(np.exp(theta[at] + theta[at + 1 : at + 1 + width]))
        at += 1 + width
    return scales


def amplitudes_of(theta: Matrix, shapes: Sequence[int]) -> Matrix:
    """Return the a_g."""
    at = sum(shapes) + len(shapes)
    return np.exp(theta[at : at + len(shapes)])


def prior_variance(points: Sequence[Matrix], theta: Matrix) -> Matrix:
    """Return the diagonal of ``kernel(points, points)`` [m]."""
    shapes = [x.shape[1] for x in points]
    still = float(np.sum(amplitudes_of(theta, shapes) ** 2)) + MEAN_DEVIATION**2
    rising = np.mean(points[0] ** 2, axis=1) if shapes[0] else np.zeros(len(points[0]))
    return still + np.exp(2 * theta[-2]) * rising
