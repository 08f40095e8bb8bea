"""Small marks of the page: legends, the colour scale of scores, the logo."""

from collections.abc import Sequence

from markupsafe import Markup

from autosel_runtime.report import chart_data, svg
from autosel_runtime.report.chart_scores import LABELS, SHAPES
from autosel_runtime.report.model import Report

# Classes r0 to r6 carry the colours of scores.
RAMP = 7


def _legend(entries: Sequence[tuple[Markup, str]]) -> Markup:
    items = [svg.element("span", {}, mark, words) for mark, words in entries]
    return svg.element("div", {"class": "legend"}, *items)


def _swatch(mark: Markup) -> Markup:
    return svg.element("svg", {"viewBox": "0 0 14 14", "aria-hidden": "true"}, mark)


def role_legend(report: Report) -> Markup:
    """Return the legend of the methods that were scored on the report half."""
    return _legend(
        [
            (_swatch(svg.marker(7, 7, SHAPES[half.role], f"mark c-{half.role}", size=5)), LABELS[half.role])
            for half in report.report_half
        ]
    )


def data_legend() -> Markup:
    """Return the legend of pool and chosen subset."""
    return _legend(
        [
            (_swatch(svg.rect(1, 2, 12, 10, "fill pool", radius=2)), "Pool"),
            (_swatch(svg.rect(1, 2, 12, 10, "fill chosen", radius=2)), "Chosen subset"),
        ]
    )


def step_legend(report: Report) -> Markup:
    """Return the legend of the steps that cost time."""
    return _legend(
        [
            (_swatch(svg.rect(1, 2, 12, 10, chart_data.step_class(use.step), radius=2)), use.step)
            for use in report.cost
        ]
    )


def ramp() -> Markup:
    """Return the colours of scores, low to high."""
    bars = [svg.rect(12 * i, 0, 12, 10, f"r{i}") for i in range(RAMP)]
    return svg.element("svg", {"viewBox": f"0 0 {12 * RAMP} 10", "aria-hidden": "true"}, *bars)


def logo() -> Markup:
    """Return the mark beside the name: a pool that becomes a subset."""
    rows = [(1, 18, "fill pool"), (8, 11, "fill pool"), (15, 5, "fill chosen")]
    bars = [svg.rect(1, y, width, 4, css, radius=2) for y, width, css in rows]
    return svg.element("svg", {"viewBox": "0 0 20 20", "aria-hidden": "true"}, *bars)
