"""The report as one HTML page that needs nothing else: no network, no asset, no font.

The policy in the page forbids every load; its own style and script are allowed by their SHA-256. Jinja escapes all
values, and no style attribute is used, since the policy would refuse it.
"""

import base64
import hashlib
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
    environment.filters |= {
        "count": formats.count,
        "signed_count": lambda number: "" if number is None else f"{formats.MINUS}{formats.count(number)}",
        "percent": formats.percent,
        "duration": formats.duration,
        "accelerator_time": formats.accelerator_time,
        "short_count": formats.short_count,
        "role": _role,
        "estimate": lambda estimate: formats.points(_value(estimate)),
        "ends": formats.interval,
        "gain": lambda estimate: formats.signed_points(_value(estimate)),
        "gain_ends": lambda estimate: formats.interval(estimate, signed=True),
    }
    return environment.get_template("page.html")


def _role(role: Role) -> str:
    return LABELS[role]


def _value(estimate: Estimate | None) -> float | None:
    return None if estimate is None else estimate.value


@cache
def _asset(name: str) -> str:
    return files("autosel_runtime.report").joinpath(name).read_text(encoding="utf-8")


def _hash(content: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
