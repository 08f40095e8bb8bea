"""Verdicts on outcomes: what is tried again, when, and what ends a trial or the search."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autosel_runtime.api.search import FailurePolicy
from autosel_runtime.errors import AutoselError
from controller.reconcile import StepRequest, StepResult
from controller.reconcile.model import Cause
from controller.reconcile.retry import ENVIRONMENT, INVALID_INPUT, PERMANENT, verdict, wait_seconds
from tests.controller.test_reconcile import failing, outcome_of
from tests.controller.world import Outcome, World, search, succeed

POLICY = FailurePolicy(retries=3)


def failed(code: int, *, attempt: int = 1, at: float = 100.0) -> StepResult:
    return StepResult(attempt=attempt, state="failed", exit_code=code, reason="why", finished_at=at)


def test_a_step_without_an_attempt_a_running_and_a_finished_one() -> None:
    assert verdict(None, POLICY, 0.0) == "absent"
    assert verdict(StepResult(attempt=1, state="running"), POLICY, 0.0) == "running"
    assert verdict(StepResult(attempt=9, state="succeeded", exit_code=0), POLICY, 0.0) == "succeeded"


@pytest.mark.parametrize("code", sorted(PERMANENT))
def test_permanent_failures_are_final_at_once(code: int) -> None:
    assert verdict(failed(code), POLICY, 1e9) == "failed"


@pytest.mark.parametrize("code", [75, 137, 143, 1, 255])
def test_other_failures_are_tried_again_as_often_as_the_policy_says(code: int) -> None:
    kinds = [verdict(failed(code, attempt=n), POLICY, 1e9) for n in range(1, 6)]
    assert kinds == ["retry", "retry", "retry", "failed", "failed"]
    assert verdict(failed(code), FailurePolicy(retries=0), 1e9) == "failed"


@given(attempt=st.integers(1, 99), late=st.floats(0, 1000))
def test_the_wait_grows_up_to_five_minutes_and_then_the_retry_is_due(attempt: int, late: float) -> None:
    policy = FailurePolicy(retries=100)
    result = failed(75, attempt=attempt)
    pause = wait_seconds(result, 100.0)
    assert pause == min(300.0, 2.0**attempt)
    assert verdict(result, policy, 100.0 + pause + late) == "retry"
    assert verdict(result, policy, 100.0 + pause * 0.99) == "waiting"
    assert wait_seconds(result, 100.0 + pause + late) == 0.0


def test_every_error_of_the_code_base_has_a_verdict() -> None:
    kinds = [AutoselError]
    for kind in kinds:
        kinds += kind.__subclasses__()
    for kind in kinds:
        assert kind.exit_code in PERMANENT or kind.exit_code == 75, kind


@pytest.mark.parametrize("code", sorted(ENVIRONMENT))
@pytest.mark.parametrize("step", ["materialize", "train", "evaluate"])
def test_failures_of_the_environment_end_the_search_and_spoil_no_trial(code: int, step: str) -> None:
    calm = World(document=search(parallelism=2))
    calm.run()
    broken = failing(step, code, "the disk is full", trials={"t00002"})
    world = World(document=search(parallelism=2), answer=broken)
    state = world.run().state
    assert (state.stalled, state.message) == (True, "the disk is full")
    assert state.cause == Cause(step=f"t00002.{step}", alone=True)
    assert not any(name.startswith("suggest-00004") for name, _ in world.log)
    while any(one.state == "running" for one in world.steps.values()):
        world.finish_one()
    assert world.plan().start == ()

    world.answer = World(document=search()).answer
    world.steps = {name: one for name, one in world.steps.items() if one.state != "failed"}
    world.artifacts = {key: one for key, one in world.artifacts.items() if one[0] == 0}
    assert world.run().state.finished
    assert outcome_of(world) == outcome_of(calm)


@pytest.mark.parametrize("code", [INVALID_INPUT, 70, 137])
def test_failures_that_may_be_the_recipes_end_one_trial_only(code: int) -> None:
    world = World(document=search(), answer=failing("train", code, "no", trials={"t00002"}))
    state = world.run().state
    assert state.finished
    assert (state.invalid, state.failed) == ((1, 0) if code == INVALID_INPUT else (0, 1))


def test_a_baseline_that_meets_a_broken_environment_ends_the_search_too() -> None:
    world = World(document=search(), answer=failing("train", 73, "full", trials={"full-pool"}))
    assert world.run().state.stalled
    world = World(document=search(), answer=failing("train", 70, "broken", trials={"full-pool"}))
    assert world.run().state.finished


def test_a_failure_keeps_its_verdict_whatever_its_reason_says() -> None:
    assert verdict(replace(failed(75), reason=""), POLICY, 1e9) == "retry"


@pytest.mark.parametrize("step", ["prepare", "score", "suggest"])
def test_the_step_that_stops_a_search_is_known_by_name_not_by_its_words(step: str) -> None:
    """Another step may have said the same."""
    said = "the disk is full"

    def answer(request: StepRequest) -> Outcome:
        return (73, said) if request.step == step else succeed(request)

    world = World(document=search(), answer=answer)
    state = world.run().state
    assert state.cause is not None
    assert state.cause.alone
    assert state.cause.step.endswith(f".{step}")
    assert (state.message, world.steps[state.cause.step].reason) == (said, said)


def test_the_end_of_a_search_can_be_what_stops_it() -> None:
    world = World(document=search(), answer=lambda r: (70, "no page") if r.step == "report" else succeed(r))
    cause = world.run().state.cause
    assert cause is not None
    assert cause.step.endswith(".report")
    world = World(
        document=search(),
        answer=lambda r: (70, "no") if r.name == "full-pool.evaluate-report" else succeed(r),
    )
    assert world.run().state.cause == Cause(step="full-pool.evaluate-report")


def test_of_too_many_failures_the_last_one_is_the_cause_but_not_alone() -> None:
    trials = {f"t{number:05d}" for number in range(1, 20)}
    state = World(document=search(), answer=failing("train", 70, "broken", trials=trials)).run().state
    assert state.cause == Cause(step="t00004.train", alone=False)


def test_a_search_that_ends_well_has_no_cause() -> None:
    assert World(document=search()).run().state.cause is None
