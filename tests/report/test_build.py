"""What a report says: numbers against slow counts, and sentences that claim no more than the interval allows."""

import random
from dataclasses import replace
from statistics import NormalDist

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from autosel_runtime.errors import DataError
from autosel_runtime.recipe import mask as masks
from autosel_runtime.report.build import build_report
from autosel_runtime.report.distributions import BINS, histogram, source_mix
from autosel_runtime.report.inputs import Chosen, ReportInputs, SearchProgress
from autosel_runtime.report.model import report_json
from autosel_runtime.report.scores import ItemStatistics, normal_estimate
from tests.report.sample import (
    TASKS,
    SimpleStatistics,
    baselines,
    columns,
    item_scores,
    sample_report,
    search_document,
    trials,
)

FINITE = st.floats(-1e6, 1e6, width=32)


@given(
    values=arrays(np.float32, st.integers(1, 60), elements=st.one_of(FINITE, st.just(float("nan")))),
    seed=st.integers(0, 99),
)
def test_histogram_counts_every_row_once(values: np.ndarray, seed: int):
    chosen = np.random.default_rng(seed).random(len(values)) < 0.5
    found = histogram("x", values, chosen)
    assert sum(found.pool) + found.pool_missing == len(values)
    assert sum(found.subset) + found.subset_missing == int(chosen.sum())
    assert all(subset <= pool for subset, pool in zip(found.subset, found.pool, strict=True))
    if found.edges:
        assert len(found.edges) == len(found.pool) + 1 == len(found.subset) + 1 == BINS + 1
        assert all(low < high for low, high in zip(found.edges, found.edges[1:], strict=False))


def test_histogram_bins_against_a_loop():
    rng = np.random.default_rng(0)
    values = rng.normal(size=500).astype(np.float32)
    chosen = rng.random(500) < 0.3
    found = histogram("x", values, chosen)
    for k in range(1, BINS - 1):
        low, high = found.edges[k], found.edges[k + 1]
        assert found.pool[k] == sum(low <= float(v) < high for v in values)
        assert found.subset[k] == sum(
            low <= float(v) < high for v, c in zip(values, chosen, strict=True) if c
        )


def test_source_mix_adds_up():
    pool = columns(777)
    bits = np.random.default_rng(1).random(777) < 0.4
    mix = source_mix(pool, masks.from_bools(bits))
    assert sum(source.pool_rows for source in mix) == 777
    assert sum(source.subset_rows for source in mix) == int(bits.sum())
    assert sum(source.pool_share for source in mix) == pytest.approx(1)
    assert sum(source.subset_share or 0 for source in mix) == pytest.approx(1)


def _finished(lifts: tuple[float, ...], **changes: object):
    found = trials(9, 1_000)
    reference = baselines(1_000, 300)
    top = max((t for t in found if t.score), key=lambda t: t.score or 0)
    names = [top.name, *(t.name for t in reference)]
    items = {
        n: item_scores(TASKS, lift, 100 + i) for i, (n, lift) in enumerate(zip(names, lifts, strict=True))
    }
    inputs = ReportInputs(
        progress=SearchProgress(state="finished"), trials=(*found, *reference), items=items, **changes
    )
    return search_document(), inputs, top


def test_gain_is_the_paired_difference_and_keeps_its_sign():
    search, inputs, top = _finished((0.05, 0.0, 0.05, -0.05))
    report = build_report(search, inputs)
    oracle = SimpleStatistics()
    for gain in report.gains:
        expected = oracle.paired(inputs.items[top.name], inputs.items[gain.baseline], {}, 0.95)
        assert gain.difference.value == pytest.approx(expected.value)
        assert gain.difference.low == pytest.approx(expected.low)
        low, high = gain.difference.low or 0.0, gain.difference.high or 0.0
        assert gain.conclusive == (low > 0 or high < 0)
    assert [gain.role for gain in report.gains] == ["full_pool", "random_subset", "untuned"]


def _with(search, **evaluation):
    spec = search.spec
    changed = spec.evaluation.model_copy(update=evaluation)
    return search.model_copy(update={"spec": spec.model_copy(update={"evaluation": changed})})


