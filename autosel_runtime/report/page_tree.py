"""The tree of recipes on the page: one row a trial, coloured by its score, below the trial it was made from."""

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from autosel_runtime.report import chart_scores, marks, svg
from autosel_runtime.report.formats import plural, points
from autosel_runtime.report.lineage import Branch, lineage
from autosel_runtime.report.model import Report, Trial

MAX_DEPTH = 6  # levels that are drawn; deeper ones are counted


@dataclass(frozen=True, kw_only=True)
class TreeRow:
    """One trial in the tree of recipes."""

    trial: Trial
    guides: tuple[str, ...]
    hidden_depth: int
    below: bool
    node: Markup
    words: str
    meta: str
    spark: Markup | None
    value: str
    best: bool


@dataclass(frozen=True, kw_only=True)
class TreePhase:
    """The rows of one phase."""

    number: int
    summary: str
    rows: tuple[TreeRow, ...]


def tree(report: Report, chosen: str | None) -> tuple[TreePhase, ...]:
    """Return the rows of every phase; ``chosen`` is marked."""
    scored = [trial.score for trial in report.trials if trial.role == "search" and trial.score is not None]
    low, high = chart_scores.score_range(scored)
    values = sorted({score.value for score in scored})
    phases: list[TreePhase] = []
    for phase in lineage(report.trials):
        inside = [branch.trial.score.value for branch in phase.branches if branch.trial.score is not None]
        best = f", best {points(max(inside))}" if inside else ""
        following = (*(branch.depth for branch in phase.branches[1:]), 0)
        rows = tuple(
            _tree_row(branch, values, (low, high), chosen, below=after > branch.depth)
            for branch, after in zip(phase.branches, following, strict=True)
        )
        summary = plural(len(rows), "trial") + best
        phases.append(TreePhase(number=phase.number, summary=summary, rows=rows))
    return tuple(phases)


def _tree_row(
    branch: Branch, values: Sequence[float], span: tuple[float, float], chosen: str | None, *, below: bool
) -> TreeRow:
    trial = branch.trial
    root = not trial.changes or branch.depth == 0
    origin = f"from #{trial.parent}, {trial.origin}" if root and trial.parent is not None else trial.origin
    size = [plural(trial.size, "sample")] if trial.size is not None else []
    state = (
        [] if trial.state == "succeeded" else [trial.state + (f": {trial.message}" if trial.message else "")]
    )
    css, shape = _colour(trial, values)
    spark = None if trial.score is None else chart_scores.spark(trial.score, *span, f"mark {css}")
    return TreeRow(
        trial=trial,
        guides=branch.guides[-MAX_DEPTH:],
        hidden_depth=max(0, branch.depth - MAX_DEPTH),
        below=below,
        node=svg.root(16, 16, trial.state, [svg.marker(8, 8, shape, css, size=4 if shape == "cross" else 6)]),
        words=trial.words if root else "; ".join(trial.changes) + ".",
        meta=" · ".join([origin, *size, *state]),
        spark=spark,
        value=points(trial.score.value) if trial.score is not None else "",
        best=trial.name == chosen,
    )


def _colour(trial: Trial, values: Sequence[float]) -> tuple[str, str]:
    if trial.score is None:
        return ("lost", "cross") if trial.state in ("failed", "invalid") else ("open", "circle")
    low, high = values[0], values[-1]
    place = 1.0 if high == low else (trial.score.value - low) / (high - low)
    return f"r{min(marks.RAMP - 1, int(place * marks.RAMP))}", "circle"
