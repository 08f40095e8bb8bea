"""The table of all trials on the page."""

from dataclasses import dataclass

from autosel_runtime.report.chart_scores import LABELS
from autosel_runtime.report.formats import duration, interval, points
from autosel_runtime.report.model import Trial


@dataclass(frozen=True, kw_only=True)
class TableRow:
    """One trial in the table of all trials."""

    trial: Trial
    order: int
    number: str
    meta: str
    score: str
    ends: str
    predicted: str
    seconds: str
    time: str
    best: bool
    lost: bool


def table_row(trial: Trial, order: int, chosen: str | None) -> TableRow:
    """Return the row of ``trial``, the ``order``-th of the report."""
    baseline = trial.role != "search"
    seconds = sum(use.seconds for use in trial.use)
    predicted = ""
    if trial.prediction_mean is not None:
        predicted = points(trial.prediction_mean)
        if trial.prediction_deviation is not None:
            predicted += f" ± {points(trial.prediction_deviation)}"
    return TableRow(
        trial=trial,
        order=order,
        number="–" if baseline else str(trial.ordinal),
        meta=LABELS[trial.role] if baseline else f"{trial.name} · {trial.origin}, phase {trial.phase}",
        score=points(trial.score.value) if trial.score is not None else "",
        ends=interval(trial.score),
        predicted=predicted,
        seconds=f"{seconds:.3f}" if trial.use else "",
        time=duration(seconds) if trial.use else "",
        best=trial.name == chosen,
        lost=trial.state in ("failed", "invalid"),
    )