@pytest.mark.parametrize("confidence", [0.8, 0.95, 0.99])
def test_every_interval_has_the_level_of_the_document(confidence: float):
    search, inputs, top = _finished((0.05, 0.0, 0.05, -0.05))
    report = build_report(_with(search, confidence=confidence), inputs)
    oracle = SimpleStatistics()
    for gain in report.gains:
        expected = oracle.paired(inputs.items[top.name], inputs.items[gain.baseline], {}, confidence)
        assert (gain.difference.low, gain.difference.high) == pytest.approx((expected.low, expected.high))
    for half in report.report_half:
        expected = oracle.mean(inputs.items[half.trial], {}, confidence)
        assert half.overall is not None
        assert (half.overall.low, half.overall.high) == pytest.approx((expected.low, expected.high), abs=2e-3)
    scored = {trial.name: trial for trial in inputs.trials if trial.score is not None}
    for trial in report.trials:
        if trial.name in scored and trial.score is not None:
            given, z = scored[trial.name], NormalDist().inv_cdf((1 + confidence) / 2)
            reach = z * (given.stderr or 0.0)
            low, high = max(0.0, (given.score or 0.0) - reach), min(1.0, (given.score or 0.0) + reach)
            assert (trial.score.low, trial.score.high) == pytest.approx((low, high))


def test_gains_weigh_the_tasks_as_the_document_says():
    search, inputs, top = _finished((0.05, 0.0, 0.05, -0.05))
    tasks = search.spec.evaluation.tasks
    weights = {task.name: float(place**2) for place, task in enumerate(tasks, start=1)}
    changed = [task.model_copy(update={"weight": weights[task.name]}) for task in tasks]
    plain, weighted = build_report(search, inputs), build_report(_with(search, tasks=changed), inputs)
    oracle = SimpleStatistics()
    for gain in weighted.gains:
        expected = oracle.paired(inputs.items[top.name], inputs.items[gain.baseline], weights, 0.95)
        assert gain.difference.value == pytest.approx(expected.value)
    assert [gain.difference.value for gain in weighted.gains] != [
        gain.difference.value for gain in plain.gains
    ]


def test_headline_says_beats_only_when_the_interval_excludes_zero():
    better = build_report(*_finished((0.08, 0.0, 0.0, 0.0))[:2])
    assert "beats the full pool" in better.headline
    equal = build_report(*_finished((0.0, 0.0, 0.0, 0.0))[:2])
    assert equal.headline.startswith("No proven gain")
    assert "includes zero" in equal.headline
    worse = build_report(*_finished((0.0, 0.08, 0.0, 0.0))[:2])
    assert worse.headline.startswith("No recipe found beats the full pool")


def test_inconclusive_secondary_gain_is_a_warning():
    report = build_report(*_finished((0.08, 0.0, 0.08, 0.0))[:2])
    assert any("random subset" in warning and "includes zero" in warning for warning in report.warnings)


def test_headline_of_a_running_search_speaks_of_the_search_half():
    report = sample_report("running", rows=1_000)
    assert report.headline.startswith("After ")
    assert "on the search half; unseen items are scored when the search ends" in report.headline
    assert report.gains == ()


def test_nothing_succeeded():
    report = sample_report("none", rows=500)
    assert report.headline.startswith("The search failed before any trial succeeded")
    assert report.incumbent is None
    assert report.curve == ()


def test_curve_is_the_running_maximum():
    report = sample_report("many", rows=500)
    values = {trial.name: trial.score.value for trial in report.trials if trial.score}
    best = -1.0
    for point in report.curve:
        best = max(best, values[point.trial])
        assert point.score.value == best
        assert values[point.incumbent] == best
    assert report.budget.evaluations == len(report.curve)


def test_order_of_inputs_does_not_matter():
    search, inputs, _ = _finished((0.05, 0.0, 0.05, -0.05))
    shuffled = list(inputs.trials)
    random.Random(4).shuffle(shuffled)
    other = replace(inputs, trials=tuple(shuffled), items=dict(reversed(list(inputs.items.items()))))
    assert report_json(build_report(search, inputs)) == report_json(build_report(search, other))


