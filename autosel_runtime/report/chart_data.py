"""Charts of data and cost: signal histograms, the source mix, and time by step."""

from collections.abc import Sequence

from markupsafe import Markup

from autosel_runtime.report import svg
from autosel_runtime.report.formats import count, duration, number, percent, plural, shorten
from autosel_runtime.report.model import Histogram, SourceShare, Step, StepUse, Trial

# Steps in the order of their colours; a class ``s-<step>`` carries each.
STEPS = ("prepare", "score", "suggest", "materialize", "train", "evaluate", "report")


def histogram(shown: Histogram) -> Markup | None:
    """Return the pool (area) against the chosen subset (line), each scaled to shares of its own rows."""
    if not shown.edges:
        return None
    width, height, base = 300.0, 112.0, 92.0
    pool, subset = _shares(shown.pool), _shares(shown.subset)
    top = max([*pool, *subset, 1e-12])
    x = svg.Scale(d0=shown.edges[0], d1=shown.edges[-1], r0=4, r1=width - 4)
    y = svg.Scale(d0=0, d1=top, r0=base, r1=6)
    parts = [
        svg.path(_outline(shown.edges, pool, x, y), "area pool", closed=True),
        svg.path(_outline(shown.edges, subset, x, y), "area chosen", closed=True),
        svg.line(4, base, width - 4, base, "axis"),
    ]
    if shown.pool_mean is not None:
        parts.append(
            svg.line(
                x(_within(shown, shown.pool_mean)),
                base,
                x(_within(shown, shown.pool_mean)),
                base + 6,
                "tick pool",
            )
        )
    if shown.subset_mean is not None:
        mean = x(_within(shown, shown.subset_mean))
        parts.append(
            svg.marker(mean, base + 5, "triangle", "mark c-search", f"mean {number(shown.subset_mean)}", 4)
        )
    parts.append(svg.text(4, height - 1, number(shown.edges[0]), "label"))
    parts.append(svg.text(width - 4, height - 1, number(shown.edges[-1]), "label", "end"))
    means = [f"pool mean {number(shown.pool_mean)}"] if shown.pool_mean is not None else []
    means += [f"chosen mean {number(shown.subset_mean)}"] if shown.subset_mean is not None else []
    return svg.root(width, height, f"Histogram of {shown.signal}: {', '.join(means)}", parts)


def _within(shown: Histogram, value: float) -> float:
    return min(max(value, shown.edges[0]), shown.edges[-1])


def _shares(counts: Sequence[int]) -> list[float]:
    total = sum(counts)
    return [value / total if total else 0.0 for value in counts]


def _outline(
    edges: Sequence[float], shares: Sequence[float], x: svg.Scale, y: svg.Scale
) -> list[tuple[float, float]]:
    corners = [(x(edges[0]), y(0))]
    for i, share in enumerate(shares):
        corners += [(x(edges[i]), y(share)), (x(edges[i + 1]), y(share))]
    return [*corners, (x(edges[-1]), y(0))]


def sources(mix: Sequence[SourceShare]) -> svg.Chart | None:
    """Return each source's share of the pool and of the chosen subset; None without sources."""
    if not mix:
        return None
    return svg.Chart(wide=_sources(mix, 960, beside=True), narrow=_sources(mix, 380, beside=False))


def _sources(mix: Sequence[SourceShare], width: float, *, beside: bool) -> Markup:
    left, right, above = (150.0, 130.0, 0.0) if beside else (2.0, 4.0, 20.0)
    row = 34.0 + above
    top = max([share for source in mix for share in (source.pool_share, source.subset_share or 0.0)] + [1e-9])
    x = svg.Scale(d0=0, d1=top, r0=left, r1=width - right)
    parts: list[Markup] = []
    for k, source in enumerate(mix):
        y = row * k + above
        words = f"{percent(source.pool_share, 1)} → {percent(source.subset_share, 1)}"
        title = (
            f"{source.source}: {count(source.pool_rows)} rows in the pool, {count(source.subset_rows)} chosen"
        )
        baseline = y + 20 if beside else y - 6
        parts.append(svg.text(0, baseline, shorten(source.source, 20 if beside else 26), "name"))
        parts.append(svg.text(width - 4, baseline, words, "name number", "end"))
        parts.append(svg.rect(left, y + 4, x(source.pool_share) - left, 10, "fill pool", title, 2))
        parts.append(svg.rect(left, y + 16, x(source.subset_share or 0) - left, 10, "fill chosen", title, 2))
    label = "Share of each source in the pool and in the chosen subset: " + "; ".join(
        f"{source.source} {percent(source.pool_share, 1)} to {percent(source.subset_share, 1)}"
        for source in mix[:12]
    )
    return svg.root(width, row * len(mix) + 4, label, parts)


