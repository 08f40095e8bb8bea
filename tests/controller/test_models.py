"""Which models stay: few while a search runs, all that its end needs; trained again when one is needed after all."""

import random
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autosel_runtime.digest import digest
from controller.reconcile import StepRequest
from controller.reconcile.models import BEST
from controller.reconcile.search import overview
from tests.controller.test_reconcile import outcome_of
from tests.controller.world import Outcome, World, search, succeed

BUDGET = {"evaluations": 9}


def views(world: World) -> Mapping[str, Any]:
    """The trials and baselines of a world by name."""
    found = overview(world.observe(), world.now)
    return {view.trial.name: view for view in (*found.trials, *found.baselines)}


def best_models(world: World) -> set[str]:
    """The models of the trials with the best scores, counted by hand."""
    scored = [view for view in views(world).values() if view.trial.role == "search" and view.score]
    return {view.model for view in sorted(scored, key=lambda view: -view.score)[:BEST]}


def final_models(world: World) -> set[str]:
    """The models of all that was scored on the report half."""
    return {
        view.model
        for name, view in views(world).items()
        if view.model is not None and f"{name}.evaluate-report" in world.steps
    }


def worst(request: StepRequest) -> Outcome:
    """Answer as the real steps do, but choose the lowest score of the first trials, whose model is long gone."""
    code, summary = succeed(request)
    if request.step == "suggest" and request.inputs["ordinal"] == 0:
        scored = [row for row in request.inputs["history"][: BEST + 1] if row["state"] == "succeeded"]
        return 0, {"chosen": min(scored, key=lambda row: row["score"])["ordinal"]}
    return code, summary


@given(parallelism=st.integers(1, 4), seed=st.integers(0, 2**32))
@settings(max_examples=20, deadline=None)
def test_models_do_not_pile_up_and_the_end_has_what_it_needs(parallelism: int, seed: int) -> None:
    world = World(document=search(parallelism=parallelism, budget=BUDGET), chance=random.Random(seed))
    most = 0
    while not world.plan().state.finished:
        world.act(world.plan())
        world.finish_one()
        most = max(most, len(world.models))
    baselines = 2
    assert most <= BEST + 2 * parallelism + baselines + 1
    assert world.models == best_models(world) | final_models(world)
    assert len(world.trained) == len(set(world.trained)), "a model was trained twice"
    for name, view in views(world).items():
        assert view.dropped == (view.model is not None and view.model not in world.models), name


def test_all_keeps_all() -> None:
    world = World(document=search(budget=BUDGET, training={"keepModels": "all"}))
    assert world.run().state.finished
    assert world.models == set(world.trained)
    assert not any(view.dropped for view in views(world).values())


def refuse_drops(request: StepRequest) -> Outcome:
    """Answer as the real steps do over a store that lets nobody delete."""
    code, summary = succeed(request)
    return code, {**summary, "drop_refused": len(drop)} if (drop := request.inputs.get("drop")) else summary


def test_a_model_that_the_store_would_not_delete_does_not_count_as_dropped() -> None:
    world = World(document=search(budget=BUDGET), answer=refuse_drops)
    assert world.run().state.finished
    assert any("drop_refused" in step.summary for step in world.steps.values())
    assert not any(view.dropped for view in views(world).values())


def test_the_setting_changes_no_result_and_no_name_of_a_trial() -> None:
    worlds = [
        World(document=search(budget=BUDGET, training={"keepModels": keep})) for keep in ("all", "best")
    ]
    for world in worlds:
        world.run()
    assert outcome_of(worlds[0]) == outcome_of(worlds[1])
    assert worlds[0].trained == worlds[1].trained
    # The report says which models were dropped, so it is another one.
    logs = [[entry for entry in world.log if not entry[0].endswith(".report")] for world in worlds]
    assert logs[0] == logs[1]
    assert len(worlds[0].log) == len(worlds[1].log) == len(logs[0]) + 1


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**32))
def test_a_choice_that_was_dropped_is_trained_again_whenever_the_controller_dies(seed: int) -> None:
    calm = World(document=search(budget=BUDGET), answer=worst)
    assert calm.run().state.finished
    chance = random.Random(seed)
    world = World(document=search(parallelism=1, budget=BUDGET), answer=worst, chance=random.Random(seed))
    state = world.run(die=lambda: chance.choice([None, 0, 1, 2])).state
    chosen = views(world)[state.best or ""]
    assert state.best == calm.plan().state.best
    assert f"{state.best}.train-again" in world.steps
    assert world.trained.count(chosen.model) == 2
    assert len(world.trained) == len(set(world.trained)) + 1
    assert chosen.model in world.models
    assert not chosen.dropped
    assert sorted(world.log) == sorted(calm.log)


