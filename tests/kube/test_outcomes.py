"""Outcomes: every way a Job can stand or end, and that there is always an answer."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autosel_runtime.errors import ConfigError
from controller.kube.outcomes import MAX_RESTARTS, outcome_of, refused
from tests.kube.samples import condition, job, pod, request

COMPLETE = {"conditions": [condition("SuccessCriteriaMet"), condition("Complete")]}
DISRUPTED = [condition("DisruptionTarget", "PreemptionByScheduler", "preempted by a pod of higher priority")]
FAILED = {"conditions": [condition("FailureTarget"), condition("Failed", "BackoffLimitExceeded", "too many")]}
POLICY = {
    "conditions": [
        condition(
            "Failed",
            "PodFailurePolicy",
            "Container step for pod ml/p0 failed with exit code 65 matching FailJob rule at index 1",
        )
    ]
}


def test_done_with_its_summary() -> None:
    found = outcome_of(job(status=COMPLETE), [pod(code=0, message=json.dumps({"summary": {"steps": 3}}))])
    assert (found.result.state, found.result.attempt, found.result.summary) == ("succeeded", 1, {"steps": 3})
    assert (found.result.started_at, found.result.finished_at) == (1767268800.0, 1767269100.0)
    assert found.waiting is None


def test_of_several_pods_the_first_tells_the_result() -> None:
    pods = [pod(code=0, index=1), pod(code=0, index=0, message=json.dumps({"summary": {"steps": 3}}))]
    assert outcome_of(job(status=COMPLETE), pods).result.summary == {"steps": 3}


@pytest.mark.parametrize("message", ["", "{", '{"summary": 3}', "[1]", "a\nlog", '{"summary": {"x": 1}'])
def test_a_lost_account_asks_for_another_run_that_costs_no_attempt(message: str) -> None:
    found = outcome_of(job(status=COMPLETE), [pod(code=0, message=message)])
    assert (found.result.state, found.result.exit_code, found.word) == ("failed", 75, "ResultLost")
    assert (found.number, found.restarts, found.result.attempt) == (1, 1, 0)
    assert outcome_of(job(status=COMPLETE), []) == found


def test_the_step_says_why_it_failed() -> None:
    failed = pod(code=65, message=json.dumps({"error": "the subset is empty", "exit_code": 65}))
    found = outcome_of(job(status=POLICY), [failed])
    assert (found.result.exit_code, found.result.reason, found.result.attempt) == (
        65,
        "the subset is empty",
        1,
    )


def test_torchrun_hides_the_exit_code_and_the_message_has_it() -> None:
    failed = pod(code=1, message=json.dumps({"error": "loss became NaN", "exit_code": 65}))
    assert outcome_of(job(status=FAILED), [failed]).result.exit_code == 65


def test_without_a_message_the_log_tells() -> None:
    found = outcome_of(
        job(status=FAILED), [pod(code=1, message="x\nerror: cannot load model\n", reason="Error")]
    )
    assert found.result.reason == "the step ended with exit code 1: cannot load model"


def test_pods_that_are_gone_leave_the_job_s_own_words() -> None:
    assert outcome_of(job(status=POLICY), []).result.exit_code == 65
    found = outcome_of(job(status=FAILED), []).result
    assert (found.state, found.exit_code, found.reason) == ("failed", None, "BackoffLimitExceeded: too many")


def test_out_of_memory_counts_and_names_the_limit() -> None:
    found = outcome_of(job(status=FAILED), [pod(code=137, reason="OOMKilled")])
    assert (found.word, found.result.exit_code, found.restarts) == ("OOMKilled", 137, 0)
    assert found.result.reason == "out of memory: killed at the limit of 32Gi"


def test_the_deadline_is_final() -> None:
    status = {"conditions": [condition("Failed", "DeadlineExceeded", "was active longer than specified")]}
    found = outcome_of(job(status=status), [pod(code=137)])
    assert (found.result.exit_code, found.result.reason) == (70, "ran longer than the deadline of 86400 s")


def test_preemption_costs_no_attempt_until_there_were_too_many() -> None:
    pods = [pod(code=143, conditions=DISRUPTED)]
    found = outcome_of(job(status=FAILED), pods)
    assert (found.word, found.restarts, found.result.attempt) == ("PreemptionByScheduler", 1, 0)
    found = outcome_of(job(restarts=MAX_RESTARTS, status=FAILED), pods)
    assert (found.number, found.restarts, found.result.attempt) == (MAX_RESTARTS + 1, MAX_RESTARTS, 1)


def test_a_pod_that_was_replaced_does_not_excuse_the_next_one() -> None:
    pods = [pod(code=143, conditions=DISRUPTED), pod(code=1, message=json.dumps({"error": "broken"}))]
    found = outcome_of(job(status=FAILED), pods)
    assert (found.restarts, found.result.reason) == (0, "broken")


def test_a_disrupted_pod_takes_its_group_down() -> None:
    several = job(status=FAILED, steps={"train": {"nodes": 2}})
    pods = [pod(code=143, conditions=DISRUPTED), pod(code=1, index=1, message="NCCL error")]
    assert outcome_of(several, pods).restarts == 1
    pods[1] = pod(code=65, index=1, message=json.dumps({"error": "loss became NaN"}))
    assert outcome_of(several, pods).result.reason == "loss became NaN"


def sharded(status: dict[str, Any] | None = None) -> dict[str, Any]:
    return job(step="evaluate", status=status, steps={"evaluate": {"shards": 3}})


SHARD_DONE = json.dumps({"shard": {"index": 0, "count": 3}})
SCORES = {"objective": {"mean": 0.5, "stderr": 0.1}}


@pytest.mark.parametrize("merged", [[0], [2], [1, 2], [0, 1, 2]])
def test_of_shards_whoever_merged_tells_the_result(merged: list[int]) -> None:
    message = json.dumps({"summary": SCORES})
    pods = [
        pod(code=0, index=index, message=message if index in merged else SHARD_DONE) for index in range(3)
    ]
    found = outcome_of(sharded(COMPLETE), pods)
    assert (found.result.state, found.result.summary) == ("succeeded", SCORES)


@pytest.mark.parametrize("messages", [[SHARD_DONE] * 3, [SHARD_DONE, "", SHARD_DONE], []])
def test_shards_whose_merged_account_was_lost_are_run_again(messages: list[str]) -> None:
    pods = [pod(code=0, index=index, message=message) for index, message in enumerate(messages)]
    found = outcome_of(sharded(COMPLETE), pods)
    assert (found.word, found.restarts, found.result.attempt) == ("ResultLost", 1, 0)


def test_a_shard_that_fails_for_good_tells_why_whoever_fell_first() -> None:
    pods = [
        pod(code=75, message=json.dumps({"error": "the store is down"}), finished="2026-01-01T12:00:01Z"),
        pod(code=65, index=1, message=json.dumps({"error": "item 7 is broken"})),
        pod(code=137, index=2, finished="2026-01-01T12:00:02Z"),
        pod(code=143, index=2, conditions=DISRUPTED),
    ]
    found = outcome_of(sharded(POLICY), pods)
    assert (found.result.exit_code, found.result.reason, found.restarts) == (65, "item 7 is broken", 0)


def test_a_shard_without_memory_is_no_victim_of_a_disrupted_one() -> None:
    pods = [pod(code=143, conditions=DISRUPTED), pod(code=137, index=1, reason="OOMKilled")]
    assert outcome_of(sharded(FAILED), pods).word == "OOMKilled"


def test_shards_wait_only_if_none_of_them_runs() -> None:
    waits = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "no gpu"}
    pending = [pod(index=index, conditions=[waits], phase="Pending") for index in range(3)]
    found = outcome_of(sharded(), pending)
    assert found.waiting is not None
    assert found.waiting.reason == "Unschedulable"
    assert outcome_of(sharded(), [pod(), *pending[1:]]).waiting is None
    group = job(steps={"train": {"nodes": 3}})
    assert outcome_of(group, [pod(), *pending[1:]]).waiting is not None


def test_of_several_failed_pods_the_cause_is_told_not_the_victims() -> None:
    several = job(status=FAILED, steps={"train": {"nodes": 3}})
    pods = [
        pod(code=143, finished="2026-01-01T12:00:01Z"),
        pod(code=1, index=1, message="late", finished="2026-01-01T12:00:03Z"),
        pod(code=1, index=2, message="early", finished="2026-01-01T12:00:02Z"),
    ]
    assert outcome_of(several, pods).result.reason == "the step ended with exit code 1: early"


@pytest.mark.parametrize(
    ("reason", "counts"), [("NodeLost", False), ("UnexpectedAdmissionError", False), ("Evicted", True)]
)
def test_ends_by_the_node(reason: str, counts: bool) -> None:
    ended = pod(phase="Failed", reason="", containerStatuses=[])
    ended["status"] |= {"reason": reason, "message": "used too much disk"}
    found = outcome_of(job(status=FAILED), [ended])
    assert (found.restarts == 0) == counts
    assert "used too much disk" in found.result.reason


def test_a_refused_job_failed_for_good() -> None:
    found = refused(request(attempt=2), ConfigError("spec.storage.uri: missing"), restarts=1, now=5.0)
    assert (found.result.state, found.result.exit_code, found.number, found.result.attempt) == (
        "failed",
        78,
        3,
        2,
    )


def waiting_pod(reason: str, message: str = "") -> dict[str, Any]:
    waiting = {"waiting": {"reason": reason, "message": message}}
    return pod(phase="Pending") | {
        "status": {"phase": "Pending", "containerStatuses": [{"name": "step", "state": waiting}]}
    }


def test_why_a_job_does_nothing() -> None:
    def why(job_: dict[str, Any], *pods: dict[str, Any]) -> tuple[str, str]:
        found = outcome_of(job_, pods)
        assert found.result.state == "running"
        assert found.waiting is not None
        assert found.result.reason == f"{found.waiting.reason}: {found.waiting.message}"
        return found.waiting.reason, found.waiting.message

    queued = job(scheduling={"queueName": "team"})
    queued["spec"] = {**queued["spec"], "suspend": True}
    assert why(queued) == ("Queued", "waits for quota in queue team")
    assert why(job())[0] == "NoPod"
    unschedulable = {
        "type": "PodScheduled",
        "status": "False",
        "reason": "Unschedulable",
        "message": "0/4 nodes: no gpu",
    }
    pending = pod(conditions=[unschedulable], phase="Pending", containerStatuses=[])
    assert why(job(), pending) == ("Unschedulable", "0/4 nodes: no gpu")
    assert why(job(), waiting_pod("ImagePullBackOff", "no such image")) == (
        "ImagePullBackOff",
        "no such image",
    )
    missing = ("CreateContainerConfigError", 'secret "s3" not found')
    assert why(job(), waiting_pod(*missing)) == missing
    ending = pod(conditions=DISRUPTED)
    ending["metadata"]["deletionTimestamp"] = "2026-01-01T12:00:00Z"
    assert why(job(), ending)[0] == "Terminating"
    deleted = job()
    deleted["metadata"] = {**deleted["metadata"], "deletionTimestamp": "2026-01-01T12:00:00Z"}
    assert why(deleted, pod())[0] == "Terminating"


def test_a_running_job_waits_for_nothing() -> None:
    assert outcome_of(job(), [pod(code=143, conditions=DISRUPTED), pod()]).waiting is None


def test_a_foreign_job_is_an_error() -> None:
    with pytest.raises(ValueError, match="labels"):
        outcome_of({"metadata": {"name": "x"}}, [])


TEXT = st.text(max_size=30)
CONDITIONS = st.lists(
    st.fixed_dictionaries(
        {"type": st.sampled_from(["Complete", "Failed", "DisruptionTarget", "PodScheduled", "Suspended"])},
        optional={
            "status": st.sampled_from(["True", "False", "Unknown"]),
            "reason": TEXT,
            "message": TEXT,
            "lastTransitionTime": TEXT,
        },
    ),
    max_size=4,
)
STATE = st.one_of(
    st.fixed_dictionaries({"waiting": st.fixed_dictionaries({}, optional={"reason": TEXT, "message": TEXT})}),
    st.just({"running": {}}),
    st.fixed_dictionaries(
        {
            "terminated": st.fixed_dictionaries(
                {"exitCode": st.integers(0, 255)},
                optional={
                    "message": st.one_of(
                        TEXT,
                        st.recursive(
                            st.none() | st.booleans() | st.integers() | TEXT,
                            lambda inner: (
                                st.dictionaries(st.sampled_from(["summary", "error", "exit_code"]), inner)
                                | st.lists(inner, max_size=2)
                            ),
                        ).map(json.dumps),
                    ),
                    "reason": TEXT,
                    "finishedAt": TEXT,
                },
            )
        }
    ),
    st.just({}),
)
PODS = st.lists(
    st.fixed_dictionaries(
        {},
        optional={
            "metadata": st.fixed_dictionaries(
                {}, optional={"deletionTimestamp": TEXT, "annotations": st.none()}
            ),
            "status": st.fixed_dictionaries(
                {},
                optional={
                    "phase": st.sampled_from(["Pending", "Running", "Succeeded", "Failed", "Unknown"]),
                    "reason": TEXT,
                    "conditions": CONDITIONS,
                    "containerStatuses": st.lists(
                        st.fixed_dictionaries({"name": st.sampled_from(["step", "other"]), "state": STATE}),
                        max_size=2,
                    ),
                },
            ),
        },
    ),
    max_size=3,
)


@given(CONDITIONS, PODS, st.integers(0, 30), st.booleans())
def test_there_is_always_an_outcome(conditions: Any, pods: Any, restarts: int, suspended: bool) -> None:
    some = job(restarts=restarts, status={"conditions": conditions})
    some["spec"] = {**some["spec"], "suspend": suspended}
    found = outcome_of(some, pods)
    assert found.number == restarts + 1
    assert restarts <= found.restarts <= max(restarts, MAX_RESTARTS)
    assert found.result.state in ("running", "succeeded", "failed")
    assert (found.result.state == "failed") <= bool(found.result.reason)
    assert (found.result.finished_at is None) == (found.result.state == "running")
    assert len(found.result.reason) <= 1000
    assert found.waiting is None or found.result.state == "running"
