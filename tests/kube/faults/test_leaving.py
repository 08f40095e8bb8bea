"""Faults 15 and 19 on a real API server: namespaces on their way out, and objects that a finalizer keeps."""

from typing import Any

from tests.kube.ends import SMALL, end_of
from tests.kube.keeping import held_controllers, keep
from tests.kube.operating import Bench, operator_of_both
from tests.kube.plane import until


def train_job(bench: Bench, number: int) -> str | None:
    """The name of the first trial's train Job, if it is there."""
    return next((job for job in bench.jobs() if job.endswith(f"t00001-train-r{number}")), None)


def test_fault_19_a_namespace_that_is_being_deleted_is_told_and_others_go_on(
    bench: Bench, other: Bench, calm: dict[str, Any]
) -> None:
    with other.kubelet() as kubelet, operator_of_both(bench, other) as operator:
        bench.create(**SMALL, suspend=True)
        until(lambda: bench.condition("Suspended").get("status") == "True", what="the search is seen")
        with held_controllers(bench.plane):
            bench.plane.must("delete", "namespace", bench.namespace, "--wait=false")
            bench.patch({"suspend": False})
            until(lambda: bench.condition("Ready").get("reason") == "NamespaceTerminating", what="it is told")
            assert bench.condition("Stalled")["status"] == "False"
            looks = operator.looks()
            writes = operator.writes(after=5.0)
            looks = operator.looks() - looks
            assert operator.writes() - writes <= 2 * looks, "no more than one try a look"
        until(
            lambda: bench.plane.kubectl("get", "namespace", bench.namespace).returncode != 0,
            what="the namespace is gone",
        )
        before = operator.writes()
        assert operator.writes(after=5.0) == before, "nobody asks for what is gone"
        other.create(**SMALL)
        assert end_of(other, kubelet) == calm
        assert operator.process is not None
        assert operator.process.poll() is None, operator.log()


def test_fault_15_a_search_that_a_finalizer_keeps_starts_nothing_more(bench: Bench) -> None:
    with bench.kubelet(hold=lambda job: "train" in job) as kubelet, bench.operator() as operator:
        bench.create(**SMALL)
        until(lambda: train_job(bench, 1), what="training begins")
        keep(bench, "rsearch", "simulated", kept=True)
        bench.delete("rsearch", "simulated")
        kubelet.hold = lambda job: False
        until(
            lambda: any(name == "t00001.train" for name, _ in kubelet.steps.done),
            what="the step that ran ends",
        )
        before = operator.writes()
        assert operator.writes(after=5.0) == before, "a search that goes is left alone"
        assert not any("evaluate" in job for job in kubelet.jobs_seen)
        keep(bench, "rsearch", "simulated", kept=False)
        until(
            lambda: not bench.all("rtrial") and not bench.jobs() and not bench.all("configmaps")[1:],
            what="all that belonged to the search is collected",
        )


def test_fault_12_a_job_that_a_finalizer_keeps_is_waited_for_and_made_again(
    bench: Bench, calm: dict[str, Any]
) -> None:
    with bench.kubelet(hold=lambda job: job.endswith("train-r1")) as kubelet, bench.operator():
        bench.create(**SMALL)
        job = until(lambda: train_job(bench, 1), what="training begins")
        keep(bench, "job", job, kept=True)
        bench.delete("job", job)

        def told() -> bool:
            return "Terminating" in ((bench.search()["status"]).get("progress") or {}).get("stage", "")

        until(told, what="the stage says what it waits for")
        assert train_job(bench, 2) is None, "no second Job beside the first"
        keep(bench, "job", job, kept=False)
        assert end_of(bench, kubelet) == calm
    assert train_job(bench, 2) in kubelet.jobs_seen


def test_fault_12_a_trial_that_a_finalizer_keeps_is_waited_for_and_finds_its_results(
    bench: Bench, calm: dict[str, Any]
) -> None:
    with bench.kubelet(hold=lambda job: "evaluate" in job) as kubelet, bench.operator():
        bench.create(**SMALL)
        until(lambda: any("evaluate" in job for job in bench.jobs()), what="evaluation begins")
        keep(bench, "rtrial", "simulated-t00001", kept=True)
        bench.delete("rtrial", "simulated-t00001")
        until(
            lambda: bench.condition("Ready").get("reason") == "WaitingForDeletion",
            what="the conditions say what it waits for",
        )
        assert bench.condition("Stalled")["status"] == "False"
        keep(bench, "rtrial", "simulated-t00001", kept=False)
        kubelet.hold = lambda job: False
        assert end_of(bench, kubelet) == calm
