"""Faults 7 to 11: pods that are taken away, killed, lost with their node, queued again, or never run."""

import pytest

from controller.kube.kinds import JOBS, PODS
from tests.kube.faults.pods import DISRUPTED, end_job, ended, newest, put_pod, reach, trial_condition
from tests.kube.simulation import KEY, SMALL, Cluster, do, searched

TRAIN = "t00001.train"


def prepared(**spec: object) -> Cluster:
    cluster = Cluster()
    cluster.create(**{**SMALL, **spec})
    return cluster


def test_fault_07_a_pod_that_its_job_replaces_changes_nothing() -> None:
    cluster = prepared()
    job = reach(cluster, TRAIN)
    put_pod(cluster, job, ended(143, conditions=[DISRUPTED]))
    cluster.settle()
    assert newest(cluster, TRAIN) == job, "the Job makes the next pod by itself"
    cluster.run()
    assert cluster.started() == searched().started()


@pytest.mark.parametrize(
    "status",
    [
        ended(143, conditions=[DISRUPTED]),
        {"phase": "Failed", "reason": "NodeShutdown", "message": "going down"},
    ],
    ids=["preempted", "node shut down"],
)
def test_fault_07_what_the_infrastructure_takes_away_costs_no_attempt(status: dict[str, object]) -> None:
    cluster = prepared(failurePolicy={"retries": 0})
    for _ in range(5):
        job = reach(cluster, TRAIN)
        put_pod(cluster, job, status)
        end_job(cluster, job)
        cluster.settle()
        assert newest(cluster, TRAIN) is None, "the next Job waits a little"
        assert trial_condition(cluster, "t00001", "Reconciling")["status"] == "True"
        assert trial_condition(cluster, "t00001", "Reconciling")["reason"] in (
            "PreemptionByScheduler",
            "NodeShutdown",
        )
        cluster.api.clock += 100
    cluster.run()
    assert cluster.condition("Succeeded")["status"] == "True"
    calm = searched()
    assert cluster.search["status"]["best"] == calm.search["status"]["best"]
    assert len(cluster.started()) == len(calm.started()) + 5


def test_fault_07_a_cluster_that_takes_every_pod_away_is_not_fed_for_ever() -> None:
    cluster = prepared()
    for count in range(100):
        job = newest(cluster, TRAIN) if count else reach(cluster, TRAIN)
        if job is not None:
            put_pod(cluster, job, ended(143, conditions=[DISRUPTED]))
            end_job(cluster, job)
        cluster.settle()
        if cluster.condition("Stalled")["status"] == "True":
            break
        cluster.api.clock += 300
    assert cluster.condition("Stalled")["status"] == "True"
    assert "a pod of higher priority took the node" in cluster.condition("Stalled")["message"]
    assert len([name for name in cluster.started() if "t00001-train" in name]) < 30


def test_fault_08_out_of_memory_is_tried_again_and_then_fails_one_trial() -> None:
    cluster = prepared(failurePolicy={"retries": 2})
    for _ in range(3):
        job = reach(cluster, TRAIN)
        put_pod(cluster, job, ended(137, reason="OOMKilled"))
        end_job(cluster, job)
        cluster.settle()
        cluster.api.clock += 100
    cluster.settle()
    trial = trial_condition(cluster, "t00001", "Succeeded")
    assert (trial["status"], trial["reason"]) == ("False", "Failed")
    assert "out of memory: killed at the limit of" in trial["message"]
    cluster.run()
    assert cluster.condition("Succeeded")["status"] == "True"
    assert cluster.search["status"]["progress"]["evaluations"] == 2, "a failed trial costs no budget"
    assert cluster.search["status"]["progress"]["failed"] == 1
    assert len([name for name in cluster.started() if "t00001-train" in name]) == 3


