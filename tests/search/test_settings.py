"""Every setting of the search is obeyed: one check a field of the API, so that none can be ignored unnoticed."""

from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from statistics import NormalDist
from typing import Any

import numpy as np
import pytest

from autosel_runtime.api.search import LlmEndpoint, Recipe, RecipeStep, SearchSettings
from autosel_runtime.search.diagnostics import CandidateRow, ProposalDiagnostics
from autosel_runtime.search.history import TrialRecord
from autosel_runtime.search.incumbent import model_of, point_of
from tests.search.worlds import World

WISH = Recipe(steps=[RecipeStep(operator="quality_filter", params={"fraction": 0.5})])
BASE = SearchSettings(min_samples=8, candidates=8)


@pytest.fixture(scope="module")
def finished() -> tuple[World, list[TrialRecord]]:
    world = World()
    return world, world.run(BASE, 9)


def with_(**changes: Any) -> SearchSettings:
    return BASE.model_copy(update=changes)


def next_of(finished: tuple[World, list[TrialRecord]], settings: SearchSettings) -> ProposalDiagnostics:
    world, history = finished
    patient = settings.model_copy(update={"patience": 1000})
    _, diagnostics = World(masks=dict(world.masks)).ask(patient, history)
    return diagnostics.proposals[0]


def known(row: CandidateRow) -> tuple[float, float]:
    assert row.mean is not None
    assert row.deviation is not None
    return row.mean, row.deviation


def expected_improvement(row: CandidateRow, best: float, margin: float) -> float:
    (mean, deviation), normal = known(row), NormalDist()
    z = (mean - best - margin) / deviation
    return deviation * (z * normal.cdf(z) + normal.pdf(z))


def best_mean(finished: tuple[World, list[TrialRecord]], rows: tuple[CandidateRow, ...]) -> float:
    """The posterior mean of the best trial, from the model that ranked ``rows``."""
    world, history = finished
    from autosel_runtime.search.features import Point

    points = [
        Point(recipe=row.recipe, state=reply.state_vector | {"retain_ratio": reply.retain})
        for row in rows
        if not isinstance(reply := world.materialise(row.recipe, BASE.seed), str)
    ]
    model = model_of(history, world.space(BASE), rows=world.rows, seed=BASE.seed, candidates=points)
    assert model.surrogate is not None
    scored = model.groups([point_of(record, world.rows) for record in history])
    return float(np.max(model.surrogate.predict(scored)[0]))


def check_ranker(finished: tuple[World, list[TrialRecord]]) -> None:
    orders: list[list[str]] = []
    for name in ("expected_improvement", "ucb", "random"):
        detail = next_of(finished, with_(ranker=name))
        rows = detail.candidates
        assert (detail.ranker, len(rows)) == (name, 8)
        assert [row.rank for row in rows] == [1, 2, 3, 4, 5, 6, 7, 8]
        assert all(one.value >= other.value for one, other in pairwise(rows))
        if name == "ucb":
            wanted = [mean + 1.5 * deviation for mean, deviation in map(known, rows)]
            assert [row.value for row in rows] == pytest.approx(wanted, rel=1e-9)
        elif name == "expected_improvement":
            best = best_mean(finished, rows)
            wanted = [expected_improvement(row, best, 0.0) for row in rows]
            assert [row.value for row in rows] == pytest.approx(wanted, rel=1e-6, abs=1e-12)
        else:
            assert all(0 <= row.value < 1 for row in rows)
        orders.append([row.recipe_digest for row in rows])
    assert {tuple(sorted(one)) for one in orders} == {tuple(sorted(orders[0]))}, "the same candidates"
    assert len({tuple(one) for one in orders}) == 3, "in three orders"


def check_min_improvement(finished: tuple[World, list[TrialRecord]]) -> None:
    detail = next_of(finished, with_(min_improvement=0.02))
    best = best_mean(finished, detail.candidates)
    wanted = [expected_improvement(row, best, 0.02) for row in detail.candidates]
    assert [row.value for row in detail.candidates] == pytest.approx(wanted, rel=1e-6, abs=1e-12)
    world, history = finished
    top = max(record.score or 0.0 for record in history[:3])
    better = [*history[:3], replace(history[3], score=top + 0.01)]
    phases = [
        World(masks=dict(world.masks)).ask(with_(min_improvement=least, patience=1), better)[0][0].phase
        for least in (0.0, 0.02)
    ]
    assert phases == [0, 1], "one point better is no improvement where two are asked for"


