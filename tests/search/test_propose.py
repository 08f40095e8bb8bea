"""The promises of ``propose``: replay, no repeats, bounds, honesty when nothing can be proposed."""

import random
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autosel_runtime.api.search import Recipe, RecipeStep, SearchSettings
from autosel_runtime.errors import ConfigError, DataError
from autosel_runtime.recipe.catalog import CATALOG, validate_recipe
from autosel_runtime.search.history import TrialRecord
from autosel_runtime.search.propose import as_pending
from autosel_runtime.search.warmup import ZONES, distance
from tests.search.worlds import World

SETTINGS = SearchSettings(min_samples=8)
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def finished() -> tuple[World, list[TrialRecord]]:
    world = World()
    return world, world.run(SETTINGS, 12)


def test_a_search_repeats_no_recipe_and_no_subset(finished: tuple[World, list[TrialRecord]]) -> None:
    _, history = finished
    assert len(history) == 12
    assert len({r.recipe_digest for r in history}) == 12
    assert len({r.subset_digest for r in history}) == 12


def test_every_proposal_is_valid_and_inside_the_bounds(finished: tuple[World, list[TrialRecord]]) -> None:
    world, history = finished
    for record in history:
        trials = [r.recipe_digest for r in history[: record.ordinal]]
        assert (
            validate_recipe(record.recipe, CATALOG, world.facts.names, SETTINGS.max_steps, trials=trials)
            == []
        )
        assert record.size >= SETTINGS.min_samples
        assert sum(step.operator == "random_subset" for step in record.recipe.steps) <= 1


def test_warmup_probes_realise_the_three_zones(finished: tuple[World, list[TrialRecord]]) -> None:
    world, history = finished
    for record, (name, zone) in zip(history[:3], ZONES, strict=True):
        assert record.origin == "warmup"
        assert distance(record.size / world.rows, zone) == 0.0, name
    operators = [{step.operator for step in r.recipe.steps} for r in history[:3]]
    assert all(operators[i] - operators[j] for i in range(3) for j in range(i))


def test_replay_gives_the_same_proposals(finished: tuple[World, list[TrialRecord]]) -> None:
    world, history = finished
    for cut in (0, 1, 3, 7, 11):
        proposals, diagnostics = world.ask(SETTINGS, history[:cut])
        assert as_pending(proposals[0]) == replace(history[cut], state="pending", score=None, stderr=None)
        assert (proposals, diagnostics) == World(masks=dict(world.masks)).ask(SETTINGS, history[:cut])


@settings(max_examples=6, deadline=None)
@given(cut=st.integers(0, 11), count=st.integers(2, 4), shuffle=st.integers(0, 99))
def test_batches_and_order_of_finishing_do_not_matter(cut: int, count: int, shuffle: int) -> None:
    world = World()
    history = world.run(SETTINGS, cut)
    at_once, _ = world.ask(SETTINGS, history, count=count)
    seen = list(history)
    for expected in at_once:
        random.Random(shuffle).shuffle(seen)
        (got,), _ = world.ask(SETTINGS, seen, first=expected.ordinal)
        assert got == expected
        seen.append(as_pending(got))


def test_pending_trials_are_never_proposed_again(finished: tuple[World, list[TrialRecord]]) -> None:
    world, history = finished
    pending = [replace(r, state="pending", score=None, stderr=None) for r in history[6:]]
    proposals, _ = world.ask(SETTINGS, [*history[:6], *pending], count=4)
    taken = {r.subset_digest for r in history} | {r.recipe_digest for r in history}
    assert not any(p.subset_digest in taken or p.recipe_digest in taken for p in proposals)
    assert len({p.subset_digest for p in proposals}) == len(proposals) == 4


@pytest.mark.parametrize("state", ["failed", "invalid"])
def test_failed_trials_change_nothing(state: str, finished: tuple[World, list[TrialRecord]]) -> None:
    world, history = finished
    lost = TrialRecord(
        ordinal=500,
        recipe=Recipe(steps=[RecipeStep(operator="ifd_filter", params={"fraction": 0.123})]),
        recipe_digest="sha256:lost",
        subset_digest="",
        size=0,
        state_vector={},
        origin="edit",
        phase=0,
        parent=0,
        state="failed" if state == "failed" else "invalid",
        score=None,
        stderr=None,
    )
    for cut in (2, 5, 9):
        assert world.ask(SETTINGS, history[:cut], first=cut) == world.ask(
            SETTINGS, [*history[:cut], lost], first=cut
        )


