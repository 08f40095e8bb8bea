"""reconcile: whole searches in a simulated world, disturbed in every way that must not matter."""

import random
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from controller.reconcile import StepRequest, reconcile
from tests.controller.world import Outcome, World, search, succeed


def outcome_of(world: World) -> dict[str, Any]:
    """What a search is judged by: its trials and what they got."""
    return {
        "trials": {name: trial.recipe_digest for name, trial in world.trials.items()},
        "state": (world.plan().state.evaluations, world.plan().state.best, world.plan().state.best_score),
    }


def test_search_runs_to_a_report_with_all_baselines() -> None:
    world = World(document=search())
    plan = world.run()
    assert plan.state.finished
    assert plan.state.evaluations == 5
    assert {"untuned", "full-pool", "random-subset-100"} <= set(world.trials)
    assert plan.state.gain == {"full_pool": {"mean": 0.1}}
    assert {c.type: c.status for c in plan.state.conditions} == {
        "Ready": "True",
        "Reconciling": "False",
        "Stalled": "False",
        "Succeeded": "True",
        "Suspended": "False",
    }


def test_report_half_is_read_for_the_chosen_recipe_and_the_baselines_only() -> None:
    world = World(document=search())
    plan = world.run()
    owners = {name.split(".")[0] for name in world.steps if name.endswith("evaluate-report")}
    assert owners == {plan.state.best, "untuned", "full-pool", "random-subset-100"}
    first_report = next(i for i, (name, _) in enumerate(world.log) if name.endswith("evaluate-report"))
    last_search = max(
        i for i, (name, _) in enumerate(world.log) if name.startswith("t0") and name.endswith(".train")
    )
    assert first_report > last_search


@settings(max_examples=40, deadline=None)
@given(order=st.integers(0, 2**32), parallelism=st.integers(1, 4))
def test_result_does_not_depend_on_which_step_ends_first(order: int, parallelism: int) -> None:
    calm = World(document=search(parallelism=parallelism))
    calm.run()
    wild = World(document=search(parallelism=parallelism), chance=random.Random(order))
    wild.run()
    assert outcome_of(wild) == outcome_of(calm)


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32))
def test_dying_between_any_two_actions_changes_nothing(seed: int) -> None:
    calm = World(document=search(parallelism=2))
    calm.run()
    chance = random.Random(seed)
    disturbed = World(document=search(parallelism=2), chance=random.Random(seed))
    disturbed.run(die=lambda: chance.choice([None, 0, 1, 2]))
    assert outcome_of(disturbed) == outcome_of(calm)
    assert sorted(disturbed.log) == sorted(calm.log)


@given(parallelism=st.integers(1, 4))
@settings(max_examples=8, deadline=None)
def test_never_more_trials_at_once_than_parallelism(parallelism: int) -> None:
    world = World(document=search(parallelism=parallelism, budget={"evaluations": 8}))
    for _ in range(2000):
        plan = world.plan()
        if plan.state.finished:
            break
        world.act(plan)
        owners = {name.split(".")[0] for name, step in world.steps.items() if step.state == "running"}
        trials = {owner for owner in owners if owner in world.trials}
        final = any(
            ".evaluate-report" in name for name, step in world.steps.items() if step.state == "running"
        )
        assert final or len(trials) <= parallelism
        world.finish_one()
    assert world.plan().state.evaluations == 8


def test_planning_twice_gives_the_same_plan() -> None:
    world = World(document=search())
    for _ in range(200):
        assert world.plan() == world.plan()
        world.act(world.plan())
        world.finish_one()


def failing(step: str, code: int, reason: str, *, trials: set[str], times: int = 10**6) -> Any:
    """Answer like the real steps, but let ``step`` of some trials fail so many times."""
    left = dict.fromkeys(trials, times)

    def answer(request: StepRequest) -> Outcome:
        if request.step == step and left.get(request.trial or "", 0) > 0:
            left[request.trial or ""] -= 1
            return code, reason
        return succeed(request)

    return answer


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_the_order_in_which_trials_are_listed_changes_nothing(seed: int) -> None:
    world = World(document=search())
    world.run()
    observed = world.observe()
    trials = list(observed.trials)
    random.Random(seed).shuffle(trials)
    plan = reconcile(replace(observed, trials=tuple(trials)), world.now)
    assert plan == world.plan()
    assert plan.state.finished


def test_transient_failures_are_tried_again_and_cost_nothing() -> None:
    calm = World(document=search())
    calm.run()
    world = World(document=search(), answer=failing("train", 75, "store is down", trials={"t00002"}, times=3))
    assert world.run().state.finished
    assert outcome_of(world) == outcome_of(calm)
    assert [attempt for name, attempt in world.log if name == "t00002.train"] == [1, 2, 3, 4]


def test_a_recipe_that_cannot_train_is_invalid_and_costs_no_budget() -> None:
    world = World(document=search(), answer=failing("train", 65, "loss became NaN", trials={"t00002"}))
    state = world.run().state
    assert (state.finished, state.evaluations, state.invalid) == (True, 5, 1)
    assert len([name for name in world.trials if name.startswith("t0")]) == 6
    assert [attempt for name, attempt in world.log if name == "t00002.train"] == [1]


