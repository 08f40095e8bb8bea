"""Means of item scores, their errors, and paired comparisons of two models.

Notation
    s_ti   score in 0..1 of item i of task t           n_t   items of task t
    m_t    mean over i of s_ti                         w_t   weight of task t, normalised to Σ w_t = 1
    se_t   = sqrt( Σ_i (s_ti − m_t)² / (n_t − 1) / n_t ), the standard error of m_t
    M      = Σ_t w_t m_t, the objective                se(M) = sqrt( Σ_t w_t² se_t² )
    d_ti   = s_ti(first) − s_ti(second), same item
    z      normal quantile (1 + confidence) / 2

Items are independent draws from what a task measures; pairing removes the difficulty that both models share
(Miller 2024, "Adding error bars to evals"). Below a few hundred items the central limit theorem misleads
(Bowyer et al. 2025): there, intervals come from a posterior when scores are 0 or 1, and from a bootstrap else.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from autosel_runtime.errors import DataError

LARGE = 200
"""Items of a task from which on the normal interval is used."""

ItemScores = Mapping[str, Mapping[str, float]]
"""task -> item id -> score."""


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """A mean over ``n`` items, its standard error, and its interval at the asked level (when one was asked)."""

    mean: float
    stderr: float
    n: int
    low: float | None = None
    high: float | None = None


def task_mean(scores: Sequence[float]) -> Estimate:
    """Return m_t and se_t. With one item, the error is 0.5, the largest that a score in 0..1 can have."""
    if not scores:
        raise DataError("no scores to take the mean of")
    values = np.asarray(scores, dtype=np.float64)
    n = len(values)
    error = float(values.std(ddof=1) / np.sqrt(n)) if n > 1 else 0.5
    return Estimate(mean=float(values.mean()), stderr=error, n=n)


def objective(tasks: Mapping[str, Estimate], weights: Mapping[str, float]) -> Estimate:
    """Return M and se(M); a task that ``weights`` does not name weighs 1."""
    if not tasks:
        raise DataError("no tasks to take the objective of")
    shares = _shares(tasks, weights)
    mean = sum(share * tasks[name].mean for name, share in shares.items())
    variance = sum((share * tasks[name].stderr) ** 2 for name, share in shares.items())
    return Estimate(mean=mean, stderr=variance**0.5, n=sum(task.n for task in tasks.values()))


def wilson(successes: float, n: int, confidence: float) -> tuple[float, float]:
    """Return the Wilson score interval of a proportion: (p + z²/2n ± z·sqrt(p(1−p)/n + z²/4n²)) / (1 + z²/n)."""
    if n < 1:
        raise DataError("no items to take an interval of")
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    p = successes / n
    centre, scale = p + z * z / (2 * n), 1 + z * z / n
    half = z * ((p * (1 - p) / n + z * z / (4 * n * n)) ** 0.5)
    return max(0.0, (centre - half) / scale), min(1.0, (centre + half) / scale)


def mean_interval(
    items: ItemScores, weights: Mapping[str, float], confidence: float, *, seed: int = 0
) -> Estimate:
    """Return M with its interval: Wilson's for one task of 0/1 scores, else as in ``paired_difference``."""
    summary = objective({name: task_mean(list(scores.values())) for name, scores in items.items()}, weights)
    if len(items) == 1:
        values = np.asarray(list(next(iter(items.values())).values()))
        if _is_binary(values):
            low, high = wilson(float(values.sum()), len(values), confidence)
            return Estimate(mean=summary.mean, stderr=summary.stderr, n=summary.n, low=low, high=high)
    parts = {name: np.asarray([scores[i] for i in sorted(scores)]) for name, scores in items.items()}
    low, high = _interval(parts, weights, summary, confidence, seed, values=(0.0, 1.0), resamples=10_000)
    return Estimate(
        mean=summary.mean, stderr=summary.stderr, n=summary.n, low=max(0.0, low), high=min(1.0, high)
    )


def paired_difference(
    first: ItemScores,
    second: ItemScores,
    weights: Mapping[str, float],
    confidence: float,
    *,
    seed: int = 0,
    resamples: int = 10_000,
) -> Estimate:
    """Return Σ_t w_t mean_i d_ti with its standard error and interval.

    All tasks with LARGE items or more: mean ± z·se. Otherwise the quantiles of ``resamples`` draws that are
    made task by task: for 0/1 scores from the posterior of (better, equal, worse) with a Dirichlet(1/2, 1/2,
    1/2) prior, for others from the bootstrap over items. The same seed gives the same interval.

    Raises DataError when the two were not scored on the same tasks and items.
    """
    _require_same_items(first, second)
    parts = {
        name: np.asarray([scores[i] - second[name][i] for i in sorted(scores)])
        for name, scores in first.items()
    }
    summary = objective({name: task_mean(values.tolist()) for name, values in parts.items()}, weights)
    low, high = _interval(
        parts, weights, summary, confidence, seed, values=(-1.0, 0.0, 1.0), resamples=resamples
    )
    return Estimate(mean=summary.mean, stderr=summary.stderr, n=summary.n, low=low, high=high)


def _interval(
    parts: Mapping[str, NDArray[np.float64]],
    weights: Mapping[str, float],
    summary: Estimate,
    confidence: float,
    seed: int,
    *,
    values: tuple[float, ...],
    resamples: int,
) -> tuple[float, float]:
    if min(len(part) for part in parts.values()) >= LARGE:
        z = NormalDist().inv_cdf((1 + confidence) / 2)
        return summary.mean - z * summary.stderr, summary.mean + z * summary.stderr
    draws = np.zeros(resamples)
    for name, share in _shares(parts, weights).items():
        draws += share * _draws(parts[name], values, _generator(seed, name), resamples)
    low, high = np.quantile(draws, [(1 - confidence) / 2, (1 + confidence) / 2])
    return float(low), float(high)


def _draws(
    part: NDArray[np.float64], values: tuple[float, ...], generator: np.random.Generator, resamples: int
) -> NDArray[np.float64]:
    """Return plausible means of one task: from the posterior for known values, else from the bootstrap."""
    counts = np.asarray([np.count_nonzero(part == value) for value in values], dtype=np.float64)
    if counts.sum() == len(part):
        return generator.dirichlet(counts + 0.5, size=resamples) @ np.asarray(values)
    picks = generator.integers(0, len(part), size=(resamples, len(part)))
    return part[picks].mean(axis=1)


def _generator(seed: int, name: str) -> np.random.Generator:
    """One stream a task, so that neither the order nor the number of tasks moves another's draws."""
    word = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "little")
    return np.random.default_rng([seed, word])


def _shares(tasks: Mapping[str, object], weights: Mapping[str, float]) -> dict[str, float]:
    total = sum(weights.get(name, 1.0) for name in sorted(tasks))
    return {name: weights.get(name, 1.0) / total for name in sorted(tasks)}


def _is_binary(values: NDArray[np.float64]) -> bool:
    return bool(np.isin(values, (0.0, 1.0)).all())


def _require_same_items(first: ItemScores, second: ItemScores) -> None:
    if set(first) != set(second):
        odd = sorted(set(first) ^ set(second))
        raise DataError(
            f"the two models were not scored on the same tasks: {', '.join(odd)} on one side only"
        )
    for name, scores in first.items():
        if set(scores) != set(second[name]):
            count = len(set(scores) ^ set(second[name]))
            raise DataError(f"task {name}: {count} items were scored for one of the two models only")
