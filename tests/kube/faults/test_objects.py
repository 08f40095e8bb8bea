"""Faults 12, 15, 16 and 17: what people delete, make again and edit while a search runs."""

from typing import Any

import pytest

from controller.kube.kinds import CONFIG_MAPS, JOBS, PODS, SEARCHES, TRIALS
from controller.kube.passes import reconcile_search
from tests.kube.fake_api import Call, Fault
from tests.kube.faults.pods import newest, reach
from tests.kube.simulation import KEY, SMALL, TINY, Cluster, do, drive, halfway, moments, searched


def test_fault_12_jobs_that_went_after_their_time_are_not_run_again() -> None:
    cluster = searched()
    started = cluster.started()
    cluster.api.clock += 4000
    cluster.settle()
    assert not cluster.api.find(JOBS)
    cluster.settle()
    assert cluster.started() == started
    assert cluster.condition("Succeeded")["status"] == "True"


def test_fault_12_a_job_deleted_before_its_outcome_was_recorded_is_run_again() -> None:
    cluster = halfway()
    job = cluster.running()[0]
    do(cluster.api.delete(JOBS, KEY.namespace, job["metadata"]["name"]))
    cluster.run()
    assert cluster.condition("Succeeded")["status"] == "True"
    assert len(cluster.started()) == len(searched().started()) + 1


def test_fault_12_a_job_deleted_after_its_outcome_was_recorded_is_not() -> None:
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


def test_fault_12_a_trial_deleted_by_hand_comes_back_and_finds_its_results() -> None:
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


def test_fault_15_a_deleted_search_takes_everything_along() -> None:
    cluster = halfway()
    do(cluster.api.delete(SEARCHES, KEY.namespace, KEY.name))
    assert cluster.step() is None
    cluster.api.collect_garbage()
    assert [key for key in cluster.api.objects if key[0] != "events"] == []


def test_fault_16_a_search_made_again_under_its_name_adopts_nothing() -> None:
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


def test_fault_12_a_job_deleted_by_hand_leaves_no_document_behind() -> None:
    cluster = halfway()
    for _ in range(3):
        job = reach(cluster, "t00001.train")
        do(cluster.api.delete(JOBS, KEY.namespace, job["metadata"]["name"]))
        cluster.settle()
        cluster.api.clock += 100
    cluster.run()
    assert cluster.condition("Succeeded")["status"] == "True"
    assert not cluster.api.find(CONFIG_MAPS)


def test_fault_12_a_job_stays_a_minute_after_its_outcome_was_recorded() -> None:
    cluster = Cluster()
    cluster.create(**TINY)
    cluster.settle()
    job = cluster.running()[0]
    cluster.finish(job)
    cluster.api.clock += 86_400  # the operator was away for a day
    cluster.settle()
    kept = cluster.api.objects[JOBS.plural, KEY.namespace, job["metadata"]["name"]]
    assert kept["spec"]["ttlSecondsAfterFinished"] == 86_400 + 60
    cluster.api.clock += 61
    cluster.api.collect_garbage()
    assert (JOBS.plural, KEY.namespace, job["metadata"]["name"]) not in cluster.api.objects


def test_fault_12_stopping_and_resuming_costs_nothing_however_often() -> None:
    cluster = Cluster()
    cluster.create(**SMALL, failurePolicy={"retries": 0})
    reach(cluster, "t00001.train")
    for _ in range(25):
        cluster.edit(suspend=True, suspendPolicy="Stop")
        cluster.settle()
        assert not cluster.running()
        clock = cluster.api.clock
        cluster.edit(suspend=False)
        cluster.settle()
        assert newest(cluster, "t00001.train") is not None, "resumed means begun again, without a pause"
        assert cluster.api.clock == clock
    cluster.run()
    assert cluster.condition("Succeeded")["status"] == "True"
    assert cluster.search["status"]["progress"]["failed"] == 0
    assert cluster.search["status"]["best"] == searched().search["status"]["best"]


@pytest.mark.parametrize(
    "again", [False, True], ids=["fault 15: deleted", "fault 16: deleted and made again"]
)
def test_fault_15_fault_16_a_search_deleted_under_a_pass_leaves_nothing_behind(again: bool) -> None:
    cluster = Cluster()
    cluster.create(**TINY)
    for before, after in moments(cluster):
        for number in range(len(before.api.calls), len(after.api.calls)):
            if after.api.calls[number].plural == "recipesearches" and after.api.calls[number].verb == "get":
                continue  # then it is gone before the pass begins
            world = before.fork()

            def take_away(call: Call, number: int = number, world: Cluster = world) -> Fault | None:
                if call.number == number:
                    reference = (SEARCHES.plural, KEY.namespace, KEY.name)
                    world.api.objects = dict(world.api.objects)
                    del world.api.objects[reference]
                    if again:
                        world.api.objects[reference] = successor(world)
                return None

            world.api.fault = take_away
            while len(world.api.calls) <= number:
                drive(reconcile_search(world.api, KEY, world.settings))
            world.api.fault = lambda call: None
            world.api.collect_garbage()
            if not again:
                assert [key for key in world.api.objects if key[0] != "events"] == [], f"call {number}"
                continue
            assert "status" not in world.search, f"call {number}: the next search gets nothing of the first"
            world.settle()
            owned = [item for item in world.api.objects.values() if item["kind"] in ("Job", "RecipeTrial")]
            assert all("uid-of-the-next" in str(item["metadata"]) for item in owned), f"call {number}"


def successor(world: Cluster) -> dict[str, Any]:
    """The search made again: another UID, nothing known of the first."""
    created = next(item for item in world.api.created if item["kind"] == "RecipeSearch")
    return {
        **created,
        "metadata": {**created["metadata"], "uid": "uid-of-the-next", "resourceVersion": "99999"},
    }


def test_fault_17_parallelism_and_budget_edited_at_any_moment_end_cleanly() -> None:
    spec = {**SMALL, "budget": {"evaluations": 3}, "parallelism": 3}
    calm = Cluster()
    calm.create(**spec)
    for before, _ in moments(calm):
        edited = before.fork()
        edited.edit(parallelism=1)
        jobs = {job["metadata"]["uid"] for job in edited.running()}
        edited.settle()
        assert jobs <= {job["metadata"]["uid"] for job in edited.running()}, (
            "lowering drains, it stops nothing"
        )
        edited.edit(budget={"evaluations": 1})  # below what may have been used
        edited.run()
        progress = edited.search["status"]["progress"]
        assert edited.condition("Succeeded")["status"] == "True"
        assert progress["evaluations"] <= 3
        assert not edited.running()
        names = edited.started()
        assert len(names) == len(set(names))
        edited.edit(budget={"evaluations": 3}, parallelism=2)
        edited.run()
        assert edited.search["status"]["progress"]["evaluations"] == 3
        assert edited.condition("Succeeded")["status"] == "True"