def test_out_of_domain_and_report_scores_share_one_further_training() -> None:
    evaluation = {"tasks": [{"name": "task"}], "outOfDomain": [{"name": "other"}]}
    world = World(document=search(budget=BUDGET, evaluation=evaluation, parallelism=3), answer=worst)
    state = world.run().state
    assert state.finished
    assert world.trained.count(views(world)[state.best or ""].model) == 2


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**32))
def test_another_search_may_drop_anything_at_any_time(seed: int) -> None:
    """A store is shared: what one search drops, another one may be about to read."""
    calm = World(document=search(parallelism=2))
    calm.run()
    chance = random.Random(seed)
    world = World(document=search(parallelism=2), chance=random.Random(seed))
    thefts = 0
    for _ in range(3000):
        plan = world.plan()
        if plan.state.finished:
            break
        world.act(plan)
        if world.models and thefts < 12 and chance.random() < 0.2:
            world.models.discard(chance.choice(sorted(world.models)))
            thefts += 1
        world.finish_one()
    assert world.plan().state.finished
    assert outcome_of(world) == outcome_of(calm)


@pytest.mark.parametrize("raised", [7, 12])
def test_a_raised_budget_after_drops_ends_as_if_it_had_been_so_from_the_start(raised: int) -> None:
    world = World(document=search(), answer=worst)
    first = world.run().state.best
    trained = len(world.trained)
    world.document = search(budget={"evaluations": raised})
    assert world.run().state.evaluations == raised
    straight = World(document=search(budget={"evaluations": raised}), answer=worst)
    straight.run()
    assert outcome_of(world)["state"] == outcome_of(straight)["state"]
    assert world.models == best_models(world) | final_models(world)
    # One training for each new trial, and one more when the choice has moved to a trial that was dropped.
    moved = world.plan().state.best != first
    assert len(world.trained) <= trained + (raised - 5) + moved
    assert first in views(world)
    assert views(world)[first or ""].model in world.models, "what was chosen before stays"


def test_a_second_search_over_the_same_store_trains_nothing_but_its_choice() -> None:
    """The accounts of dropped models are enough where their scores are in the store."""
    first = World(document=search(budget=BUDGET), answer=worst)
    first.run()
    second = World(document=search(budget=BUDGET), answer=worst)
    second.artifacts, second.models = dict(first.artifacts), set(first.models)
    assert second.run().state.finished
    chosen = views(first)[first.plan().state.best or ""].model
    # It has dropped the first one's choice on its way, as it cannot know that it will be its own.
    assert second.trained == [chosen]
    assert second.models == first.models
    third = World(document=search(budget=BUDGET), answer=worst)
    third.artifacts, third.models = dict(first.artifacts), first.models - {chosen}
    assert third.run().state.finished
    assert third.trained == [chosen], "its scores were there, but not the model itself"


def test_a_training_that_cannot_be_repeated_ends_the_search_with_its_sentence() -> None:
    def answer(request: StepRequest) -> Outcome:
        if request.inputs.get("again"):
            return 73, "the disk is full"
        return worst(request)

    world = World(document=search(budget=BUDGET), answer=answer)
    state = world.run().state
    assert state.stalled
    assert "the disk is full" in state.message


def test_a_chosen_twin_keeps_the_model_that_it_shares() -> None:
    """A trial that reuses an earlier one's outcome may be the one that is chosen."""

    def answer(request: StepRequest) -> Outcome:
        code, summary = worst(request)
        assert not isinstance(summary, str)
        if request.step != "suggest":
            return code, summary
        if request.inputs["ordinal"] in (1, 2):
            same = {**summary["proposals"][0], "subset_digest": digest("same")}
            return 0, {**summary, "proposals": [same]}
        if request.inputs["ordinal"] == 0:
            return 0, {"chosen": 2}
        return code, summary

    world = World(document=search(budget=BUDGET), answer=answer)
    state = world.run().state
    assert (state.finished, state.reused) == (True, 1)
    assert "t00002.evaluate-report" in world.steps
    assert views(world)["t00002"].model in world.models
    assert not views(world)["t00001"].dropped