def test_fault_09_a_pod_that_never_ends_is_told_and_not_overtaken() -> None:
    cluster = prepared()
    job = reach(cluster, TRAIN)
    assert job["spec"]["podReplacementPolicy"] == "Failed"
    stuck = put_pod(
        cluster,
        job,
        {"phase": "Running", "conditions": [{**DISRUPTED, "reason": "DeletionByTaintManager"}]},
        leaving=True,
    )
    started = cluster.started()
    for _ in range(20):
        cluster.settle()
        cluster.api.clock += 90
    assert cluster.started() == started
    told = trial_condition(cluster, "t00001", "Reconciling")
    assert (told["status"], told["reason"]) == ("True", "Terminating")
    assert "waits" in cluster.search["status"]["progress"]["stage"]
    # The node is removed, and the pod with it: the Job goes on with another one.
    do(cluster.api.delete(PODS, KEY.namespace, stuck))
    cluster.run()
    assert cluster.started() == searched().started()


def test_fault_10_a_job_that_the_queue_takes_back_waits_and_fails_nothing() -> None:
    cluster = prepared(scheduling={"queueName": "team"})
    for _ in range(3):
        job = reach(cluster, TRAIN)
        name = job["metadata"]["name"]
        do(
            cluster.api.patch(
                JOBS, KEY.namespace, name, {"status": {"startTime": "2026-01-01T00:00:00Z"}}, "status"
            )
        )
        do(cluster.api.patch(JOBS, KEY.namespace, name, {"spec": {"suspend": True}}))
        do(cluster.api.patch(JOBS, KEY.namespace, name, {"status": {"startTime": None}}, "status"))
        cluster.settle()
        told = trial_condition(cluster, "t00001", "Reconciling")
        assert told["reason"] == "Queued"
        assert "waits for quota in queue team" in told["message"]
        assert cluster.search["status"]["progress"]["pending"] >= 1
        do(cluster.api.patch(JOBS, KEY.namespace, name, {"spec": {"suspend": False}}))
        cluster.settle()
        kept = cluster.api.objects[JOBS.plural, KEY.namespace, name]
        assert kept["spec"]["suspend"] is False, "nobody takes back what the queue wrote"
    cluster.run()
    assert cluster.started() == searched().started()


WAITING = {
    "ImagePullBackOff": {
        "phase": "Pending",
        "containerStatuses": [
            {"name": "step", "state": {"waiting": {"reason": "ImagePullBackOff", "message": "no such image"}}}
        ],
    },
    "Unschedulable": {
        "phase": "Pending",
        "conditions": [
            {
                "type": "PodScheduled",
                "status": "False",
                "reason": "Unschedulable",
                "message": "no node has a device",
            }
        ],
    },
}


@pytest.mark.parametrize("reason", WAITING)
def test_fault_11_a_pod_that_cannot_run_is_told_and_its_deadline_spoils_no_trial(reason: str) -> None:
    alone = {"untuned": False, "full_pool": False, "random_subset": False}
    cluster = prepared(baselines=alone, parallelism=1)
    job = reach(cluster, TRAIN)
    put_pod(cluster, job, WAITING[reason])
    cluster.settle()
    assert trial_condition(cluster, "t00001", "Reconciling")["reason"] == reason
    assert reason in cluster.search["status"]["progress"]["stage"]
    end_job(cluster, job, reason="DeadlineExceeded")
    cluster.settle()
    stalled = cluster.condition("Stalled")
    assert (stalled["status"], stalled["reason"]) == ("True", "Failed")
    assert "waited until its deadline" in stalled["message"]
    assert reason in stalled["message"]
    # Somebody adds a node: suspended and resumed, the search goes on to the same end.
    cluster.edit(suspend=True)
    cluster.settle()
    assert cluster.condition("Stalled")["status"] == "False"
    cluster.edit(suspend=False)
    cluster.run()
    assert cluster.condition("Succeeded")["status"] == "True"
    assert cluster.search["status"]["progress"]["failed"] == 0
    assert (
        cluster.search["status"]["best"] == searched(baselines=alone, parallelism=1).search["status"]["best"]
    )
