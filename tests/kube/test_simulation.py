"""Whole searches in a simulated cluster, disturbed at every single call that the controller makes."""

import os
import random
from collections.abc import Iterator
from typing import Any

import pytest

from controller.kube.errors import (
    ApiError,
    ConflictError,
    ForbiddenError,
    InvalidObjectError,
    NamespaceTerminatingError,
    PodSecurityError,
    QuotaExceededError,
    ServerUnavailableError,
    TooManyRequestsError,
)
from controller.kube.kinds import CONFIG_MAPS, JOBS, PODS, SEARCHES, TRIALS
from controller.kube.passes import Done, reconcile_search
from controller.reconcile import StepRequest
from tests.controller.world import Outcome, succeed
from tests.kube.fake_api import Call, Fault, Killed
from tests.kube.simulation import KEY, Cluster, do, drive

# Every call of a search of one evaluation is disturbed; AUTOSEL_TEST_EXHAUSTIVE=1 does it to a larger search.
TINY = {
    "budget": {"evaluations": 1},
    "baselines": {"untuned": False, "full_pool": False, "random_subset": False},
}
SMALL = {"budget": {"evaluations": 2}, "parallelism": 2, "baselines": {"untuned": False}}


DISTURBED = SMALL if os.environ.get("AUTOSEL_TEST_EXHAUSTIVE") else TINY


def flaky(request: StepRequest, number: int) -> Outcome:
    """Steps of which two fail at first, one in passing, one by its data."""
    if request.name == "t00001.train" and number == 1:
        return 75, "the store is down"
    if request.name == "t00002.train":
        return 65, "no sample is left"
    return succeed(request)


def searched(**spec: Any) -> Cluster:
    cluster = Cluster()
    cluster.create(**{**SMALL, **spec})
    cluster.run()
    return cluster


def moments(cluster: Cluster) -> Iterator[tuple[Cluster, Cluster]]:
    """All moments of a search: the world just before the controller looks, and the same after it has done all."""
    for _ in range(500):
        before = cluster.fork()
        cluster.settle()
        yield before, cluster
        if not cluster.advance():
            return
    raise AssertionError("no end in sight")


def test_a_search_runs_to_its_end() -> None:
    cluster = searched(budget={"evaluations": 4}, baselines={})
    assert cluster.condition("Succeeded")["status"] == "True"
    assert cluster.search["status"]["progress"]["evaluations"] == 4
    assert len(cluster.started()) == len(set(cluster.started()))
    assert len({name for name, _ in cluster.steps.done}) == len(cluster.steps.done)
    assert {item["status"]["state"] for item in cluster.api.find(TRIALS)} == {"Succeeded"}
    assert not cluster.api.find(CONFIG_MAPS), "documents of finished steps are deleted"
    assert all(job["spec"]["ttlSecondsAfterFinished"] == 3600 for job in cluster.api.find(JOBS))


def test_nothing_of_the_user_s_object_is_written_and_nothing_holds_it_back() -> None:
    cluster = Cluster()
    cluster.create(**SMALL)
    before = {key: value for key, value in cluster.search["metadata"].items() if key != "resourceVersion"}
    spec = cluster.search["spec"]
    cluster.run()
    after = {key: value for key, value in cluster.search["metadata"].items() if key != "resourceVersion"}
    assert (after, cluster.search["spec"]) == (before, spec)
    assert not any("finalizers" in item["metadata"] for item in cluster.api.created)


def test_jobs_that_went_after_their_time_are_not_run_again() -> None:
    cluster = searched()
    started = cluster.started()
    cluster.api.clock += 4000
    cluster.settle()
    assert not cluster.api.find(JOBS)
    cluster.settle()
    assert cluster.started() == started
    assert cluster.condition("Succeeded")["status"] == "True"


@pytest.mark.parametrize("fault", ["kill_before", "kill_after", "lose_answer"])
def test_dying_at_any_call_changes_nothing(fault: Fault) -> None:
    cluster = Cluster()
    cluster.steps.answer = flaky
    cluster.create(**DISTURBED)
    disturbed_calls = 0
    for before, after in moments(cluster):
        for number in range(len(before.api.calls), len(after.api.calls)):
            # After a read, or with its answer lost, is the same moment as before the next call.
            if fault != "kill_before" and not after.api.calls[number].writes:
                continue
            disturbed = before.fork()
            disturbed.api.fault = lambda call, number=number: fault if call.number == number else None
            disturbed.settle()
            disturbed_calls += 1
            assert disturbed.picture() == after.picture(), f"call {number}: {disturbed.api.calls[number]}"
            assert disturbed.started() == after.started()
    assert disturbed_calls > (150 if fault == "kill_before" else 60)
    assert after.condition("Succeeded")["status"] == "True"


