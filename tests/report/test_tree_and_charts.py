"""The tree of recipes, and the geometry under the charts."""

import math
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from autosel_runtime.report import svg
from autosel_runtime.report.formats import percent, points, shorten, signed_points
from autosel_runtime.report.lineage import lineage
from autosel_runtime.report.model import Trial


def _trial(ordinal: int, phase: int, parent: int | None) -> Trial:
    return Trial(
        name=f"t{ordinal}", ordinal=ordinal, role="search", state="pending", origin="edit", phase=phase, parent=parent,
        words="x",
    )  # fmt: skip


@given(st.lists(st.tuples(st.integers(0, 3), st.one_of(st.none(), st.integers(0, 30))), max_size=30))
def test_every_trial_stands_once_and_below_its_parent(rows: list[tuple[int, int | None]]):
    trials = [_trial(i, phase, parent) for i, (phase, parent) in enumerate(rows)]
    phases = lineage(trials)
    seen = [branch.trial.ordinal for phase in phases for branch in phase.branches]
    assert sorted(seen) == list(range(len(rows)))
    for phase in phases:
        path: list[int] = []
        for branch in phase.branches:
            assert branch.trial.phase == phase.number
            assert len(branch.guides) == branch.depth
            del path[branch.depth :]
            parent = branch.trial.parent
            attached = (
                parent is not None and parent < branch.trial.ordinal and trials[parent].phase == phase.number
            )
            assert (path[-1] == parent) if attached else branch.depth == 0
            path.append(branch.trial.ordinal)


def test_a_chain_of_a_thousand_edits():
    (phase,) = lineage([_trial(i, 0, i - 1 if i else None) for i in range(1000)])
    assert phase.branches[-1].depth == 999


@given(st.floats(-1e6, 1e6), st.floats(1e-6, 1e6), st.integers(1, 12))
def test_ticks_are_round_inside_and_not_too_many(low: float, span: float, about: int):
    high = low + span
    found = svg.ticks(low, high, about)
    assert len(found) <= 2 * about + 2
    assert all(low - 1e-6 * span - 1e-9 <= tick <= high + 1e-6 * span + 1e-9 for tick in found)
    assert found == sorted(found)


@given(st.lists(st.floats(0, 100), min_size=1, max_size=5))
def test_spread_keeps_order_and_distance(positions: list[float]):
    found = svg.spread(positions, 15, 0, 100)
    order = sorted(range(len(positions)), key=lambda i: positions[i])
    for one, other in pairwise(order):
        assert found[other] - found[one] >= 15 - 1e-9
    assert max(found) <= 100


@given(st.text(max_size=50), st.integers(5, 30))
def test_shorten_fits(text: str, length: int):
    found = shorten(text, length)
    assert len(found) <= length
    assert (found == text) == (len(text) <= length or found == text)


def test_numbers_read_well():
    assert points(0.4223) == "42.2"
    assert signed_points(-0.0004) == "0.0"
    assert signed_points(0.018) == "+1.8"
    assert signed_points(-0.018) == "−1.8"
    assert percent(0.4).startswith("40")
    assert percent(0.00004).startswith("0.004")
    assert percent(0.0).startswith("0")


@given(st.text(max_size=20))
def test_elements_escape(text: str):
    found = svg.text(1.0, 2.0, text, text)
    assert found.count("<") == 2
    assert math.isfinite(len(found))
