"""How numbers look in a report, the same on the page, in the terminal and in sentences.

Scores are fractions in 0..1 and are shown in points, 0 to 100, with one decimal.
"""

from datetime import datetime

from autosel_runtime.progress import format_seconds
from autosel_runtime.progress import plural as plural  # the same words everywhere
from autosel_runtime.report.model import Estimate

MINUS = "\u2212"
THIN = "\u202f"  # narrow no-break space, between a number and its percent sign
NONE = "–"


def points(score: float | None) -> str:
    """Return a score in 0..1 as points: ``42.2``."""
    return NONE if score is None else _minus(f"{100 * score:.1f}")


def signed_points(difference: float | None) -> str:
    """Return a difference of scores as points with its sign: ``+1.8``, ``−0.4``."""
    if difference is None:
        return NONE
    text = f"{100 * difference:+.1f}"
    return "0.0" if text in ("+0.0", "-0.0") else _minus(text)


def interval(estimate: Estimate | None, *, signed: bool = False) -> str:
    """Return the ends of an estimate's interval: ``41.0 to 43.4``, empty when it has none."""
    if estimate is None or estimate.low is None or estimate.high is None:
        return ""
    show = signed_points if signed else points
    return f"{show(estimate.low)} to {show(estimate.high)}"


def with_interval(estimate: Estimate | None, *, signed: bool = False) -> str:
    """Return ``42.2 (41.0 to 43.4)``, without brackets when there is no interval."""
    if estimate is None:
        return NONE
    value = signed_points(estimate.value) if signed else points(estimate.value)
    ends = interval(estimate, signed=signed)
    return f"{value} ({ends})" if ends else value


def percent(share: float | None, decimals: int = 0) -> str:
    """Return a share in 0..1 as percent: ``40 %``; what is small but not zero is never shown as zero."""
    if share is None:
        return NONE
    value = 100 * share
    while decimals < 3 and 0 < abs(value) < 0.95 * 10**-decimals:
        decimals += 1
    return f"{_minus(f'{value:.{decimals}f}')}{THIN}%"


def count(number: int | None) -> str:
    """Return a whole number with separators: ``18,200``."""
    return NONE if number is None else f"{number:,}"


def short_count(number: float | None) -> str:
    """Return a large number shortly: ``18.2K``, ``3.1M``."""
    if number is None:
        return NONE
    for size, unit in ((1e12, "T"), (1e9, "B"), (1e6, "M"), (1e3, "K")):
        if number >= size:
            return f"{number / size:.3g}{unit}"
    return f"{number:.0f}"


def duration(seconds: float | None) -> str:
    """Return a duration as a person would say it."""
    return NONE if seconds is None else format_seconds(seconds)


def accelerator_time(seconds: float | None) -> str:
    """Return accelerator time; hours above one hour: ``7.5 h``."""
    if seconds is None:
        return NONE
    return f"{seconds / 3600:,.1f} h" if seconds >= 3600 else format_seconds(seconds)


def number(value: float) -> str:
    """Return a signal value with at most three significant digits and no exponent for everyday sizes."""
    if value != 0 and not 1e-4 <= abs(value) < 1e7:
        return _minus(f"{value:.2g}")
    if abs(value) >= 100:
        return _minus(f"{value:,.0f}")
    return _minus(f"{value:.3g}")


def moment(text: str | None) -> str:
    """Return an ISO 8601 time as ``2026-11-24 13:32 UTC``; a text that is no time is shown as it is."""
    if not text:
        return NONE
    try:
        when = datetime.fromisoformat(text)
    except ValueError:
        return text
    return when.strftime("%Y-%m-%d %H:%M") + (" UTC" if when.utcoffset() is not None else "")


def shorten(text: str, length: int) -> str:
    """Return ``text`` cut to ``length`` characters, an ellipsis in the middle so that both ends stay readable."""
    if len(text) <= length:
        return text
    tail = (length - 1) // 3
    return text[: length - 1 - tail] + "…" + text[len(text) - tail :]


def sentence(text: str) -> str:
    """Return ``text`` with a capital first letter and a full stop."""
    words = text.strip()
    return words[:1].upper() + words[1:] + ("" if not words or words[-1] in ".!?" else ".")


def _minus(text: str) -> str:
    return text.replace("-", MINUS)