@pytest.mark.parametrize(
    "error",
    [
        ConflictError("conflict"),
        TooManyRequestsError("busy", retry_after=1.0),
        ServerUnavailableError("down"),
    ],
)
def test_a_refused_call_is_made_up_for(error: ApiError) -> None:
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
def test_two_controllers_at_once_do_everything_once(seed: int) -> None:
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
def test_a_controller_that_dies_all_the_time_gets_there(seed: int) -> None:
    calm = searched()
    chance = random.Random(seed)
    cluster = Cluster()
    cluster.create(**SMALL)
    faults: list[Fault | None] = [None] * 20 + [
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


def halfway(**spec: Any) -> Cluster:
    """A search whose first trials are on their way."""
    cluster = Cluster()
    cluster.create(**{**SMALL, **spec})
    for _ in range(200):
        cluster.settle()
        if any(".train" in str(job["metadata"]["annotations"]) for job in cluster.running()):
            return cluster
        assert cluster.advance()
    raise AssertionError("no training began")


def test_a_job_deleted_before_its_outcome_was_recorded_is_run_again() -> None:
    cluster = halfway()
    job = cluster.running()[0]
    do(cluster.api.delete(JOBS, KEY.namespace, job["metadata"]["name"]))
    cluster.run()
    assert cluster.condition("Succeeded")["status"] == "True"
    assert len(cluster.started()) == len(searched().started()) + 1


def test_a_job_deleted_after_its_outcome_was_recorded_is_not() -> None:
    calm = searched()
    cluster = halfway()
    for job in cluster.api.find(JOBS):
        if (job.get("status") or {}).get("conditions"):
            do(cluster.api.delete(JOBS, KEY.namespace, job["metadata"]["name"]))
    for pod in cluster.api.find(PODS):
        do(cluster.api.delete(PODS, KEY.namespace, pod["metadata"]["name"]))
    cluster.run()
    assert cluster.started() == calm.started()
    assert sorted(cluster.steps.done) == sorted(calm.steps.done)


def test_a_trial_deleted_by_hand_comes_back_and_finds_its_results() -> None:
    cluster = searched()

    def work() -> list[tuple[str, int]]:
        # The report tells that the trial's steps were found in the store, so it is another report.
        return sorted(entry for entry in cluster.steps.done if not entry[0].startswith("report-"))

    done = work()

    do(cluster.api.delete(TRIALS, KEY.namespace, "simulated-t00001"))
    cluster.api.collect_garbage()
    cluster.run()
    assert cluster.condition("Succeeded")["status"] == "True"
    assert cluster.search["status"]["progress"]["evaluations"] == 2
    assert work() == done


def test_suspended_drains_and_resumes() -> None:
    cluster = halfway()
    cluster.edit(suspend=True)
    running = len(cluster.running())
    while cluster.running():
        cluster.settle()
        assert len(cluster.running()) <= running
        cluster.advance()
    cluster.settle()
    assert cluster.condition("Suspended") | {"lastTransitionTime": None} | {"message": ""} == {
        "type": "Suspended",
        "status": "True",
        "reason": "Suspended",
        "lastTransitionTime": None,
        "message": "",
        "observedGeneration": 2,
    }
    cluster.edit(suspend=False)
    cluster.run()
    assert cluster.started() == searched().started()
    assert cluster.condition("Succeeded")["status"] == "True"


def test_suspended_with_stop_ends_jobs_and_starts_them_again() -> None:
    cluster = halfway()
    cluster.edit(suspend=True, suspendPolicy="Stop")
    cluster.settle()
    assert not cluster.running()
    assert not cluster.api.find(CONFIG_MAPS)
    cluster.edit(suspend=False)
    cluster.run()
    assert cluster.condition("Succeeded")["status"] == "True"
    assert {name for name, _ in cluster.steps.done} == {name for name, _ in searched().steps.done}


def test_a_raised_budget_goes_on() -> None:
    cluster = searched()
    cluster.edit(budget={"evaluations": 3})
    cluster.run()
    assert cluster.search["status"]["progress"]["evaluations"] == 3
    assert cluster.condition("Succeeded")["status"] == "True"
    assert len({name for name, _ in cluster.steps.done}) == len(cluster.steps.done)


def test_a_deleted_search_takes_everything_along() -> None:
    cluster = halfway()
    do(cluster.api.delete(SEARCHES, KEY.namespace, KEY.name))
    assert cluster.step() is None
    cluster.api.collect_garbage()
    assert [key for key in cluster.api.objects if key[0] != "events"] == []


def test_a_search_made_again_under_its_name_adopts_nothing() -> None:
    cluster = halfway()
    first = {item["metadata"]["uid"] for item in cluster.api.objects.values()}
    do(cluster.api.delete(SEARCHES, KEY.namespace, KEY.name))
    cluster.create(**SMALL)
    for _ in range(30):  # the first one's children are still there
        cluster.step()
        for job in cluster.running():
            if job["metadata"]["uid"] not in first:
                cluster.finish(job)
    assert "deleted" in cluster.condition("Ready")["message"]
    assert not any(uid in str(cluster.search["status"]) for uid in first)
    cluster.api.collect_garbage()
    cluster.run()
    assert cluster.condition("Succeeded")["status"] == "True"
    assert not first & {
        item["metadata"]["uid"]
        for item in cluster.api.objects.values()
        if item["kind"] in ("Job", "RecipeTrial")
    }


@pytest.mark.parametrize("kind", [TRIALS, JOBS, CONFIG_MAPS])
def test_a_name_taken_by_somebody_else_stalls_and_is_left_alone(kind: Any) -> None:
    calm = Cluster()
    calm.create(**SMALL)
    calm.run()
    name = next(
        item["metadata"]["name"]
        for item in calm.api.created
        if item["kind"] == kind.kind and "t00001" in item["metadata"]["name"]
    )
    cluster = Cluster()
    cluster.create(**SMALL)
    foreign = {"kind": kind.kind, "metadata": {"name": name, "labels": {"mine": "yes"}}, "spec": {}}
    do(cluster.api.create(kind, KEY.namespace, foreign))
    if kind is not TRIALS:
        # Names of Jobs carry the UID of the search, which must be the same in both worlds.
        assert calm.search["metadata"]["uid"] == cluster.search["metadata"]["uid"]
    stalled = False
    for _ in range(60):
        cluster.settle()
        stalled = cluster.condition("Stalled")["reason"] == "NameConflict"
        if stalled or not cluster.advance():
            break
    assert stalled
    assert name in cluster.condition("Stalled")["message"]
    do(cluster.api.delete(kind, KEY.namespace, name))
    cluster.run()
    assert cluster.condition("Succeeded")["status"] == "True"


@pytest.mark.parametrize(
    ("error", "reason", "stalled"),
    [
        (QuotaExceededError("exceeded quota: jobs"), "QuotaExceeded", "False"),
        (NamespaceTerminatingError("going"), "NamespaceTerminating", "False"),
        (PodSecurityError("violates"), "PodSecurityRefused", "True"),
        (ForbiddenError("no"), "Forbidden", "True"),
        (InvalidObjectError("bad"), "ObjectRefused", "True"),
    ],
)
def test_what_stands_in_the_way_is_told_and_goes_away_by_itself(
    error: ApiError, reason: str, stalled: str
) -> None:
    cluster = Cluster()
    cluster.create(**SMALL)
    refuse = True

    def fault(call: Call) -> Fault | None:
        return error if refuse and call.plural == "jobs" and call.verb == "create" else None

    cluster.api.fault = fault
    cluster.settle()
    assert (cluster.condition("Ready")["reason"], cluster.condition("Stalled")["status"]) == (reason, stalled)
    assert cluster.last.requeue_after is not None
    refuse = False
    cluster.run()
    assert cluster.condition("Succeeded")["status"] == "True"


def test_a_search_that_the_server_let_pass_but_is_not_valid_stalls() -> None:
    cluster = Cluster()
    cluster.create(**SMALL)
    target = {"name": "t", "uri": "t.jsonl"}
    cluster.edit(targets=[target, target])
    cluster.settle()
    assert cluster.condition("Stalled")["reason"] == "InvalidSpec"
    assert "target names must differ" in cluster.condition("Stalled")["message"]


def test_a_search_without_a_store_says_so() -> None:
    cluster = Cluster()
    cluster.create(**SMALL, storage={})
    cluster.settle()
    assert cluster.condition("Stalled")["status"] == "True"
    assert "spec.storage.uri" in cluster.condition("Stalled")["message"]
    assert not cluster.started()


def test_killed_is_no_ordinary_error() -> None:
    assert not issubclass(Killed, Exception)
