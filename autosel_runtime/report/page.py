"""The report as one HTML page that needs nothing else: no network, no asset, no font.

The policy in the page forbids every load; its own style and script are allowed by their SHA-256. Jinja escapes all
values, and no style attribute is used, since the policy would refuse it.
"""

import base64
import hashlib
from collections.abc import Callable, Mapping
from functools import cache
from importlib.resources import files

from jinja2 import DictLoader, Environment, StrictUndefined, Template
from markupsafe import Markup

from autosel_runtime.report import formats
from autosel_runtime.report.chart_scores import LABELS
from autosel_runtime.report.model import Estimate, Report, Role
from autosel_runtime.report.page_view import page_view


def report_page(report: Report) -> str:
    """Return the HTML page of ``report``."""
    css, js = _asset("page.css"), _asset("page.js")
    policy = (
        f"default-src 'none'; style-src '{_hash(css)}'; script-src '{_hash(js)}'; img-src data:; "
        "base-uri 'none'; form-action 'none'"
    )
    return _template().render(
        report=report,
        view=page_view(report),
        policy=policy,
        css=Markup(css),  # noqa: S704 - files of this package
        js=Markup(js),  # noqa: S704
    )


@cache
def _template() -> Template:
    environment = Environment(
        loader=DictLoader({"page.html": _asset("page.html")}),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=False,
        keep_trailing_newline=True,
    )
    environment.filters.update(_FILTERS)
    return environment.get_template("page.html")


def _role(role: Role) -> str:
    return LABELS[role]


def _dropped(number: int | None) -> str:
    return "" if number is None else f"{formats.MINUS}{formats.count(number)}"


def _score(estimate: Estimate | None) -> str:
    return formats.points(None if estimate is None else estimate.value)


def _gain(estimate: Estimate | None) -> str:
    return formats.signed_points(None if estimate is None else estimate.value)


def _gain_ends(estimate: Estimate | None) -> str:
    return formats.interval(estimate, signed=True)


_FILTERS: Mapping[str, Callable[..., str]] = {
    "count": formats.count,
    "dropped": _dropped,
    "percent": formats.percent,
    "duration": formats.duration,
    "accelerator_time": formats.accelerator_time,
    "short_count": formats.short_count,
    "role": _role,
    "estimate": _score,
    "ends": formats.interval,
    "gain": _gain,
    "gain_ends": _gain_ends,
}


@cache
def _asset(name: str) -> str:
    return files("autosel_runtime.report").joinpath(name).read_text(encoding="utf-8")


def _hash(content: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