def check_seed(finished: tuple[World, list[TrialRecord]]) -> None:
    other = World().run(with_(seed=43), 3)
    assert {r.recipe_digest for r in other}.isdisjoint(r.recipe_digest for r in finished[1][:3])


def check_warmup(finished: tuple[World, list[TrialRecord]]) -> None:
    for probes in (1, 4):
        history = World().run(with_(warmup=probes), probes + 1)
        assert [r.origin == "warmup" for r in history] == [True] * probes + [False]


def check_candidates(finished: tuple[World, list[TrialRecord]]) -> None:
    for wanted in (1, 12):
        assert len(next_of(finished, with_(candidates=wanted)).candidates) == wanted


def check_patience(finished: tuple[World, list[TrialRecord]]) -> None:
    for patience in (1, 2):
        history = World().run(with_(patience=patience, min_improvement=0.9), 4 + patience)
        assert [record.origin for record in history].index("reseed") == 3 + patience


def check_max_steps(finished: tuple[World, list[TrialRecord]]) -> None:
    longest = [
        max(len(record.recipe.steps) for record in World().run(with_(max_steps=most), 5)) for most in (1, 6)
    ]
    assert longest[0] == 1 < longest[1] <= 6


def check_min_samples(finished: tuple[World, list[TrialRecord]]) -> None:
    assert min(record.size for record in finished[1]) < 120
    assert min(record.size for record in World().run(with_(min_samples=120), 4)) >= 120


def check_proposer(finished: tuple[World, list[TrialRecord]]) -> None:
    assert {row.origin for row in next_of(finished, with_(proposer="random")).candidates} == {"random"}
    assert {row.origin for row in next_of(finished, with_(proposer="local_edits")).candidates} == {"edit"}
    wish = {"steps": [{"operator": "ngram_entropy_filter", "params": {"fraction": 0.43}}]}
    asked = with_(patience=1000, proposer="llm", llm=LlmEndpoint(base_url="http://localhost:1/v1", model="m"))
    world, history = finished
    _, diagnostics = World(masks=dict(world.masks)).ask(
        asked, history, complete=lambda prompt, schema: {"recipes": [wish]}
    )
    assert {row.origin for row in diagnostics.proposals[0].candidates} == {"llm", "edit"}


def check_operators(finished: tuple[World, list[TrialRecord]]) -> None:
    names = {"ifd_filter", "quality_filter"}
    used = {step.operator for r in World().run(with_(operators=sorted(names)), 4) for step in r.recipe.steps}
    assert used == names < {step.operator for r in finished[1] for step in r.recipe.steps}


def check_seed_recipes(finished: tuple[World, list[TrialRecord]]) -> None:
    first, *rest = World().run(with_(seed_recipes=[WISH]), 4)
    assert (first.origin, first.recipe) == ("seed", WISH)
    assert [r.origin for r in rest] == ["warmup", "warmup", "edit"], "it counts as a probe"


CHECKS: dict[str, Callable[[tuple[World, list[TrialRecord]]], None]] = {
    name.removeprefix("check_"): check for name, check in list(globals().items()) if name.startswith("check_")
}
ELSEWHERE = {
    "extensions",  # tests/recipe/test_extension.py, tests/steps: modules are imported by the steps
    "llm",  # tests/steps/test_suggest_llm.py, tests/llm: endpoints that answer, fail and talk garbage
}


def test_every_setting_has_a_check() -> None:
    assert set(CHECKS) | ELSEWHERE == set(SearchSettings.model_fields)


@pytest.mark.parametrize("field", sorted(CHECKS))
def test_a_setting_is_obeyed(field: str, finished: tuple[World, list[TrialRecord]]) -> None:
    CHECKS[field](finished)
