"""Searches whose score and evaluate steps are sharded, in the simulated cluster."""

from typing import Any

import pytest

from controller.kube.kinds import JOBS, PODS, TRIALS
from controller.reconcile import StepRequest
from tests.controller.world import Outcome
from tests.kube.fake_api import Fault
from tests.kube.simulation import KEY, SMALL, TINY, Cluster, disturb_every_call, do, searched

SHARDED = {"steps": {"score": {"shards": 3}, "evaluate": {"shards": 2}}}


def result(cluster: Cluster) -> Any:
    """What a search has found, in status and trials."""
    trials = {item["metadata"]["name"]: item["status"]["score"] for item in cluster.api.find(TRIALS)}
    return cluster.search["status"]["best"], trials


def test_shards_change_how_a_search_runs_and_not_what_it_finds() -> None:
    whole, sharded = searched(), searched(**SHARDED)
    assert result(sharded) == result(whole)
    assert sharded.started() == whole.started()
    assert sorted(sharded.steps.done) == sorted(whole.steps.done)
    evaluations = {name for name, _ in whole.steps.done if ".evaluate" in name}
    expected = {("setup.score", index) for index in range(3)}
    expected |= {(name, index) for name in evaluations for index in range(2)}
    assert sorted(sharded.steps.shards) == sorted(expected), "every shard was done once"
    services = [item for item in sharded.api.created if item["kind"] == "Service"]
    assert not services


@pytest.mark.parametrize("fault", ["kill_before", "kill_after", "lose_answer"])
def test_dying_at_any_call_changes_nothing(fault: Fault) -> None:
    cluster = Cluster()
    cluster.create(**{**TINY, **SHARDED})
    cluster.steps.refuse = _refuse_once()
    assert disturb_every_call(cluster, fault) > (150 if fault == "kill_before" else 60)
    assert cluster.condition("Succeeded")["status"] == "True"
    assert len(cluster.steps.shards) == len(set(cluster.steps.shards))


def _refuse_once() -> Any:
    """Fail one shard of the signals the first time, because a store is down."""

    def refuse(request: StepRequest, index: int) -> Outcome | None:
        first = (request.step, request.attempt, index) == ("score", 1, 1)
        return (75, "the store is down") if first else None

    return refuse


def test_only_the_shard_that_failed_is_done_again() -> None:
    cluster = Cluster()
    cluster.create(**{**SMALL, **SHARDED})
    cluster.steps.refuse = _refuse_once()
    cluster.run()
    assert [index for name, index in cluster.steps.shards if name == "setup.score"] == [0, 2, 1]
    assert [name for name in cluster.started() if "setup-score" in name] == [
        f"{_score_job(cluster)}-r{number}" for number in (1, 2)
    ]
    assert result(cluster) == result(searched())


def _score_job(cluster: Cluster) -> str:
    return next(name for name in cluster.started() if "setup-score" in name).rpartition("-")[0]


def test_one_shard_that_fails_for_good_fails_the_step_with_its_sentence() -> None:
    cluster = Cluster()
    cluster.create(**{**SMALL, **SHARDED})
    cluster.steps.refuse = lambda request, index: (
        (65, "item 7 of task gsm8k is broken") if (request.name, index) == ("t00001.evaluate", 1) else None
    )
    cluster.run()
    trial = cluster.api.objects[TRIALS.plural, KEY.namespace, "simulated-t00001"]
    assert "item 7 of task gsm8k is broken" in str(trial["status"])
    assert trial["status"]["state"] in ("Failed", "Invalid")
    assert len([name for name in cluster.started() if "t00001-evaluate" in name]) == 1


@pytest.mark.parametrize("lost", ["all pods", "the pod that merged"])
def test_an_account_that_was_lost_is_read_again_and_nothing_is_done_twice(lost: str) -> None:
    cluster = Cluster()
    cluster.create(**{**SMALL, **SHARDED})
    while not any("setup-score" in job["metadata"]["name"] for job in cluster.running()):
        cluster.settle()
        if not any("setup-score" in job["metadata"]["name"] for job in cluster.running()):
            cluster.advance()
    job = next(job for job in cluster.running() if "setup-score" in job["metadata"]["name"])
    cluster.finish(job)
    for pod in cluster.api.find(PODS):
        name = pod["metadata"]["name"]
        if "setup-score" in name and (lost == "all pods" or name.endswith("-2")):
            do(cluster.api.delete(PODS, KEY.namespace, name))
    cluster.run()
    assert result(cluster) == result(searched())
    assert len(cluster.steps.shards) == len(set(cluster.steps.shards))
    assert [entry for entry in cluster.steps.done if entry[0] == "setup.score"] == [("setup.score", 1)]


def test_another_number_of_shards_while_it_runs_repeats_nothing() -> None:
    cluster = Cluster()
    cluster.create(**{**SMALL, **SHARDED})
    for shards in (4, 1, 5, 2, 7, 3):
        for _ in range(3):
            cluster.settle()
            cluster.advance()
        cluster.edit(steps={"score": {"shards": shards}, "evaluate": {"shards": shards}})
    cluster.run()
    assert result(cluster) == result(searched())
    assert cluster.started() == searched().started()
    assert sorted(cluster.steps.done) == sorted(searched().steps.done)
    assert not [job for job in cluster.api.find(JOBS) if "r2" in job["metadata"]["name"]]
