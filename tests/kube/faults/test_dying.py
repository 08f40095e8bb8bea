"""Faults 1, 2, 3 and 18: a controller that dies, is refused, is not answered or is not alone, at any call."""

import os
import random

import pytest

from controller.kube.errors import ApiError, ConflictError, ServerUnavailableError, TooManyRequestsError
from controller.kube.passes import Done, reconcile_search
from controller.reconcile import StepRequest
from tests.controller.world import Outcome, succeed
from tests.kube.fake_api import Fault
from tests.kube.simulation import KEY, SMALL, TINY, Cluster, disturb_every_call, drive, moments, searched

# Every call of a search of one evaluation is disturbed; AUTOSEL_TEST_EXHAUSTIVE=1 does it to a larger search.
DISTURBED = SMALL if os.environ.get("AUTOSEL_TEST_EXHAUSTIVE") else TINY


def flaky(request: StepRequest, number: int) -> Outcome:
    """Steps of which two fail at first, one in passing, one by its data."""
    if request.name == "t00001.train" and number == 1:
        return 75, "the store is down"
    if request.name == "t00002.train":
        return 65, "no sample is left"
    return succeed(request)


@pytest.mark.parametrize("fault", ["kill_before", "kill_after", "lose_answer"])
def test_fault_01_dying_at_any_call_changes_nothing(fault: Fault) -> None:
    cluster = Cluster()
    cluster.steps.answer = flaky
    cluster.create(**DISTURBED)
    assert disturb_every_call(cluster, fault) > (150 if fault == "kill_before" else 60)
    assert cluster.condition("Succeeded")["status"] == "True"


def test_fault_02_a_conflict_at_any_write_is_made_up_for() -> None:
    _refuse_every_write(ConflictError("conflict"))


@pytest.mark.parametrize(
    "error",
    [TooManyRequestsError("busy", retry_after=1.0), ServerUnavailableError("down")],
    ids=["429", "503"],
)
def test_fault_03_a_busy_server_at_any_write_is_made_up_for(error: ApiError) -> None:
    _refuse_every_write(error)


def _refuse_every_write(error: ApiError) -> None:
    cluster = Cluster()
    cluster.create(**DISTURBED)
    for before, after in moments(cluster):
        for number in range(len(before.api.calls), len(after.api.calls)):
            if not after.api.calls[number].writes:
                continue
            disturbed = before.fork()
            disturbed.api.fault = lambda call, number=number: error if call.number == number else None
            disturbed.settle()
            assert disturbed.picture() == after.picture(), f"call {number}"
            assert disturbed.started() == after.started()


@pytest.mark.parametrize("seed", range(3))
def test_fault_18_two_controllers_at_once_do_everything_once(seed: int) -> None:
    chance = random.Random(seed)
    cluster = Cluster()
    cluster.create(**SMALL)
    for before, after in moments(cluster):
        both = before.fork()
        both.api.interleaved = True
        passes = [reconcile_search(both.api, KEY, both.settings) for _ in range(2)]
        results = drive(*passes, choose=chance.randrange)
        both.api.interleaved = False
        assert all(result is None or isinstance(result, Done | ApiError) for result in results), results
        both.settle()
        assert both.picture() == after.picture()
        assert both.started() == after.started()


@pytest.mark.parametrize("seed", range(3))
def test_fault_01_a_controller_that_dies_all_the_time_gets_there(seed: int) -> None:
    calm = searched()
    chance = random.Random(seed)
    cluster = Cluster()
    cluster.create(**SMALL)
    faults: list[Fault | None] = [
        *[None] * 20,
        "kill_before",
        "kill_after",
        "lose_answer",
        ServerUnavailableError("x"),
    ]
    cluster.api.fault = lambda call: chance.choice(faults)
    for _ in range(2000):
        cluster.last = drive(reconcile_search(cluster.api, KEY, cluster.settings))[0]
        calm_fault, cluster.api.fault = cluster.api.fault, lambda call: None
        cluster.api.collect_garbage()
        if jobs := cluster.running():
            cluster.finish(chance.choice(jobs))
        elif "status" in cluster.search and cluster.condition("Succeeded")["status"] == "True":
            break
        cluster.api.fault = calm_fault
    cluster.api.fault = lambda call: None
    cluster.settle()
    assert cluster.started() == calm.started()
    assert sorted(cluster.steps.done) == sorted(calm.steps.done)
    assert cluster.search["status"]["best"] == calm.search["status"]["best"]
