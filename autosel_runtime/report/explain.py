"""Which samples differ between two subsets, where they come from, and since which step.

Notation
    A, B     the two subsets;  only A, only B, both: the three regions of their union
    q        quarter of the pool's order by a signal: 1 lowest, 4 highest
    p(x)     place of a row in that order, 0 lowest to 1 highest
    d        separation of a signal: mean p over only A minus mean p over only B, in −1..1
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from autosel_runtime.api.search import Recipe, RecipeStep
from autosel_runtime.digest import canonical_json
from autosel_runtime.errors import DataError
from autosel_runtime.recipe import mask as masks
from autosel_runtime.recipe.columns import Columns, Scalar
from autosel_runtime.recipe.model import Mask, StepTrace
from autosel_runtime.report.model import Part
from autosel_runtime.report.words import step_words

EXAMPLES = 20
QUARTERS = 4
TEXT_LENGTH = 160

Region = Literal["only_a", "only_b", "both"]


@dataclass(frozen=True, kw_only=True)
class Side:
    """One of the two subsets: its trial's name, recipe, mask and trace (empty when unknown)."""

    name: str
    recipe: Recipe
    mask: Mask
    trace: tuple[StepTrace, ...] = ()


@dataclass(frozen=True, kw_only=True)
class SampleText:
    """What is shown of a sample: its id and its text."""

    id: str
    text: str


# rows -> their texts, in the same order
ReadSamples = Callable[[Sequence[int]], Sequence[SampleText]]


class Counts(Part):
    """Rows by region."""

    only_a: int = Field(description="Rows in A alone.")
    only_b: int = Field(description="Rows in B alone.")
    both: int = Field(description="Rows in both.")


class SourceCounts(Counts):
    """Rows of one source by region."""

    source: str = Field(description="Source name.")


class SignalQuarters(Part):
    """How one signal spreads over the regions. Quarters are those of the pool; rows without a value are missing."""

    signal: str = Field(description="Signal name.")
    separation: float | None = Field(description="d; null when a region that differs has no value.")
    only_a: tuple[int, ...] = Field(description="Rows of A alone by quarter, lowest first.")
    only_b: tuple[int, ...] = Field(description="Rows of B alone by quarter.")
    both: tuple[int, ...] = Field(description="Rows in both by quarter.")
    missing: Counts = Field(description="Rows without a value.")


class StepDifference(Part):
    """The first step at which the two recipes part."""

    step: int = Field(description="Number of the step, from 1.")
    a: str | None = Field(description="The step of A in words; null when A has no such step.")
    b: str | None = Field(description="The step of B in words.")
    kept_a: int | None = Field(description="Samples after that step in A, when its trace is known.")
    kept_b: int | None = Field(description="Samples after that step in B.")


class Example(Part):
    """One sample that only one of the subsets has."""

    region: Region = Field(description="only_a or only_b.")
    row: int = Field(description="Pool row.")
    id: str = Field(description="Sample id.")
    source: str = Field(description="Source name.")
    text: str = Field(description="Beginning of the text, white space collapsed.")
    signals: dict[str, float] = Field(description="Values of the signals that separate the subsets most.")
    dropped: str | None = Field(
        default=None, description="Why the other subset lacks it, when its trace says so."
    )


class Explanation(Part):
    """How two subsets differ."""

    schema_name: Literal["autosel.dev/explanation/v1"] = Field(
        default="autosel.dev/explanation/v1", alias="schema", description="Version of this contract."
    )
    a: str = Field(description="Name of A.")
    b: str = Field(description="Name of B.")
    rows: int = Field(description="Rows of the pool.")
    counts: Counts = Field(description="Rows by region.")
    jaccard: float = Field(description="Rows in both over rows in either; 1 for two empty subsets.")
    first_difference: StepDifference | None = Field(description="Null for equal recipes.")
    sources: tuple[SourceCounts, ...] = Field(description="Regions by source, in pool order.")
    signals: tuple[SignalQuarters, ...] = Field(description="Regions by signal, the most separating first.")
    examples: tuple[Example, ...] = Field(description="Samples that only one subset has.")


def explain(
    a: Side, b: Side, columns: Columns, read: ReadSamples, *, examples: int = EXAMPLES
) -> Explanation:
    """Return how the subsets of ``a`` and ``b`` differ.

    At most ``examples`` samples are read through ``read``, shared between the two sides. DataError when a mask does
    not fit the pool.
    """
    masks.check(a.mask, columns.rows, f"the subset of {a.name}")
    masks.check(b.mask, columns.rows, f"the subset of {b.name}")
    regions: dict[Region, Mask] = {
        "only_a": masks.without(a.mask, b.mask),
        "only_b": masks.without(b.mask, a.mask),
        "both": masks.both(a.mask, b.mask),
    }
    rows: dict[Region, NDArray[np.int64]] = {
        region: masks.rows_of(mask, columns.rows) for region, mask in regions.items()
    }
    counts = Counts(**{region: len(found) for region, found in rows.items()})
    signals = _signals(columns, rows)
    either = counts.only_a + counts.only_b + counts.both
    return Explanation(
        a=a.name,
        b=b.name,
        rows=columns.rows,
        counts=counts,
        jaccard=counts.both / either if either else 1.0,
        first_difference=first_difference(a, b),
        sources=_sources(columns, rows),
        signals=signals,
        examples=_examples(a, b, columns, rows, [item.signal for item in signals[:3]], read, examples),
    )


