"""SVG by hand: escaped elements, linear scales and tick marks. Colours come from classes, so that themes apply.

Notation
    d0, d1   ends of a data range
    r0, r1   ends of a pixel range
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from markupsafe import Markup, escape

Attribute = str | float | int | None


@dataclass(frozen=True, kw_only=True)
class Scale:
    """The linear map from [d0, d1] to [r0, r1]; values outside are not clipped."""

    d0: float
    d1: float
    r0: float
    r1: float

    def __call__(self, value: float) -> float:
        span = self.d1 - self.d0
        return self.r0 if span == 0 else self.r0 + (value - self.d0) / span * (self.r1 - self.r0)


@dataclass(frozen=True, kw_only=True)
class Chart:
    """One chart drawn twice: for wide and for narrow screens."""

    wide: Markup
    narrow: Markup


def element(name: str, attributes: Mapping[str, Attribute], *children: str) -> Markup:
    """Return an element; attribute values and plain children are escaped, ``None`` leaves an attribute out."""
    parts = [
        f' {key}="{escape(_number(value) if isinstance(value, int | float) else value)}"'
        for key, value in attributes.items()
        if value is not None
    ]
    inner = "".join(str(escape(child)) for child in children)
    return Markup(f"<{name}{''.join(parts)}>{inner}</{name}>")  # noqa: S704 - every part is escaped above


def group(children: Iterable[Markup], css: str = "") -> Markup:
    """Return a ``g`` of ``children`` with the classes ``css``."""
    return element("g", {"class": css or None}, *children)


def root(width: float, height: float, label: str, children: Iterable[Markup]) -> Markup:
    """Return the svg element, an image to assistive technology, described by ``label``."""
    box = f"0 0 {_number(width)} {_number(height)}"
    return element("svg", {"viewBox": box, "role": "img", "aria-label": label}, *children)


def line(x1: float, y1: float, x2: float, y2: float, css: str) -> Markup:
    """Return a straight line."""
    return element("line", {"x1": x1, "y1": y1, "x2": x2, "y2": y2, "class": css})


def rect(
    x: float, y: float, width: float, height: float, css: str, title: str = "", radius: float = 0
) -> Markup:
    """Return a rectangle; negative sizes count as zero."""
    shape = {"x": x, "y": y, "width": max(width, 0), "height": max(height, 0), "class": css}
    return element("rect", {**shape, "rx": radius or None}, *_title(title))


def text(x: float, y: float, content: str, css: str = "", anchor: str = "start") -> Markup:
    """Return a text; ``anchor`` is start, middle or end."""
    return element(
        "text",
        {"x": x, "y": y, "class": css or None, "text-anchor": None if anchor == "start" else anchor},
        content,
    )


def path(points: Sequence[tuple[float, float]], css: str, *, closed: bool = False) -> Markup:
    """Return a polyline, or a polygon when ``closed``."""
    steps = " ".join(f"{'M' if i == 0 else 'L'}{_number(x)} {_number(y)}" for i, (x, y) in enumerate(points))
    return element("path", {"d": steps + (" Z" if closed else ""), "class": css})


def marker(x: float, y: float, shape: str, css: str, title: str = "", size: float = 5) -> Markup:
    """Return a data point; shapes (circle, square, triangle, diamond, cross) tell series apart without colour."""
    s = size
    if shape == "circle":
        return element("circle", {"cx": x, "cy": y, "r": s, "class": css}, *_title(title))
    corners = {
        "square": [(-0.88, -0.88), (0.88, -0.88), (0.88, 0.88), (-0.88, 0.88)],
        "triangle": [(0, -1.15), (1.1, 0.85), (-1.1, 0.85)],
        "diamond": [(0, -1.25), (1.1, 0), (0, 1.25), (-1.1, 0)],
    }
    if shape == "cross":
        d = f"M{_number(x - s)} {_number(y - s)} l{2 * s} {2 * s} m0 {-2 * s} l{-2 * s} {2 * s}"
    else:
        path_points = [f"{_number(x + s * dx)} {_number(y + s * dy)}" for dx, dy in corners[shape]]
        d = "M" + " L".join(path_points) + " Z"
    return element("path", {"d": d, "class": css}, *_title(title))


def ticks(low: float, high: float, about: int) -> list[float]:
    """Return round numbers within [low, high], roughly ``about`` of them, in steps of 1, 2 or 5 times a power of 10."""
    if not high > low:
        return [low]
    raw = (high - low) / max(about, 1)
    magnitude = 10.0 ** math.floor(math.log10(raw))
    step = next(factor * magnitude for factor in (1, 2, 5, 10) if factor * magnitude >= raw * 0.999)
    first = math.ceil(low / step - 1e-9)
    last = math.floor(high / step + 1e-9)
    return [round(i * step, 10) for i in range(first, last + 1)]


def spread(positions: Sequence[float], gap: float, low: float, high: float) -> list[float]:
    """Return ``positions`` moved apart to at least ``gap``, in the same order and, if they fit, within [low, high]."""
    order = sorted(range(len(positions)), key=lambda i: positions[i])
    placed = [0.0] * len(positions)
    previous = low - gap
    for i in order:
        previous = placed[i] = max(positions[i], previous + gap)
    limit = high
    for i in reversed(order):
        placed[i] = min(placed[i], limit)
        limit = placed[i] - gap
    return placed


def _title(title: str) -> list[Markup]:
    return [element("title", {}, title)] if title else []


def _number(value: float) -> str:
    return f"{value:.2f}".rstrip("0").rstrip(".") if isinstance(value, float) else str(value)
