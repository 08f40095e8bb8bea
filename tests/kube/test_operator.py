"""The operator as a process against a real API server: whole searches, disturbed in every way."""

import random
import re
import time

from tests.kube.operating import Bench
from tests.kube.plane import Plane, until


def plain(name: str) -> str:
    """A Job's name without the hash of its search's UID and without that of a report."""
    return re.sub(r"-report-.*", "-report", re.sub(r"^simulated-[0-9a-f]{6}-", "", name))


def test_a_search_ends_well_and_killing_the_operator_changes_nothing(bench: Bench, plane: Plane) -> None:
    chance = random.Random(1)
    with bench.kubelet() as kubelet:
        bench.create()
        operator = bench.operator().start()
        end, lives = time.monotonic() + 600, 0
        while not bench.succeeded():
            assert time.monotonic() < end, operator.log()
            lives += 1  # on a busy machine the start alone may take seconds, in which nothing is disturbed
            until(lambda lives=lives: operator.log().count(" leads") >= lives, what="it leads again")
            time.sleep(chance.uniform(0.1, 2.0))
            operator.kill()
            operator.start()
        until(  # a pass marks Jobs to go after it has said that the search succeeded
            lambda: all("ttlSecondsAfterFinished" in job["spec"] for job in bench.all("jobs")),
            what="all Jobs are marked to go",
        )
        first, done = bench.search(), list(kubelet.steps.done)
        disturbed = {plain(name) for name in kubelet.jobs_seen}
        operator.kill()
    assert len(done) == len(set(done)), "a step was carried out twice"
    assert first["status"]["progress"]["evaluations"] == 2
    assert "finalizers" not in first["metadata"]
    assert not [key for key in first["metadata"].get("annotations", {}) if "kopf" in key]
    assert all(job["spec"]["ttlSecondsAfterFinished"] == 3600 for job in bench.all("jobs"))
    assert {trial["status"]["state"] for trial in bench.all("rtrial")} == {"Succeeded"}

    bench.delete("rsearch", "simulated")
    until(
        lambda: not bench.all("rtrial") and not bench.jobs() and not bench.all("configmaps")[1:],
        what="everything that belonged to the search is collected",
    )

    # The same search made again: nothing is adopted, and undisturbed it comes to the same end.
    with bench.kubelet() as kubelet, bench.operator():
        bench.create()
        second = bench.wait_for_end()
        told = {"Accepted", "NewBest", "BudgetExhausted", "Finished", "TrialSucceeded"}
        until(lambda: told <= reasons(bench), what="all events, the last of which follow the status")
        calm = {plain(name) for name in kubelet.jobs_seen}
    assert second["metadata"]["uid"] != first["metadata"]["uid"]
    assert second["status"]["best"]["recipeDigest"] == first["status"]["best"]["recipeDigest"]
    assert second["status"]["best"]["score"] == first["status"]["best"]["score"]
    assert calm == disturbed
    header, row = plane.must("-n", bench.namespace, "get", "rsearch").splitlines()
    assert dict(zip(header.split(), row.split(), strict=False))["EVALUATIONS"] == "2/2"


def reasons(bench: Bench) -> set[str]:
    """Reasons of the events so far."""
    return {event["reason"] for event in bench.all("events")}


def test_fault_18_fault_23_only_one_of_two_operators_acts_and_the_other_takes_over(bench: Bench) -> None:
    with (
        bench.kubelet(hold=lambda job: "train" in job) as kubelet,
        bench.operator("a") as first,
        bench.operator("b") as second,
    ):
        bench.create()
        until(lambda: any("train" in job for job in bench.jobs()), what="training begins")
        leaders = [operator for operator in (first, second) if operator.leads()]
        assert len(leaders) == 1
        other = second if leaders[0] is first else first
        assert leaders[0].terminate() == 0, leaders[0].log()
        lease = bench.plane.get("-n", bench.namespace, "lease", "autosel-operator")
        assert lease["spec"]["holderIdentity"] in ("", other.identity), "it was given up, not waited for"
        until(other.leads, what="the other takes over")
        kubelet.hold = lambda job: False
        bench.wait_for_end()
        until(
            lambda: other.ready() and other.writes() == other.writes(after=5.0),
            what="a finished search is left alone",
        )
        assert other.probe("/healthz") == (200, "ok\n")
    assert len(kubelet.steps.done) == len(set(kubelet.steps.done))