def first_difference(a: Side, b: Side) -> StepDifference | None:
    """Return the first step whose operator, parameters or number of kept samples differ; None for equal recipes."""
    length = max(len(a.recipe.steps), len(b.recipe.steps))
    for i in range(length):
        one, other = _step(a.recipe, i), _step(b.recipe, i)
        kept_one, kept_other = _kept(a, i), _kept(b, i)
        same = one is not None and other is not None and _key(one) == _key(other)
        if same and (kept_one is None or kept_other is None or kept_one == kept_other):
            continue
        return StepDifference(
            step=i + 1,
            a=None if one is None else step_words(one),
            b=None if other is None else step_words(other),
            kept_a=kept_one,
            kept_b=kept_other,
        )
    return None


def _step(recipe: Recipe, index: int) -> RecipeStep | None:
    return recipe.steps[index] if index < len(recipe.steps) else None


def _key(step: RecipeStep) -> bytes:
    return canonical_json([step.operator, step.params])


def _kept(side: Side, index: int) -> int | None:
    return side.trace[index].kept if index < len(side.trace) else None


def _sources(columns: Columns, rows: Mapping[Region, NDArray[np.int64]]) -> tuple[SourceCounts, ...]:
    width = len(columns.source_names)
    by = {region: np.bincount(columns.source_codes[found], minlength=width) for region, found in rows.items()}
    return tuple(
        SourceCounts(source=name, **{region: int(counts[i]) for region, counts in by.items()})
        for i, name in enumerate(columns.source_names)
    )


def _signals(columns: Columns, rows: Mapping[Region, NDArray[np.int64]]) -> tuple[SignalQuarters, ...]:
    found: list[SignalQuarters] = []
    for name in sorted(columns.names):
        try:
            column = columns.scalar(name)
        except DataError:
            continue  # groups, pairs or features, which have no order
        found.append(_quarters(name, column, columns.rows, rows))
    return tuple(sorted(found, key=lambda item: (-abs(item.separation or 0.0), item.signal)))


def _quarters(name: str, column: Scalar, n: int, rows: Mapping[Region, NDArray[np.int64]]) -> SignalQuarters:
    present = int(np.count_nonzero(column.ranks < n))
    counts: dict[Region, tuple[int, ...]] = {}
    missing: dict[Region, int] = {}
    places: dict[Region, float | None] = {}
    for region, found in rows.items():
        ranks = column.ranks[found].astype(np.int64)
        ranks = ranks[ranks < n]
        missing[region] = len(found) - len(ranks)
        quarters = np.bincount(ranks * QUARTERS // max(present, 1), minlength=QUARTERS)
        counts[region] = tuple(int(count) for count in quarters)
        places[region] = float((ranks.mean() + 0.5) / present) if len(ranks) else None
    first, second = places["only_a"], places["only_b"]
    return SignalQuarters(
        signal=name,
        separation=None if first is None or second is None else first - second,
        missing=Counts(**missing),
        **counts,
    )


def _examples(
    a: Side,
    b: Side,
    columns: Columns,
    rows: Mapping[Region, NDArray[np.int64]],
    signals: Sequence[str],
    read: ReadSamples,
    most: int,
) -> tuple[Example, ...]:
    first = min(len(rows["only_a"]), max(most - len(rows["only_b"]), (most + 1) // 2))
    wanted: list[tuple[Region, int]] = []
    reasons: dict[tuple[Region, int], str] = {}
    sides: list[tuple[Region, Side, int]] = [("only_a", b, first), ("only_b", a, most - first)]
    for region, other, number in sides:
        known = _reasons(other)
        for row in _pick(rows[region], known, number):
            wanted.append((region, row))
            if row in known:
                reasons[(region, row)] = known[row]
    texts = read([row for _, row in wanted]) if wanted else []
    if len(texts) != len(wanted):
        raise DataError(f"{len(wanted)} samples were asked for, {len(texts)} were read")
    return tuple(
        Example(
            region=region,
            row=row,
            id=sample.id,
            source=columns.source_names[int(columns.source_codes[row])],
            text=excerpt(sample.text),
            signals=_values(columns, signals, row),
            dropped=reasons.get((region, row)),
        )
        for (region, row), sample in zip(wanted, texts, strict=True)
    )


def _reasons(side: Side) -> dict[int, str]:
    """Return the reason of every dropped row that the trace names."""
    return {
        row: f"step {i + 1}, {step.operator}: {reason}"
        for i, step in enumerate(side.trace)
        for reason, examples in step.examples.items()
        for row in examples
    }


def _pick(rows: NDArray[np.int64], known: Mapping[int, str], number: int) -> list[int]:
    """Return ``number`` rows: first those whose reason is known, up to half, then evenly spread ones; ascending."""
    number = min(number, len(rows))
    explained = [int(row) for row in rows[np.isin(rows, list(known))]][: (number + 1) // 2] if known else []
    rest = np.setdiff1d(rows, explained)
    places = (
        np.linspace(0, len(rest) - 1, number - len(explained)).round().astype(np.int64) if len(rest) else []
    )
    return sorted({*explained, *(int(rest[place]) for place in places)})


def _values(columns: Columns, signals: Sequence[str], row: int) -> dict[str, float]:
    values = {name: float(columns.scalar(name).values[row]) for name in signals}
    return {name: value for name, value in values.items() if np.isfinite(value)}


def excerpt(text: str, length: int = TEXT_LENGTH) -> str:
    """Return the beginning of ``text`` on one line."""
    line = " ".join(text.split())
    return line if len(line) <= length else line[: length - 1] + "…"
