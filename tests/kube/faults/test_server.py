"""Faults 5, 6, 19, 20 and 21: events and objects that are old or come twice, refusals, upgrades, long searches."""

import json
from collections.abc import Callable
from dataclasses import dataclass

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from controller.kube import jobs
from controller.kube.api import Object
from controller.kube.errors import (
    AdmissionRefusedError,
    AdmissionUnavailableError,
    ApiError,
    ForbiddenError,
    InvalidObjectError,
    NamespaceTerminatingError,
    PodSecurityError,
    QuotaExceededError,
)
from controller.kube.kinds import JOBS, SEARCHES, TRIALS, Kind
from tests.kube.fake_api import Call, FakeApi, Fault
from tests.kube.simulation import KEY, SMALL, TINY, Cluster, moments, searched


def writes(cluster: Cluster, action: Callable[[], object]) -> list[Call]:
    """What an action tries to change."""
    before = len(cluster.api.calls)
    action()
    return [call for call in cluster.api.calls[before:] if call.writes]


def test_fault_05_old_events_of_a_search_that_is_over_start_nothing() -> None:
    cluster = searched()
    cluster.api.clock += 4000
    cluster.settle()
    assert not cluster.api.find(JOBS), "Jobs and pods are gone: only the statuses know"
    # An event is no more than the name of a search, so an old one, or a thousand, is one look at how things are.
    for _ in range(10):
        assert writes(cluster, cluster.step) == []


def test_fault_05_a_finished_job_seen_as_it_once_was_is_not_run_again() -> None:
    cluster = Cluster()
    cluster.create(**TINY)
    old: list[Object] = []
    for _, after in moments(cluster):
        old += [job for job in after.running() if job not in old]
    started = cluster.started()
    assert len(old) >= len(started)
    for job in old:
        cluster.api.objects[JOBS.plural, KEY.namespace, job["metadata"]["name"]] = job
    cluster.settle()
    assert cluster.started() == started
    assert cluster.condition("Succeeded")["status"] == "True"


def test_fault_06_a_second_look_at_any_moment_changes_nothing() -> None:
    cluster = Cluster()
    cluster.create(**SMALL)
    for _, after in moments(cluster):
        assert writes(after, after.step) == []


@settings(max_examples=5, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(moves=st.lists(st.integers(0, 3), min_size=20, max_size=60))
def test_fault_06_events_doubled_merged_and_in_any_order_give_the_same_search(moves: list[int]) -> None:
    cluster = Cluster()
    cluster.create(**SMALL)
    for move in moves:
        running = cluster.running()
        if move == 3 or not running:
            cluster.step()
        else:
            cluster.finish(running[move % len(running)])
    cluster.run()
    calm = searched()
    assert cluster.started() == calm.started()
    assert sorted(cluster.steps.done) == sorted(calm.steps.done)
    assert cluster.search["status"]["best"] == calm.search["status"]["best"]


def test_fault_20_an_operator_that_hashes_otherwise_takes_over_at_any_call(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    cluster = Cluster()
    cluster.create(**TINY)
    for before, after in moments(cluster):
        for number in range(len(before.api.calls), len(after.api.calls)):
            if not after.api.calls[number].writes:
                continue
            world = before.fork()
            world.api.fault = lambda call, number=number: "kill_after" if call.number == number else None
            while len(world.api.calls) <= number:
                world.step()
            monkeypatch.setattr(jobs, "HASH_VERSION", "v2")
            world.api.fault = lambda call: None
            world.settle()
            monkeypatch.undo()
            assert world.condition("Stalled")["status"] == "False", f"call {number}"
            assert world.started() == after.started()


@dataclass(kw_only=True)
class OlderApi(FakeApi):
    """A server whose definitions are older: it drops a status field that it does not know."""

    def _patch(self, kind: Kind, namespace: str, name: str, body: Object, subresource: str | None) -> Object:
        body = json.loads(json.dumps(body))
        for field in ("usage", "summary"):
            (body.get("status") or {}).pop(field, None)
        return super()._patch(kind, namespace, name, body, subresource)


def test_fault_20_older_definitions_drop_fields_and_the_search_goes_on() -> None:
    cluster = Cluster(api=OlderApi())
    cluster.create(**SMALL)
    cluster.run()
    assert cluster.condition("Succeeded")["status"] == "True"
    assert "usage" not in cluster.search["status"]
    assert cluster.started() == searched().started()


def test_fault_20_a_field_of_a_newer_version_is_told_and_left_alone() -> None:
    cluster = Cluster()
    cluster.create(**SMALL)
    cluster.settle()
    cluster.edit(colour="blue")
    cluster.settle()
    stalled = cluster.condition("Stalled")
    assert (stalled["status"], stalled["reason"]) == ("True", "InvalidSpec")
    assert "colour" in stalled["message"]
    cluster.edit(colour=None)
    cluster.run()
    assert cluster.condition("Succeeded")["status"] == "True"
    assert cluster.started() == searched().started()


def test_fault_21_a_long_search_has_a_status_of_one_size_and_leaves_nothing_lying_about() -> None:
    sizes: dict[int, int] = {}
    cluster = Cluster()
    cluster.create(budget={"evaluations": 14}, parallelism=4, baselines=TINY["baselines"])
    calls: dict[int, int] = {}
    for _ in range(2000):
        before = len(cluster.api.calls)
        cluster.settle()
        done = cluster.search["status"]["progress"]["evaluations"]
        sizes[done] = max(sizes.get(done, 0), len(json.dumps(cluster.search["status"])))
        calls[done] = max(calls.get(done, 0), len(cluster.api.calls) - before)
        cluster.api.clock += 600  # so that finished Jobs reach the end of their time to live
        if not cluster.advance():
            break
    assert cluster.condition("Succeeded")["status"] == "True"
    assert max(sizes.values()) < 16_384
    # The history of a suggestion grows with the search; the status and the calls of a pass do not.
    assert max(sizes[12], sizes[13]) < 1.25 * max(sizes[6], sizes[7], sizes[8])
    assert max(calls[12], calls[13]) < 1.5 * max(calls[6], calls[7], calls[8])
    cluster.api.clock += 4000
    cluster.settle()
    left = {item["kind"] for item in cluster.api.objects.values()}
    assert left <= {"RecipeSearch", "RecipeTrial", "Event", "Pod"}
    assert len(cluster.api.find(TRIALS)) == 14
    assert len(cluster.api.find(SEARCHES)) == 1


@pytest.mark.parametrize(
    ("error", "reason", "stalled"),
    [
        (QuotaExceededError("exceeded quota: jobs"), "QuotaExceeded", "False"),
        (AdmissionUnavailableError("failed calling webhook"), "AdmissionUnavailable", "False"),
        (NamespaceTerminatingError("going"), "NamespaceTerminating", "False"),
        (PodSecurityError("violates"), "PodSecurityRefused", "True"),
        (AdmissionRefusedError("denied"), "AdmissionRefused", "True"),
        (ForbiddenError("no"), "Forbidden", "True"),
        (InvalidObjectError("bad"), "ObjectRefused", "True"),
    ],
)
def test_fault_19_what_stands_in_the_way_is_told_and_goes_away_by_itself(
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
