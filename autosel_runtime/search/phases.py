"""Phases: which recipe is the anchor, how long nothing improved, when to reseed. A pure fold over the history.

The fold reads trials by ordinal, never by the time they finished. Failed and invalid trials are as if they had
never been proposed. In-flight trials of an old phase do not count for the new one, so a reseed happens once.

Notation
    e          a pair of a scored trial and its scored parent;  gain_e  the difference of their scores, 0..1
    C_e        operators that the edits between both put in, moved, tuned (sign +1) or took out (sign -1)
    E_o        pairs whose C_e has operator o
    g_o        credit of o:  sum over E_o of sign gain_e / |C_e|, over (|E_o| + 1)

The 1 is CREDIT_SHRINKAGE, pseudo-observations of no gain: with one pair, half of its gain is believed.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from autosel_runtime.api.search import Recipe
from autosel_runtime.errors import DataError
from autosel_runtime.search.difference import difference
from autosel_runtime.search.history import TrialRecord

CREDIT_SHRINKAGE = 1.0  # pseudo-observations of zero credit for every operator


@dataclass(frozen=True, kw_only=True)
class Phase:
    """Where the search stands.

    ``anchor`` is the trial whose neighbourhood is explored: the best warm-up trial in phase 0, the reseed trial
    (also while it is still pending) in later ones; None when there is none yet. ``previous_anchors`` are those of
    earlier phases. ``stagnation`` counts succeeded trials of this phase, warm-up and reseed trials apart, since
    the last improvement. ``reseed_due`` says that the next proposal opens phase ``number`` with a new anchor.
    """

    number: int
    anchor: TrialRecord | None
    previous_anchors: tuple[TrialRecord, ...]
    stagnation: int
    reseed_due: bool


def alive(history: Sequence[TrialRecord]) -> list[TrialRecord]:
    """Return pending and succeeded trials by ordinal; DataError for a succeeded trial without a usable score."""
    return [r for r in ordered(history) if r.state in ("pending", "succeeded")]


def succeeded(history: Sequence[TrialRecord]) -> list[tuple[TrialRecord, float]]:
    """Return succeeded trials by ordinal with their scores; DataError for a score that is missing or not in
    0..1, NaN included."""
    return [(r, _score(r)) for r in ordered(history) if r.state == "succeeded"]


def ordered(history: Sequence[TrialRecord]) -> list[TrialRecord]:
    """Return the history by ordinal; DataError when two trials share one."""
    records = sorted(history, key=lambda r: r.ordinal)
    for one, two in pairwise(records):
        if one.ordinal == two.ordinal:
            raise DataError(f"history: two trials have ordinal {one.ordinal}; ordinals must differ")
    return records


def current_phase(history: Sequence[TrialRecord], *, patience: int, min_improvement: float) -> Phase:
    """Fold the history into the current phase."""
    records = alive(history)
    number = max((r.phase for r in records), default=0)
    anchors = [anchor for p in range(number + 1) if (anchor := _anchor(records, p)) is not None]
    anchor = _anchor(records, number)
    best, stagnation = float("-inf"), 0
    for record, score in succeeded(history):
        improved = score > best + min_improvement
        best = score if improved else best
        if record.phase != number or record.origin in ("seed", "warmup", "reseed"):
            continue
        stagnation = 0 if improved else stagnation + 1
    due = stagnation >= patience
    if due:
        return Phase(
            number=number + 1,
            anchor=None,
            previous_anchors=tuple(anchors),
            stagnation=stagnation,
            reseed_due=True,
        )
    earlier = tuple(a for a in anchors if anchor is None or a.ordinal != anchor.ordinal)
    return Phase(
        number=number,
        anchor=anchor,
        previous_anchors=earlier,
        stagnation=stagnation,
        reseed_due=False,
    )


def operator_credit(history: Sequence[TrialRecord]) -> Mapping[str, float]:
    """Return mean gain of a child over its parent by operator that the edits added, moved, tuned or removed.

    A removed operator is credited with minus the gain. A step that only stands elsewhere because another was put
    before it has no part. Gains are shared among the changed operators and shrunk towards zero by one
    pseudo-observation, since a difference of two scores is mostly noise.
    """
    scored = {r.ordinal: (r, score) for r, score in succeeded(history)}
    total: dict[str, float] = {}
    count: dict[str, int] = {}
    for record, score in scored.values():
        if record.parent is None or record.parent not in scored:
            continue
        parent, base = scored[record.parent]
        changed = _changed_operators(parent.recipe, record.recipe)
        for name, sign in sorted(changed.items()):
            total[name] = total.get(name, 0.0) + sign * (score - base) / len(changed)
            count[name] = count.get(name, 0) + 1
    return {name: total[name] / (count[name] + CREDIT_SHRINKAGE) for name in sorted(total)}


def _changed_operators(parent: Recipe, child: Recipe) -> Mapping[str, float]:
    """Return 1 for operators that were put in, moved or tuned, -1 for those that are gone."""
    edits = difference(parent, child)
    swapped = {
        child.steps[i].operator for e in edits if e.kind == "swap" for i in (e.old, e.new) if i is not None
    }
    gone = {parent.steps[e.old].operator for e in edits if e.old is not None}
    come = {child.steps[e.new].operator for e in edits if e.new is not None}
    return {**dict.fromkeys(gone, -1.0), **dict.fromkeys(come | swapped, 1.0)}


def _anchor(records: Sequence[TrialRecord], phase: int) -> TrialRecord | None:
    if phase > 0:
        reseeds = [r for r in records if r.phase == phase and r.origin == "reseed"]
        return reseeds[0] if reseeds else None
    scored = [(r, _score(r)) for r in records if r.phase == 0 and r.state == "succeeded"]
    warm = [(r, s) for r, s in scored if r.origin in ("seed", "warmup")] or scored
    return max(warm, key=lambda pair: (pair[1], -pair[0].ordinal))[0] if warm else None


def _score(record: TrialRecord) -> float:
    score = record.score
    if score is None or not 0.0 <= score <= 1.0:
        raise DataError(
            f"history: trial {record.ordinal} succeeded with score {score}; a score is a number from 0 to 1"
        )
    return float(score)