def test_a_failed_trial_never_becomes_a_score() -> None:
    world = World(document=search(), answer=failing("evaluate", 70, "broken", trials={"t00001"}))
    world.run()
    histories = [r.inputs["history"] for r in world.requests.values() if r.step == "suggest"]
    rows = [
        row for history in histories for row in history if row["ordinal"] == 1 and row["state"] != "pending"
    ]
    assert rows
    assert all(row["state"] == "failed" and row["score"] is None for row in rows)


def test_failures_in_a_row_stop_the_search_with_the_reason() -> None:
    world = World(
        document=search(),
        answer=failing("train", 70, "model is broken", trials={f"t{i:05d}" for i in range(1, 20)}),
    )
    state = world.run().state
    assert state.stalled
    assert "4 trials in a row failed" in state.message
    assert "model is broken" in state.message


def test_a_prepare_step_that_fails_for_good_stalls_with_its_sentence() -> None:
    world = World(document=search(), answer=lambda _request: (65, "pool is empty"))
    state = world.run().state
    assert state.stalled
    assert state.message == "pool is empty"
    assert [name for name, _ in world.log] == ["setup.prepare"]


def test_suspend_starts_nothing_and_stop_ends_what_runs() -> None:
    world = World(document=search(suspend=True, suspendPolicy="Stop"))
    world.act(World(document=search()).plan())
    plan = world.plan()
    assert (plan.start, plan.create) == ((), ())
    assert plan.stop == ("setup.prepare",)
    assert next(c for c in plan.state.conditions if c.type == "Suspended").status == "True"


@settings(max_examples=20, deadline=None)
@given(at=st.integers(0, 60))
def test_suspend_and_resume_at_any_moment_changes_nothing(at: int) -> None:
    calm = World(document=search())
    calm.run()
    world = World(document=search())
    for _ in range(at):
        world.act(world.plan())
        world.finish_one()
    world.document = search(suspend=True)
    for _ in range(10):
        world.act(world.plan())
        world.finish_one()
    assert world.plan().start == ()
    world.document = search()
    world.run()
    assert outcome_of(world) == outcome_of(calm)


def test_a_raised_budget_goes_on_where_the_search_ended() -> None:
    world = World(document=search())
    world.run()
    before = set(world.log)
    world.document = search(budget={"evaluations": 8})
    assert world.run().state.evaluations == 8
    straight = World(document=search(budget={"evaluations": 8}))
    straight.run()
    assert outcome_of(world)["state"] == outcome_of(straight)["state"]
    assert before <= set(world.log)


def test_a_subset_seen_before_is_reused_without_training() -> None:
    def answer(request: StepRequest) -> Outcome:
        code, summary = succeed(request)
        if request.step == "suggest" and request.inputs["ordinal"] in (1, 2):
            assert not isinstance(summary, str)
            proposal = {**summary["proposals"][0], "subset_digest": "sha256:same"}
            return code, {**summary, "proposals": [proposal]}
        return code, summary

    world = World(document=search(), answer=answer)
    state = world.run().state
    assert (state.evaluations, state.reused) == (5, 1)
    assert "t00002.train" not in world.steps


@pytest.mark.parametrize(
    ("budget", "count"),
    [({"evaluations": 5, "acceleratorSeconds": 1}, 1), ({"evaluations": 5, "deadlineSeconds": 1}, 0)],
)
def test_other_budgets_end_the_search(budget: dict[str, int], count: int) -> None:
    world = World(document=search(budget=budget, baselines={"untuned": False, "fullPool": False}))
    state = world.run().state
    assert state.evaluations == count
    assert state.finished == (count > 0)


def test_out_of_domain_and_transfer_rows_are_evaluated_at_the_end() -> None:
    world = World(
        document=search(
            evaluation={
                "tasks": [{"name": "task"}],
                "outOfDomain": [{"name": "other"}],
                "transferModels": ["big"],
            }
        )
    )
    best = world.run().state.best
    for owner in (best, "full-pool"):
        assert {f"{owner}.evaluate-ood", f"{owner}.train-transfer-0", f"{owner}.evaluate-transfer-0"} <= set(
            world.steps
        )
    assert "untuned.train-transfer-0" not in world.steps
    assert "untuned.evaluate-transfer-0" in world.steps


def test_an_exhausted_space_finishes_early() -> None:
    def answer(request: StepRequest) -> Outcome:
        if request.step == "suggest" and request.inputs["ordinal"] == 4:
            return 0, {"proposals": [], "exhausted": "every subset was tried"}
        return succeed(request)

    state = World(document=search(), answer=answer).run().state
    assert (state.finished, state.evaluations) == (True, 3)
    assert "every subset was tried" in state.message


@given(ordinal=st.integers(1, 5), parallelism=st.integers(1, 3))
@settings(max_examples=15, deadline=None)
def test_a_trial_that_is_deleted_comes_back_as_it_was(ordinal: int, parallelism: int) -> None:
    calm = World(document=search(parallelism=parallelism))
    calm.run()
    world = World(document=search(parallelism=parallelism))
    world.run()
    name = f"t{ordinal:05d}"
    del world.trials[name]
    for step in [step for step in world.steps if step.startswith((f"{name}.", "suggest-"))]:
        del world.steps[step]
    world.run()
    assert outcome_of(world) == outcome_of(calm)
