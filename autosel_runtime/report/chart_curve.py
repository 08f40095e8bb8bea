"""The chart of the search: every trial's score, the incumbent over evaluations, and the baselines beside it."""

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from autosel_runtime.report import svg
from autosel_runtime.report.chart_scores import LABELS, SHAPES, score_range
from autosel_runtime.report.formats import plural, points, with_interval
from autosel_runtime.report.model import Report, Trial

NO_SCORE = "cross"


@dataclass(frozen=True, kw_only=True)
class Frame:
    """The size of a chart and the space around its plot, in pixels of its view box."""

    width: float
    height: float
    left: float
    right: float
    top: float
    bottom: float

    @property
    def x1(self) -> float:
        """Right edge of the plot."""
        return self.width - self.right

    @property
    def y1(self) -> float:
        """Bottom edge of the plot."""
        return self.height - self.bottom


def curve(report: Report) -> svg.Chart | None:
    """Return the search-half scores of all trials with the incumbent's line; None without a scored trial."""
    trials = [trial for trial in report.trials if trial.role == "search"]
    if not any(trial.score for trial in trials):
        return None
    wide = Frame(width=960, height=380, left=44, right=150, top=30, bottom=40)
    known = sum(trial.role != "search" and trial.score is not None for trial in report.trials)
    narrow = Frame(width=380, height=300 + 18 * known, left=34, right=12, top=30, bottom=36 + 18 * known)
    return svg.Chart(
        wide=_curve(report, trials, wide, beside=True), narrow=_curve(report, trials, narrow, beside=False)
    )


def _curve(report: Report, trials: Sequence[Trial], frame: Frame, *, beside: bool) -> Markup:
    baselines = [trial for trial in report.trials if trial.role != "search" and trial.score is not None]
    low, high = score_range([trial.score for trial in [*trials, *baselines] if trial.score is not None])
    y = svg.Scale(d0=low, d1=high, r0=frame.y1, r1=frame.top)
    pad = min(18.0, (frame.x1 - frame.left) / (2 * len(trials)))
    x = svg.Scale(d0=0, d1=max(len(trials) - 1, 1), r0=frame.left + pad, r1=frame.x1 - pad)
    if len(trials) == 1:
        middle = (frame.left + frame.x1) / 2
        x = svg.Scale(d0=0, d1=1, r0=middle, r1=frame.x1)
    dense = len(trials) > (60 if beside else 24)
    parts = [_phases(trials, x, frame), _score_grid(y, frame), _trial_axis(trials, x, frame)]
    parts += [_baseline_lines(baselines, y, frame, beside=beside)]
    parts += [_incumbent_line(report, trials, x, y)]
    parts += [_trial_point(trial, x(i), y, frame, report, dense=dense) for i, trial in enumerate(trials)]
    label = (
        f"Search-half score of {plural(len(trials), 'trial')} in order, with the incumbent's score as a line"
        + (" and the baselines as horizontal lines" if baselines else "")
        + ". The table of trials holds the numbers."
    )
    return svg.root(frame.width, frame.height, label, parts)


def _phases(trials: Sequence[Trial], x: svg.Scale, frame: Frame) -> Markup:
    starts = [i for i, trial in enumerate(trials) if i == 0 or trial.phase != trials[i - 1].phase]
    if len(starts) < 2:
        return svg.group([])
    half = (x(1) - x(0)) / 2
    parts: list[Markup] = []
    label_end = 0.0
    for k, start in enumerate(starts):
        left = frame.left if k == 0 else x(start) - half
        right = frame.x1 if k == len(starts) - 1 else x(starts[k + 1]) - half
        parts.append(svg.rect(left, frame.top, right - left, frame.y1 - frame.top, f"phase phase-{k % 2}"))
        if left >= label_end:
            parts.append(svg.text(left + 6, frame.top - 8, f"Phase {trials[start].phase}", "label"))
            label_end = left + 62
    return svg.group(parts)


def _score_grid(y: svg.Scale, frame: Frame) -> Markup:
    parts: list[Markup] = []
    for tick in svg.ticks(y.d0, y.d1, 8):
        parts.append(svg.line(frame.left, y(tick), frame.x1, y(tick), "grid"))
        parts.append(svg.text(frame.left - 8, y(tick) + 4, f"{100 * tick:g}", "label", "end"))
    return svg.group(parts)


