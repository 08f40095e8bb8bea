"""Anchor, stagnation, reseeding and credit: a fold over the history."""

import random
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autosel_runtime.api.search import Recipe, RecipeStep
from autosel_runtime.errors import DataError
from autosel_runtime.search.history import Origin, TrialRecord, TrialState
from autosel_runtime.search.phases import current_phase, operator_credit


def trial(
    ordinal: int,
    score: float | None,
    *,
    origin: Origin = "edit",
    phase: int = 0,
    parent: int | None = None,
    state: TrialState | None = None,
    operators: tuple[str, ...] = ("ifd_filter",),
) -> TrialRecord:
    steps = [RecipeStep(operator=name, params={"fraction": 0.5}) for name in operators]
    return TrialRecord(
        ordinal=ordinal,
        recipe=Recipe(steps=steps),
        recipe_digest=f"r{ordinal}",
        subset_digest=f"s{ordinal}",
        size=10,
        state_vector={},
        origin=origin,
        phase=phase,
        parent=parent,
        state=state or ("pending" if score is None else "succeeded"),
        score=score,
        stderr=None if score is None else 0.01,
    )


def phase(history: list[TrialRecord], patience: int = 2, min_improvement: float = 0.0):
    return current_phase(history, patience=patience, min_improvement=min_improvement)


WARM = [trial(0, 0.3, origin="warmup"), trial(1, 0.5, origin="warmup"), trial(2, 0.4, origin="warmup")]


def test_anchor_is_the_best_probe_and_stays_when_something_better_is_found() -> None:
    assert phase(WARM).anchor == WARM[1]
    assert phase([*WARM, trial(3, 0.9)]).anchor == WARM[1]


def test_stagnation_counts_only_trials_without_improvement() -> None:
    assert phase([*WARM, trial(3, 0.45)]).stagnation == 1
    assert phase([*WARM, trial(3, 0.45), trial(4, 0.6)]).stagnation == 0
    assert phase([*WARM, trial(3, 0.505)], min_improvement=0.01).stagnation == 1
    assert phase([*WARM, trial(3, 0.5)]).stagnation == 1, "a tie is no improvement"


def test_reseeding_opens_one_phase_whose_anchor_is_the_reseed_even_while_pending() -> None:
    stuck = [*WARM, trial(3, 0.4), trial(4, 0.4)]
    due = phase(stuck)
    assert due.reseed_due
    assert due.number == 1
    assert due.previous_anchors == (WARM[1],)
    opened = [*stuck, trial(5, None, origin="reseed", phase=1)]
    now = phase(opened)
    assert not now.reseed_due
    assert now.anchor is not None
    assert now.anchor.ordinal == 5
    late = [*opened, trial(6, 0.1, phase=0), trial(7, 0.1, phase=0)]
    assert not phase(late).reseed_due, "trials of the old phase do not reseed again"


def test_a_reseed_that_fails_is_proposed_again() -> None:
    stuck = [*WARM, trial(3, 0.4), trial(4, 0.4), trial(5, None, origin="reseed", phase=1, state="failed")]
    assert phase(stuck).reseed_due


@pytest.mark.parametrize("score", [float("nan"), None, 1.5, -0.1, float("inf")])
def test_a_score_that_is_none_is_refused(score: float | None) -> None:
    broken = replace(trial(3, 0.5), score=score)
    with pytest.raises(DataError, match="trial 3"):
        phase([*WARM, broken])


def test_two_trials_with_one_ordinal_are_refused() -> None:
    with pytest.raises(DataError, match="ordinal 1"):
        phase([*WARM, trial(1, 0.2)])


scores = st.one_of(st.none(), st.floats(0, 1))


@settings(max_examples=60, deadline=None)
@given(st.lists(scores, max_size=12), st.lists(st.integers(0, 11), max_size=4), st.integers(0, 99))
def test_order_and_failures_change_nothing(values: list[float | None], broken: list[int], seed: int) -> None:
    history = [*WARM, *(trial(3 + i, value, parent=1) for i, value in enumerate(values))]
    failures = [trial(100 + i, None, state="failed", parent=1) for i in broken[:1]]
    mixed = [*history, *failures]
    random.Random(seed).shuffle(mixed)
    assert phase(mixed) == phase(history)
    assert operator_credit(mixed) == operator_credit(history)


def test_credit_is_shared_signed_and_shrunk() -> None:
    child = trial(3, 0.7, parent=1, operators=("quality_filter",))
    credit = operator_credit([*WARM, child])
    assert credit["quality_filter"] == pytest.approx(0.1 / 2)
    assert credit["ifd_filter"] == pytest.approx(-0.1 / 2)


FOUR = ("ifd_filter", "quality_filter", "words_filter", "semantic_dedup")


@pytest.mark.parametrize(
    ("operators", "changed"),
    [
        (("random_subset", *FOUR), {"random_subset": 1}),
        ((FOUR[0], "random_subset", *FOUR[1:]), {"random_subset": 1}),
        (FOUR[1:], {"ifd_filter": -1}),
        ((FOUR[1], FOUR[0], *FOUR[2:]), {"ifd_filter": 1, "quality_filter": 1}),
        ((FOUR[3], FOUR[1], FOUR[2], FOUR[0]), {"ifd_filter": 1, "semantic_dedup": 1}),
        ((*FOUR[:3], "random_subset"), {"random_subset": 1, "semantic_dedup": -1}),
        ((*FOUR[1:], "ifd_filter"), {"ifd_filter": 1}),
        (FOUR, {}),
    ],
)
def test_only_what_an_edit_touched_is_credited(operators: tuple[str, ...], changed: dict[str, int]) -> None:
    parent, child = trial(1, 0.5, operators=FOUR), trial(3, 0.7, parent=1, operators=operators)
    credit = operator_credit([parent, child])
    expected = {name: pytest.approx(sign * 0.2 / len(changed) / 2) for name, sign in changed.items()}
    assert credit == expected


def test_a_retuned_operator_alone_is_credited() -> None:
    parent = trial(1, 0.5, operators=FOUR)
    steps = list(parent.recipe.steps)
    steps[2] = RecipeStep(operator=steps[2].operator, params={"fraction": 0.4})
    child = replace(trial(3, 0.4, parent=1), recipe=Recipe(steps=steps))
    assert operator_credit([parent, child]) == {"words_filter": pytest.approx(-0.1 / 2)}