def funnel(rows: int, steps: Sequence[Step]) -> list[Markup]:
    """Return a bar for every step whose trace is known: what was there before it, and what it kept."""
    before, bars = rows, list[Markup]()
    for step in steps:
        if step.kept is None or rows == 0:
            return []
        parts = [
            svg.rect(0, 0, 300, 6, "fill empty", radius=3),
            svg.rect(0, 0, 300 * before / rows, 6, "fill lost-rows", radius=3),
            svg.rect(0, 0, 300 * step.kept / rows, 6, "fill chosen", radius=3),
        ]
        label = f"{plural(before, 'sample')} before the step, {count(step.kept)} after it"
        bars.append(svg.root(300, 6, label, parts))
        before = step.kept
    return bars


def cost_bar(cost: Sequence[StepUse], *, accelerators: bool) -> svg.Chart | None:
    """Return one stacked bar of wall or accelerator seconds by step; None when there is nothing to show."""
    shares = [(use.step, (use.accelerator_seconds if accelerators else use.seconds) or 0.0) for use in cost]
    if sum(seconds for _, seconds in shares) <= 0:
        return None
    what = "Accelerator time" if accelerators else "Wall time"
    label = f"{what} by step: " + ", ".join(
        f"{step} {duration(seconds)}" for step, seconds in shares if seconds
    )
    return svg.Chart(wide=_cost_bar(shares, label, 960), narrow=_cost_bar(shares, label, 380))


def _cost_bar(shares: Sequence[tuple[str, float]], label: str, width: float) -> Markup:
    total = sum(seconds for _, seconds in shares)
    at, parts = 0.0, list[Markup]()
    for step, seconds in shares:
        part = width * seconds / total
        title = f"{step}: {duration(seconds)}, {percent(seconds / total)}"
        parts.append(svg.rect(at, 0, max(part - 2, 0.75 if seconds else 0), 26, step_class(step), title, 2))
        at += part
    return svg.root(width, 26, label, parts)


def trial_cost(trials: Sequence[Trial]) -> svg.Chart | None:
    """Return a stacked column of wall seconds by step for every trial; None without times."""
    timed = [trial for trial in trials if sum(use.seconds for use in trial.use) > 0]
    if not timed:
        return None
    return svg.Chart(wide=_trial_cost(timed, 960, 220), narrow=_trial_cost(timed, 380, 190))


def _trial_cost(trials: Sequence[Trial], width: float, height: float) -> Markup:
    left, bottom, top = 58.0, 24.0, 8.0
    most = max(sum(use.seconds for use in trial.use) for trial in trials)
    y = svg.Scale(d0=0, d1=most, r0=height - bottom, r1=top)
    slot = (width - left - 6) / len(trials)
    bar = min(slot * 0.72, 44)
    parts: list[Markup] = []
    unit, name = next(
        pair for pair in ((3600, "h"), (60, "min"), (1, "s")) if most >= 1.5 * pair[0] or pair[0] == 1
    )
    for tick in svg.ticks(0, most / unit, 4):
        parts.append(svg.line(left, y(tick * unit), width, y(tick * unit), "grid"))
        parts.append(svg.text(left - 8, y(tick * unit) + 4, f"{tick:g} {name}", "label", "end"))
    room = max(1, int((width - left) / 30))
    every = next(
        step for step in (1, 2, 5, 10, 20, 50, 100, 200, 500) if len(trials) / step <= room or step == 500
    )
    for i, trial in enumerate(trials):
        at = left + slot * i + (slot - bar) / 2
        base = 0.0
        for use in sorted(trial.use, key=lambda use: (*STEPS, use.step).index(use.step)):
            title = f"{trial.name}, {use.step}: {duration(use.seconds)}"
            parts.append(
                svg.rect(
                    at,
                    y(base + use.seconds),
                    bar,
                    y(base) - y(base + use.seconds),
                    step_class(use.step),
                    title,
                )
            )
            base += use.seconds
        if i % every == 0:
            mark = f"{trial.ordinal}" if trial.role == "search" else "·"
            parts.append(svg.text(at + bar / 2, height - 6, mark, "label", "middle"))
    return svg.root(width, height, "Wall time of every trial, stacked by step.", parts)


def step_class(step: str) -> str:
    """Return the class that carries the colour of a step."""
    return f"s-{step}" if step in STEPS else "s-other"