def _trial_axis(trials: Sequence[Trial], x: svg.Scale, frame: Frame) -> Markup:
    room = max(1, int((frame.x1 - frame.left) / 34))
    every = next(
        step for step in (1, 2, 5, 10, 20, 50, 100, 200, 500) if len(trials) / step <= room or step == 500
    )
    parts = [
        svg.text(x(i), frame.y1 + 18, str(trial.ordinal), "label", "middle")
        for i, trial in enumerate(trials)
        if i % every == 0
    ]
    parts.append(svg.text(frame.x1, frame.y1 + 36, "trial →", "label", "end"))
    return svg.group(parts)


def _baseline_lines(baselines: Sequence[Trial], y: svg.Scale, frame: Frame, *, beside: bool) -> Markup:
    """Return the lines with their labels: right of the plot, or below it where the width is scarce."""
    scores = [trial.score.value for trial in baselines if trial.score is not None]
    heights = svg.spread([y(score) for score in scores], 17, frame.top + 4, frame.y1 - 4)
    parts: list[Markup] = []
    for k, (trial, score, height) in enumerate(zip(baselines, scores, heights, strict=True)):
        css = f"c-{trial.role}"
        parts.append(svg.line(frame.left, y(score), frame.x1, y(score), f"baseline {css}"))
        at = height if beside else frame.y1 + 44 + 18 * k
        start = frame.x1 + 17 if beside else frame.left + 6
        if beside:
            parts.append(svg.path([(frame.x1, y(score)), (frame.x1 + 10, height)], f"leader {css}"))
        parts.append(svg.marker(start, at, SHAPES[trial.role], f"mark {css}", size=4.5))
        parts.append(svg.text(start + 10, at + 4, f"{LABELS[trial.role]} {points(score)}", "name"))
    return svg.group(parts)


def _incumbent_line(report: Report, trials: Sequence[Trial], x: svg.Scale, y: svg.Scale) -> Markup:
    place = {trial.name: i for i, trial in enumerate(trials)}
    steps = [(x(place[point.trial]), point.score) for point in report.curve]
    if not steps:
        return svg.group([])
    if len(trials) > 1 and steps[-1][0] < x(len(trials) - 1):
        steps.append((x(len(trials) - 1), steps[-1][1]))
    if len(steps) == 1:
        steps.append((steps[0][0] + 24, steps[0][1]))
    upper = _stairs([(at, y(score.value if score.high is None else score.high)) for at, score in steps])
    lower = _stairs([(at, y(score.value if score.low is None else score.low)) for at, score in steps])
    line = _stairs([(at, y(score.value)) for at, score in steps])
    return svg.group([svg.path([*upper, *reversed(lower)], "band", closed=True), svg.path(line, "incumbent")])


def _stairs(corners: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    path = [corners[0]]
    for at, height in corners[1:]:
        path += [(at, path[-1][1]), (at, height)]
    return path


def _trial_point(
    trial: Trial, at: float, y: svg.Scale, frame: Frame, report: Report, *, dense: bool
) -> Markup:
    if trial.score is None:
        lost = trial.state in ("failed", "invalid")
        title = f"#{trial.ordinal} {trial.state}" + (f": {trial.message}" if trial.message else "")
        return svg.marker(
            at, frame.y1 - 7, NO_SCORE if lost else "circle", "lost" if lost else "open", title, 3.5
        )
    improved = any(point.trial == trial.name == point.incumbent for point in report.curve)
    chosen = report.incumbent is not None and report.incumbent.trial == trial.name
    title = f"#{trial.ordinal} {with_interval(trial.score)}: {trial.words}"
    size = 7 if chosen else (3 if dense else 4.5)
    css = "mark c-search" if improved or chosen else "mark plain"
    parts: list[Markup] = []
    if trial.score.low is not None and trial.score.high is not None and (not dense or improved):
        whisker = "whisker c-search" if improved or chosen else "whisker plain"
        parts.append(svg.line(at, y(trial.score.low), at, y(trial.score.high), whisker))
    if chosen:
        parts.append(svg.marker(at, y(trial.score.value), "circle", "ring", size=11))
    if trial.state == "reused":
        css = "open"
    parts.append(svg.marker(at, y(trial.score.value), "circle", css, title, size))
    return svg.group(parts)