def test_suspended_stops_resumes_and_goes_on_with_a_raised_budget(bench: Bench) -> None:
    with bench.kubelet(hold=lambda job: "train" in job) as kubelet, bench.operator():
        bench.create()
        until(lambda: any("train" in job for job in bench.jobs()), what="training begins")
        assert bench.patch({"suspend": True, "suspendPolicy": "Stop"}).returncode == 0
        until(lambda: not any("train" in job for job in bench.jobs()), what="training is stopped")
        until(lambda: bench.condition("Suspended").get("reason") == "Suspended", what="the status says so")
        kubelet.hold = lambda job: False
        assert bench.patch({"suspend": False}).returncode == 0
        bench.wait_for_end()
        assert bench.patch({"budget": {"evaluations": 3}}).returncode == 0
        until(lambda: bench.search()["status"]["progress"]["evaluations"] == 3, what="the third evaluation")
        bench.wait_for_end()
        refused = bench.patch({"model": {"uri": "other"}})
    assert "model is fixed once the search exists" in refused.stderr
    assert len(kubelet.steps.done) == len(set(kubelet.steps.done))


def test_what_is_deleted_by_hand_is_made_up_for(bench: Bench) -> None:
    with bench.kubelet(hold=lambda job: "train-r1" in job) as kubelet, bench.operator():
        bench.create()
        job = until(
            lambda: next((job for job in bench.jobs() if job.endswith("train-r1")), None), what="training"
        )
        bench.delete("job", job)  # before its outcome
        again = job.removesuffix("1") + "2"
        until(lambda: again in kubelet.jobs_seen, what="the Job is made again")
        kubelet.hold = lambda job: False
        bench.wait_for_end()
        done = [entry for entry in kubelet.steps.done if not entry[0].startswith("report-")]
        for name in bench.jobs():  # after their outcomes
            bench.delete("job", name)
        bench.delete("rtrial", "simulated-t00001")
        until(
            lambda: "simulated-t00001" in [trial["metadata"]["name"] for trial in bench.all("rtrial")],
            what="the trial comes back",
        )
        until(
            lambda: all(
                (trial.get("status") or {}).get("state") == "Succeeded" for trial in bench.all("rtrial")
            ),
            what="the trial finds its results",
        )
        bench.wait_for_end()
    assert [entry for entry in kubelet.steps.done if not entry[0].startswith("report-")] == done
    trial = next(item for item in bench.all("rtrial") if item["metadata"]["name"] == "simulated-t00001")
    assert trial["metadata"]["ownerReferences"][0]["uid"] == bench.search()["metadata"]["uid"]


def test_sharded_steps_run_as_indexed_jobs_of_a_real_cluster(bench: Bench) -> None:
    with bench.kubelet() as kubelet, bench.operator():
        kubelet.steps.refuse = lambda request, index: (
            (75, "the store is down") if (request.step, request.attempt, index) == ("score", 1, 1) else None
        )
        bench.create(steps={"score": {"shards": 3}, "evaluate": {"shards": 2}})
        found = bench.wait_for_end()
    jobs = {plain(job["metadata"]["name"]): job for job in bench.all("jobs")}
    first, second = jobs["setup-score-r1"], jobs["setup-score-r2"]
    assert {entry["type"]: entry["reason"] for entry in first["status"]["conditions"]}[
        "Failed"
    ] == "FailedIndexes"
    assert (first["status"]["completedIndexes"], first["status"]["failedIndexes"]) == ("0,2", "1")
    assert second["status"]["completedIndexes"] == "0-2"
    assert [index for name, index in kubelet.steps.shards if name == "setup.score"].count(1) == 1
    assert len(kubelet.steps.shards) == len(set(kubelet.steps.shards)), "a shard was done twice"
    assert {job["spec"]["completions"] for name, job in jobs.items() if "-evaluate" in name} == {2}
    assert found["status"]["progress"]["evaluations"] == 2


def test_a_shard_that_fails_for_good_ends_its_job_at_once(bench: Bench) -> None:
    with bench.kubelet(hold=lambda job: False) as kubelet, bench.operator():
        kubelet.steps.refuse = lambda request, index: (
            (66, "the model is not there") if (request.step, index) == ("score", 1) else None
        )
        bench.create(steps={"score": {"shards": 2}})
        until(lambda: bench.condition("Stalled").get("status") == "True", what="the search stalls")
    assert "the model is not there" in bench.condition("Stalled")["message"]
    assert [name for name in map(plain, bench.jobs()) if "score" in name] == ["setup-score-r1"]