def test_chosen_overrides_the_best_score_and_why_is_a_sentence():
    search, inputs, _ = _finished((0.0, 0.0, 0.0, 0.0))
    given_choice = replace(inputs, chosen=Chosen(trial="math-001", why="highest posterior mean"), items={})
    report = build_report(search, given_choice)
    assert report.incumbent is not None
    assert (report.incumbent.trial, report.incumbent.why) == ("math-001", "Highest posterior mean.")


def test_baseline_with_other_items_is_compared_on_shared_ones_with_a_warning():
    search, inputs, top = _finished((0.08, 0.0, 0.0, 0.0))
    cut = {task: dict(list(scores.items())[:100]) for task, scores in inputs.items["baseline-random"].items()}
    report = build_report(search, replace(inputs, items={**inputs.items, "baseline-random": cut}))
    gain = next(gain for gain in report.gains if gain.role == "random_subset")
    assert gain.difference.items == 400
    assert any("baseline-random shares 400 items" in warning for warning in report.warnings)
    assert top.name in inputs.items


def test_unknown_trial_is_refused():
    search, inputs, _ = _finished((0.0, 0.0, 0.0, 0.0))
    with pytest.raises(DataError, match="'ghost' is not among the trials"):
        build_report(search, replace(inputs, items={**inputs.items, "ghost": {}}))


def test_mask_needs_columns():
    search, inputs, _ = _finished((0.0, 0.0, 0.0, 0.0))
    with pytest.raises(DataError, match="needs the columns"):
        build_report(search, replace(inputs, mask=masks.full(8)))


def test_mask_of_another_pool_is_refused():
    search, inputs, _ = _finished((0.0, 0.0, 0.0, 0.0))
    with pytest.raises(DataError, match="chosen subset is no mask over 300 rows"):
        build_report(search, replace(inputs, columns=columns(300), mask=masks.full(1_000)))


def test_cost_is_the_sum_over_all_steps():
    search, inputs, _ = _finished((0.0, 0.0, 0.0, 0.0))
    report = build_report(search, inputs)
    for total in report.cost:
        uses = [use for trial in inputs.trials for use in trial.use if use.step == total.step]
        assert total.seconds == pytest.approx(sum(use.seconds for use in uses))
        assert total.runs == sum(use.runs for use in uses)
        assert (total.tokens or 0) == sum(use.tokens or 0 for use in uses)
    order = [use.step for use in report.cost]
    assert order == [
        s for s in ("prepare", "score", "suggest", "materialize", "train", "evaluate") if s in order
    ]


def test_overall_score_is_unknown_while_a_task_is_missing():
    search, inputs, top = _finished((0.0, 0.0, 0.0, 0.0))
    part = {task: scores for task, scores in inputs.items[top.name].items() if task != "bbh"}
    report = build_report(search, replace(inputs, items={**inputs.items, top.name: part}))
    half = next(half for half in report.report_half if half.trial == top.name)
    assert half.overall is None
    assert set(half.tasks) == {"gpqa", "gsm8k", "mmlu"}
    assert report.gains == ()


@given(score=st.floats(0, 1), error=st.floats(0, 0.5), level=st.floats(0.5, 0.999))
def test_normal_interval_holds_the_score_and_stays_in_range(score: float, error: float, level: float):
    found = normal_estimate(score, error, level)
    assert found.low is not None
    assert found.high is not None
    assert 0 <= found.low <= score <= found.high <= 1


def test_statistics_of_the_product_agree_with_the_oracle():
    first, second = item_scores(TASKS, 0.05, 1), item_scores(TASKS, 0.0, 2)
    weights = {"gpqa": 2.0, "gsm8k": 1.0, "bbh": 0.5, "mmlu": 1.0}
    for name in ("mean", "paired"):
        args = (first,) if name == "mean" else (first, second)
        found = getattr(ItemStatistics(), name)(*args, weights, 0.9)
        expected = getattr(SimpleStatistics(), name)(*args, weights, 0.9)
        assert found.value == pytest.approx(expected.value)
        assert found.stderr == pytest.approx(expected.stderr)
        assert found.low == pytest.approx(expected.low)
        assert found.items == expected.items