def test_a_failed_recipe_is_not_tried_again_and_its_probe_is_replaced() -> None:
    world = World()
    (first,), _ = world.ask(SETTINGS, [])
    failed = replace(as_pending(first), state="failed")
    (second,), _ = world.ask(SETTINGS, [failed])
    assert second.origin == "warmup"
    assert second.recipe_digest != first.recipe_digest
    assert distance(second.size / world.rows, ZONES[0][1]) == 0.0


def test_the_process_and_its_hash_seed_do_not_matter() -> None:
    script = (
        "from tests.search.worlds import World\n"
        "from autosel_runtime.api.search import SearchSettings\n"
        "print([(r.recipe_digest, r.score) for r in World().run(SearchSettings(min_samples=8), 6)])"
    )
    answers = {
        subprocess.run(
            [sys.executable, "-c", script],
            env={"PYTHONHASHSEED": seed, "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert len(answers) == 1
    expected = [(r.recipe_digest, r.score) for r in World().run(SETTINGS, 6)]
    assert answers == {f"{expected}\n"}


def test_stagnation_reseeds_and_the_new_anchor_is_edited() -> None:
    world = World()
    patient = SearchSettings(min_samples=8, patience=2, min_improvement=0.5)
    history = world.run(patient, 8)
    origins = [r.origin for r in history]
    assert origins[:3] == ["warmup"] * 3
    assert origins[5] == "reseed"
    assert history[5].phase == 1
    assert {r.parent for r in history[6:8] if r.origin == "edit"} == {5}


def test_seed_recipes_come_first_and_a_bad_one_is_named() -> None:
    good = Recipe(steps=[])
    bad = Recipe(steps=[RecipeStep(operator="ifd_filter", params={"fraction": 7.0})])
    world = World()
    wished = SearchSettings(min_samples=8, seed_recipes=[bad, good])
    (first,), diagnostics = world.ask(wished, [])
    assert first.origin == "seed"
    assert first.size == world.rows
    assert "seedRecipes[0]" in diagnostics.warnings[0]
    history = [world.finish(first)]
    (second,), _ = world.ask(wished, history)
    assert second.origin == "warmup"


def test_an_operator_of_a_seed_recipe_stays_editable_though_it_is_never_drawn() -> None:
    world = World()
    wish = Recipe(steps=[RecipeStep(operator="score_filter", params={"signal": "words", "fraction": 0.5})])
    history = world.run(SearchSettings(min_samples=8, warmup=1, seed_recipes=[wish]), 6)
    assert history[0].origin == "seed"
    assert len(history) == 6
    kept = [s for r in history[1:] for s in r.recipe.steps if s.operator == "score_filter"]
    assert all(s.params["signal"] == "words" for s in kept)


@pytest.mark.parametrize("names", [["ifd_filter", "random_subset"], ["quality_filter"]])
def test_few_operators_suffice(names: list[str]) -> None:
    history = World().run(SearchSettings(min_samples=8, operators=names), 8)
    assert len(history) == 8
    assert {s.operator for r in history for s in r.recipe.steps} <= set(names)
    assert len({r.subset_digest for r in history}) == 8


def test_a_pool_of_one_row_ends_with_a_reason() -> None:
    world = World(rows=1)
    proposals, diagnostics = world.ask(SearchSettings(min_samples=1), [], count=3)
    assert len(proposals) == 1, "the whole pool is the only subset"
    assert "no new recipe could be made" in diagnostics.reason
    none, diagnostics = world.ask(SearchSettings(min_samples=2), [], count=3)
    assert none == []
    assert re.search("1 recipe keeps too few samples|[2-9] recipes keep too few samples", diagnostics.reason)


def test_without_usable_operators_nothing_is_proposed() -> None:
    world = World(signals=())
    with pytest.raises(ConfigError, match="ifd_filter needs ifd, which this search does not compute"):
        world.ask(SearchSettings(operators=["ifd_filter"]), [])
    with pytest.raises(ConfigError, match="unknown operator 'no_such'"):
        world.ask(SearchSettings(operators=["no_such"]), [])


def test_materialisations_are_bounded() -> None:
    world = World()
    history = world.run(SETTINGS, 5)
    world.calls = 0
    refused: list[Recipe] = []

    def refuse(recipe: Recipe, seed: int) -> str:
        refused.append(recipe)
        return "no"

    world.materialise = refuse  # type: ignore[method-assign]
    proposals, diagnostics = world.ask(SETTINGS.model_copy(update={"candidates": 5}), history)
    assert proposals == []
    assert "cannot be materialised" in diagnostics.reason
    assert len(refused) <= 50


def test_nan_scores_are_refused() -> None:
    world = World()
    history = world.run(SETTINGS, 3)
    with pytest.raises(DataError, match="trial 1"):
        world.ask(SETTINGS, [history[0], replace(history[1], score=float("nan")), history[2]])
