"""Scores with intervals: the search half of every trial, the report half of the incumbent and the baselines.

Notation
    s     a score in 0..1
    se    its standard error
    z     normal quantile of the level: 1.96 at 0.95
"""

from collections.abc import Mapping, Sequence
from statistics import NormalDist
from typing import Protocol

from autosel_runtime.evaluate import statistics
from autosel_runtime.report.inputs import ItemScores
from autosel_runtime.report.model import CurvePoint, Estimate, Gain, HalfScores, Role, Trial

# The order in which a reader wants the comparisons: the first that exists makes the headline.
BASELINE_ORDER: tuple[Role, ...] = ("full_pool", "random_subset", "untuned")
ROLE_WORDS: Mapping[Role, str] = {
    "search": "the chosen recipe",
    "full_pool": "the full pool",
    "random_subset": "a random subset of the same size",
    "untuned": "the untuned model",
}


class Statistics(Protocol):
    """The two estimates that a report needs; ``weights`` maps a task to its weight, missing ones count 1."""

    def mean(self, items: ItemScores, weights: Mapping[str, float], confidence: float) -> Estimate:
        """Return the weighted mean over tasks of the mean item score."""
        ...

    def paired(
        self, first: ItemScores, second: ItemScores, weights: Mapping[str, float], confidence: float
    ) -> Estimate:
        """Return the weighted mean over tasks of the mean of ``first - second`` over common items."""
        ...


class ItemStatistics:
    """The statistics of ``autosel_runtime.evaluate``: intervals that hold for few items, too."""

    def mean(self, items: ItemScores, weights: Mapping[str, float], confidence: float) -> Estimate:
        """Return the weighted mean over tasks of the mean item score."""
        return _estimate(statistics.mean_interval(items, weights, confidence))

    def paired(
        self, first: ItemScores, second: ItemScores, weights: Mapping[str, float], confidence: float
    ) -> Estimate:
        """Return the weighted mean over tasks of the mean of ``first - second``."""
        return _estimate(statistics.paired_difference(first, second, weights, confidence))


def _estimate(found: statistics.Estimate) -> Estimate:
    return Estimate(value=found.mean, stderr=found.stderr, low=found.low, high=found.high, items=found.n)


def normal_estimate(
    score: float, stderr: float | None, confidence: float, items: int | None = None
) -> Estimate:
    """Return ``score`` with the interval s ± z·se, cut to 0..1; no interval without a standard error."""
    if stderr is None:
        return Estimate(value=score, items=items)
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    return Estimate(
        value=score,
        stderr=stderr,
        low=max(0.0, score - z * stderr),
        high=min(1.0, score + z * stderr),
        items=items,
    )


def half_scores(
    trial: Trial, items: ItemScores, weights: Mapping[str, float], confidence: float, source: Statistics
) -> HalfScores:
    """Return one trial's scores by task and overall; the overall score needs every task that ``weights`` names."""
    scored = {task: scores for task, scores in items.items() if scores}
    complete = bool(scored) and all(task in scored for task in weights)
    return HalfScores(
        trial=trial.name,
        role=trial.role,
        overall=source.mean(scored, weights, confidence) if complete else None,
        tasks={task: source.mean({task: scores}, {task: 1.0}, confidence) for task, scores in scored.items()},
    )


def gain(
    baseline: Trial,
    first: ItemScores,
    second: ItemScores,
    weights: Mapping[str, float],
    confidence: float,
    source: Statistics,
) -> Gain | None:
    """Return the incumbent (``first``) minus the ``baseline`` (``second``); None when a task has no common item."""
    first, second = common_items(first, second)
    if not first or any(task not in first for task in weights):
        return None
    difference = source.paired(first, second, weights, confidence)
    low, high = difference.low, difference.high
    return Gain(
        baseline=baseline.name,
        role=baseline.role,
        difference=difference,
        conclusive=low is not None and high is not None and (low > 0 or high < 0),
        tasks={
            task: source.paired({task: first[task]}, {task: second[task]}, {task: 1.0}, confidence)
            for task in first
        },
    )


def common_items(first: ItemScores, second: ItemScores) -> tuple[ItemScores, ItemScores]:
    """Return both score tables cut to the tasks and items that both have."""
    shared = {task: sorted(first[task].keys() & second[task].keys()) for task in first if task in second}
    shared = {task: items for task, items in shared.items() if items}
    return (
        {task: {item: first[task][item] for item in items} for task, items in shared.items()},
        {task: {item: second[task][item] for item in items} for task, items in shared.items()},
    )


def best(trials: Sequence[Trial]) -> Trial | None:
    """Return the search trial with the highest search-half score; equal ones: fewer samples, then the earlier."""
    scored = [trial for trial in trials if trial.role == "search" and trial.score is not None]
    return min(scored, key=_order, default=None)


def incumbent_curve(trials: Sequence[Trial]) -> tuple[CurvePoint, ...]:
    """Return the incumbent after each evaluation, in order of ordinals; reused scores are no evaluations."""
    points: list[CurvePoint] = []
    top: Trial | None = None
    for trial in sorted(trials, key=lambda trial: trial.ordinal):
        if trial.role != "search" or trial.state != "succeeded" or trial.score is None:
            continue
        top = trial if top is None or _order(trial) < _order(top) else top
        if top.score is not None:
            points.append(
                CurvePoint(evaluation=len(points) + 1, trial=trial.name, incumbent=top.name, score=top.score)
            )
    return tuple(points)


def _order(trial: Trial) -> tuple[float, int, int]:
    score = trial.score.value if trial.score is not None else float("-inf")
    return (-score, trial.size if trial.size is not None else 2**63, trial.ordinal)
