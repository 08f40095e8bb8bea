"""Whole searches in a simulated cluster, undisturbed but for their users. What faults do to them is in ``faults``."""

from typing import Any

import pytest

from controller.kube.kinds import CONFIG_MAPS, JOBS, TRIALS
from tests.kube.fake_api import Killed
from tests.kube.simulation import KEY, SMALL, Cluster, do, halfway, searched


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
