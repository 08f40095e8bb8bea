"""Charts of scores: by benchmark, gains over the baselines, and one score in a line.

A series is told by its marker's shape and by a label as well as by its colour. Classes ``c-<role>`` carry colours.
"""

from collections.abc import Sequence

from markupsafe import Markup

from autosel_runtime.report import svg
from autosel_runtime.report.formats import points, shorten, signed_points, with_interval
from autosel_runtime.report.model import Estimate, Gain, HalfScores, Role

SHAPES: dict[Role, str] = {
    "search": "circle",
    "full_pool": "square",
    "random_subset": "triangle",
    "untuned": "diamond",
}
LABELS: dict[Role, str] = {
    "search": "Chosen recipe",
    "full_pool": "Full pool",
    "random_subset": "Random subset",
    "untuned": "Untuned model",
}


def dots(halves: Sequence[HalfScores], tasks: Sequence[str], overall: str | None) -> svg.Chart | None:
    """Return scores by task, one row a task and one marker with interval a trial; None without scores.

    ``overall`` is the label of the row of overall scores, None for no such row.
    """
    if not halves or not any(half.tasks for half in halves):
        return None
    return svg.Chart(
        wide=_dots(halves, tasks, overall, 960, 150), narrow=_dots(halves, tasks, overall, 380, 0)
    )


def _dots(
    halves: Sequence[HalfScores], tasks: Sequence[str], overall: str | None, width: float, names: float
) -> Markup:
    rows = _score_rows(halves, tasks, overall)
    low, high = score_range([score for _, series in rows for _, score in series])
    lane, above = 15.0, 0.0 if names else 20.0
    right = 64.0 if names else 12.0
    x = svg.Scale(d0=low, d1=high, r0=names + 12, r1=width - right)
    heights = [above + lane * len(series) + 14 for _, series in rows]
    height = sum(heights) + 30
    parts: list[Markup] = []
    for tick in svg.ticks(low, high, 8 if names else 5):
        parts.append(svg.line(x(tick), 0, x(tick), height - 26, "grid"))
        parts.append(svg.text(x(tick), height - 8, f"{100 * tick:g}", "label", "middle"))
    top = 0.0
    for k, ((name, series), tall) in enumerate(zip(rows, heights, strict=True)):
        strong = " strong" if k == 0 and overall is not None else ""
        if names:
            label = svg.text(0, top + tall / 2 + 4, shorten(name, 20), f"name{strong}")
        else:
            label = svg.text(2, top + 15, shorten(name, 44), f"name{strong}")
        parts += [label, svg.line(0, top + tall, width, top + tall, "rule")]
        for j, (role, score) in enumerate(series):
            parts.append(_dot(role, score, x, top + above + 7 + lane * (j + 0.5), name))
            if names and role == "search":
                at = top + 7 + lane * (j + 0.5) + 4
                parts.append(svg.text(width - 4, at, points(score.value), "name strong t-search", "end"))
        top += tall
    label = "Scores on the report half by benchmark, with intervals. The table below holds the numbers."
    return svg.root(width, height, label, parts)


def _score_rows(
    halves: Sequence[HalfScores], tasks: Sequence[str], overall: str | None
) -> list[tuple[str, list[tuple[Role, Estimate]]]]:
    """Return the label and the known scores of every row that has any."""
    rows: list[tuple[str, list[tuple[Role, Estimate]]]] = []
    if overall is not None:
        rows.append((overall, [(half.role, half.overall) for half in halves if half.overall is not None]))
    for task in tasks:
        rows.append((task, [(half.role, half.tasks[task]) for half in halves if task in half.tasks]))
    return [(name, series) for name, series in rows if series]


def _dot(role: Role, score: Estimate, x: svg.Scale, y: float, name: str) -> Markup:
    title = f"{LABELS[role]}, {name}: {with_interval(score)}"
    parts: list[Markup] = []
    if score.low is not None and score.high is not None:
        parts.append(svg.line(x(score.low), y, x(score.high), y, f"whisker c-{role}"))
    parts.append(svg.marker(x(score.value), y, SHAPES[role], f"mark c-{role}", title, 5))
    return svg.group(parts)


def forest(gains: Sequence[Gain]) -> Markup | None:
    """Return the gains over the baselines with their intervals and the line of no gain; None without any."""
    if not gains:
        return None
    width, row, top, left, right = 440.0, 44.0, 4.0, 132.0, 54.0
    ends = [0.0]
    for gain in gains:
        ends += [gain.difference.value, gain.difference.low or 0.0, gain.difference.high or 0.0]
    low, high = min(ends), max(ends)
    pad = 0.08 * (high - low) or 0.01
    x = svg.Scale(d0=low - pad, d1=high + pad, r0=left, r1=width - right)
    bottom = top + row * len(gains)
    parts = [svg.rect(x(0), top, x.r1 - x(0), bottom - top, "better", radius=3)]
    for tick in svg.ticks(x.d0, x.d1, 4):
        parts.append(svg.text(x(tick), bottom + 20, f"{100 * tick:+g}" if tick else "0", "label", "middle"))
        parts.append(svg.line(x(tick), top, x(tick), bottom, "grid"))
    parts.append(svg.line(x(0), top, x(0), bottom + 5, "zero"))
    for k, gain in enumerate(gains):
        middle = top + row * (k + 0.5)
        words = f"over {LABELS[gain.role].lower()}"
        parts.append(svg.text(0, middle + 4.5, words, "name"))
        parts.append(svg.text(width, middle + 5, signed_points(gain.difference.value), "name strong", "end"))
        css = "c-search" if gain.conclusive else "unsure"
        if gain.difference.low is not None and gain.difference.high is not None:
            parts.append(
                svg.line(x(gain.difference.low), middle, x(gain.difference.high), middle, f"bar {css}")
            )
        title = f"{words}: {with_interval(gain.difference, signed=True)} points"
        parts.append(svg.marker(x(gain.difference.value), middle, "diamond", f"mark {css}", title, 6))
    label = "Gain of the chosen recipe in points: " + "; ".join(
        f"over {LABELS[gain.role].lower()} {with_interval(gain.difference, signed=True)}" for gain in gains
    )
    return svg.root(width, bottom + 26, label, parts)


def spark(score: Estimate, low: float, high: float, css: str) -> Markup:
    """Return one score with its interval on a scale that all rows of a list share."""
    x = svg.Scale(d0=low, d1=high, r0=6, r1=154)
    parts = [svg.line(2, 9, 158, 9, "track")]
    if score.low is not None and score.high is not None:
        parts.append(svg.line(x(max(score.low, low)), 9, x(min(score.high, high)), 9, "whisker plain"))
    parts.append(svg.marker(x(score.value), 9, "circle", css, size=5))
    return svg.root(160, 18, with_interval(score), parts)


def score_range(scores: Sequence[Estimate]) -> tuple[float, float]:
    """Return the ends of a shared scale for ``scores`` with their intervals; (0, 1) without any."""
    if not scores:
        return 0.0, 1.0
    lows = [score.value if score.low is None else score.low for score in scores]
    highs = [score.value if score.high is None else score.high for score in scores]
    low, high = min(lows), max(highs)
    pad = 0.06 * (high - low) or 0.02
    return max(low - pad, -0.005), min(high + pad, 1.005)
