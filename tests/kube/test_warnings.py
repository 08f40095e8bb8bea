"""What suggestions warn of outlives their records: in the status, as events, in the report's inputs."""

from collections.abc import Callable
from typing import Any

from controller.cluster.look import snapshot_of
from controller.kube.kinds import EVENTS, TRIALS
from controller.kube.outcomes import complaint
from controller.reconcile import StepRequest
from tests.controller.test_warnings import EXPECTED, warning
from tests.controller.world import Outcome
from tests.kube.kubelet import Steps
from tests.kube.simulation import KEY, Cluster

SPEC: dict[str, Any] = {"budget": {"evaluations": 5}, "storage": {"uri": "s3://bucket/p"}}


def warned(
    answer: Callable[[StepRequest, int], Outcome] = lambda request, number: warning(request),
) -> Cluster:
    """A search of five evaluations whose suggestions all warn, at its end."""
    cluster = Cluster(steps=Steps(answer=answer))
    cluster.create(**SPEC)
    cluster.run()
    return cluster


def test_a_search_tells_each_warning_once_and_keeps_it_in_its_status() -> None:
    cluster = warned()
    assert cluster.condition("Succeeded")["status"] == "True"
    assert cluster.search["status"]["warnings"] == EXPECTED
    events = [event for event in cluster.api.find(EVENTS) if event["reason"] == "SuggestionWarning"]
    assert sorted(event["message"] for event in events) == sorted(EXPECTED)
    assert {event["type"] for event in events} == {"Warning"}
    assert {event["involvedObject"]["name"] for event in events} == {KEY.name}


def test_the_report_gets_all_though_the_suggestions_are_forgotten() -> None:
    asked: list[StepRequest] = []

    def answer(request: StepRequest, number: int) -> Outcome:
        asked.append(request)
        return warning(request)

    cluster = warned(answer)
    report = next(request for request in asked if request.step == "report")
    assert report.inputs["warnings"] == EXPECTED
    kept = [record["name"] for record in cluster.search["status"]["steps"]]
    assert not [name for name in kept if name.startswith("suggest-")]
    snapshot = snapshot_of(cluster.search, cluster.api.find(TRIALS), now=0.0)
    assert list(snapshot.view.state.warnings) == EXPECTED


def test_warnings_that_are_none_make_the_suggestion_fail() -> None:
    def wrong(warnings: object) -> str | None:
        return complaint("suggest", {"proposals": [], "exhausted": "no more", "warnings": warnings})

    assert complaint("suggest", {"proposals": [], "exhausted": "no more"}) is None
    assert wrong(["a"]) is None
    assert (wrong("a") or "").startswith("warnings: ")
    assert (wrong([1]) or "").startswith("warnings.0: ")
    assert (wrong(["a"] * 17) or "").startswith("warnings: ")
