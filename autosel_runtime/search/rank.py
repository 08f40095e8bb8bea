"""Ordering candidates: expected improvement, upper confidence bound, random, and distance when nothing is known.

Notation
    mu, sigma   [m] posterior mean and deviation of the noise-free score
    best        posterior mean of the incumbent (plug-in for noisy scores: a lucky score is not the target)
    EI          sigma (z Phi(z) + phi(z)),  z = (mu - best - min_improvement) / sigma      Mockus 1978
    UCB         mu + kappa sigma
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Matrix = NDArray[np.float64]

KAPPA = 1.5


def expected_improvement(
    mean: Matrix, deviation: Matrix, best: float, min_improvement: float = 0.0
) -> Matrix:
    """Return the expected gain [m] over ``best``, in units of the score."""
    from scipy.special import ndtr

    deviation = np.maximum(deviation, 1e-12)
    z = (mean - best - min_improvement) / deviation
    return deviation * (z * ndtr(z) + np.exp(-0.5 * z**2) / np.sqrt(2 * np.pi))


def upper_confidence_bound(mean: Matrix, deviation: Matrix) -> Matrix:
    """Return mean + 1.5 deviations [m]."""
    return mean + KAPPA * deviation


def distance_to_known(candidates: Sequence[Matrix], known: Sequence[Matrix]) -> Matrix:
    """Return each candidate's distance [m] to the nearest known point; groups weigh alike by their own spread.

    With nothing known every candidate is at distance 1.
    """
    m = len(candidates[0])
    if not len(known[0]):
        return np.ones(m)
    total = np.zeros((m, len(known[0])))
    for new, old in zip(candidates, known, strict=True):
        squares = ((new[:, None, :] - old[None, :, :]) ** 2).sum(axis=2)
        typical = float(squares.mean())
        if typical > 0:
            total += squares / typical
    return np.sqrt(total.min(axis=1))


def order(values: Matrix, digests: Sequence[str]) -> list[int]:
    """Return indices from best to worst; equal values are ordered by digest, never by position."""
    return sorted(range(len(values)), key=lambda i: (-round(float(values[i]), 12), digests[i]))
