"""Fault 19 on a real API server: quotas, limit ranges and webhooks that refuse what a search needs."""

from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.kube.ends import SMALL, end_of, plain
from tests.kube.operating import Bench, operator_of_both
from tests.kube.plane import Object, until
from tests.kube.webhook import EVERYTHING, JOBS, webhook


def quota(namespace: str, hard: dict[str, str]) -> Object:
    """A ResourceQuota."""
    return {
        "apiVersion": "v1",
        "kind": "ResourceQuota",
        "metadata": {"name": "small", "namespace": namespace},
        "spec": {"hard": hard},
    }


def tells(bench: Bench, reason: str, *, stalled: bool) -> str:
    """Wait until the search's conditions have a reason; return the sentence."""

    def said() -> dict[str, Any] | None:
        found = bench.condition("Ready")
        return found if found.get("reason") == reason else None

    found = until(said, what=f"the conditions say {reason}")
    assert (found["status"], bench.condition("Stalled")["status"]) == (str(not stalled), str(stalled))
    return found["message"]


def warned(bench: Bench) -> set[str]:
    """Reasons of the warnings about the search or its trials."""
    return {
        event["reason"]
        for event in bench.all("events")
        if event["type"] == "Warning" and event["involvedObject"]["kind"].startswith("Recipe")
    }


@pytest.mark.parametrize("resource", ["count/jobs.batch", "count/recipetrials.autosel.dev"])
def test_fault_19_a_quota_that_is_used_up_is_waited_for(
    bench: Bench, calm: dict[str, Any], resource: str
) -> None:
    bench.plane.apply(quota(bench.namespace, {resource: "0"}))
    with bench.kubelet() as kubelet, bench.operator():
        bench.create(**SMALL)
        message = tells(bench, "QuotaExceeded", stalled=False)
        assert f"limited: {resource}=0" in message
        bench.plane.apply(quota(bench.namespace, {resource: "40"}))
        assert end_of(bench, kubelet) == calm
    assert "Stalled" not in warned(bench), "a quota is nothing that a person must mend"


def test_fault_19_a_quota_without_room_for_a_pod_is_told_and_waited_for(
    bench: Bench, calm: dict[str, Any]
) -> None:
    bench.plane.apply(quota(bench.namespace, {"pods": "0"}))
    with bench.kubelet() as kubelet, bench.operator():
        bench.create(**SMALL)
        until(lambda: "NoPod" in stage(bench), what="the stage says NoPod")
        assert "a quota or a policy may refuse it" in stage(bench)
        bench.plane.apply(quota(bench.namespace, {"pods": "40"}))
        assert end_of(bench, kubelet) == calm


def test_fault_19_a_limit_range_below_what_a_step_asks_for_is_told_and_waited_for(
    bench: Bench, calm: dict[str, Any]
) -> None:
    limit = {"type": "Container", "max": {"memory": "1Mi"}}
    ranges = {
        "apiVersion": "v1",
        "kind": "LimitRange",
        "metadata": {"name": "small", "namespace": bench.namespace},
        "spec": {"limits": [limit]},
    }
    bench.plane.apply(ranges)
    with bench.kubelet() as kubelet, bench.operator():
        bench.create(**SMALL)
        until(lambda: "NoPod" in stage(bench), what="the stage says NoPod")
        (job,) = bench.jobs()
        told = [event["message"] for event in bench.all("events") if event["involvedObject"]["name"] == job]
        assert any("maximum memory usage per Container is 1Mi" in message for message in told)
        bench.delete("limitrange", "small")
        assert end_of(bench, kubelet) == calm


def test_fault_19_a_webhook_that_does_not_answer_is_told_and_waited_for(
    bench: Bench, calm: dict[str, Any], tmp_path: Path
) -> None:
    with bench.kubelet() as kubelet, bench.operator():
        with webhook(bench.plane, bench.namespace, tmp_path, judge=None, rule=JOBS):
            bench.create(**SMALL)
            assert "judge.autosel.test" in tells(bench, "AdmissionUnavailable", stalled=False)
        assert end_of(bench, kubelet) == calm


def test_fault_19_a_webhook_that_shuts_out_every_write_leaves_others_alone(
    bench: Bench, other: Bench, calm: dict[str, Any], tmp_path: Path
) -> None:
    """Not even a status can be written, so the log tells it; another search of the same operator goes on."""
    operator = operator_of_both(bench, other)
    with ExitStack() as stack, bench.kubelet() as kubelet, other.kubelet() as others:
        stack.callback(operator.kill)
        bench.create(**SMALL)
        other.create(**SMALL)
        with webhook(bench.plane, bench.namespace, tmp_path, judge=None, rule=EVERYTHING):
            operator.start()
            until(lambda: "failed calling webhook" in operator.log(), what="the log tells it")
            assert end_of(other, others) == calm
            seen = len(kubelet.jobs_seen)
        assert seen < len(calm["done"]), "the search was held up"
        assert end_of(bench, kubelet) == calm


@pytest.mark.parametrize("code", [0, 500])
def test_fault_19_a_webhook_that_refuses_is_told_with_its_sentence_whatever_code_it_gives(
    bench: Bench, calm: dict[str, Any], tmp_path: Path, code: int
) -> None:
    allowed = False

    def judge(request: Object) -> tuple[int, str] | None:
        return None if allowed or "score" not in request["name"] else (code, "jobs need a cost centre")

    with (
        bench.kubelet() as kubelet,
        bench.operator(),
        webhook(bench.plane, bench.namespace, tmp_path, judge=judge),
    ):
        bench.create(**SMALL)
        message = tells(bench, "AdmissionRefused", stalled=True)
        assert "jobs need a cost centre" in message
        assert {plain(name) for name in kubelet.jobs_seen} == {"setup-prepare-r1"}
        until(lambda: "Stalled" in warned(bench), what="an event warns of it")
        allowed = True
        assert end_of(bench, kubelet) == calm


def stage(bench: Bench) -> str:
    """What the status says that happens now."""
    return ((bench.search().get("status") or {}).get("progress") or {}).get("stage", "")
