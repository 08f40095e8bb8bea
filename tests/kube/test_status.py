"""The status of a search: what kstatus makes of it, one size, events on transitions only."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from autosel_runtime.api.recipe_search import RecipeSearch
from autosel_runtime.api.resources import StorageSpec
from autosel_runtime.api.search import Recipe
from controller.kube.events import event_manifest, search_events
from controller.kube.podstate import Waiting
from controller.kube.status import gain_text, search_status
from controller.reconcile import Observed, reconcile
from controller.reconcile.model import SearchState, Trial
from tests.controller.world import World
from tests.controller.world import search as world_search
from tests.kube.kstatus import kstatus
from tests.kube.samples import DIGEST, search, search_manifest

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
TRIAL = Trial(name="t00001", role="search", recipe=Recipe(steps=[]), recipe_digest=DIGEST, ordinal=1)


def state_of(**spec: Any) -> SearchState:
    observed = Observed(search=search(**spec), uid="u", started_at=0.0, trials=(), steps={})
    return reconcile(observed, 0.0).state


def status_of(state: SearchState, generation: int = 1, **more: Any) -> dict[str, Any]:
    arguments: dict[str, Any] = {"trials": [TRIAL], "records": [], "waits": {}, "previous": None, "now": NOW}
    spec = more.pop("spec", {})
    return search_status(state, search(generation=generation, **spec), **(arguments | more))


def judged(status: dict[str, Any], generation: int = 1) -> str:
    RecipeSearch.model_validate({**search_manifest(), "status": status})
    return kstatus({"metadata": {"generation": generation}, "status": status})


def test_kstatus_of_a_search_that_goes_on() -> None:
    assert judged(status_of(state_of())) == "Current", "accepted: nobody waits for days"
    assert judged(status_of(state_of(readiness="Finished"))) == "InProgress"
    assert judged(status_of(state_of(suspend=True))) == "InProgress"
    assert judged(status_of(state_of()), generation=2) == "InProgress", "a newer spec was not looked at yet"


@pytest.mark.parametrize("readiness", ["Accepted", "Finished"])
def test_kstatus_of_a_search_that_ended(readiness: str) -> None:
    world = World(document=world_search(readiness=readiness))
    assert judged(status_of(world.run().state)) == "Current"
    stalled = World(document=world_search(readiness=readiness), answer=lambda _request: (65, "pool is empty"))
    status = status_of(stalled.run().state)
    assert judged(status) == "Failed"
    assert "completionTime" not in status


def test_times_move_only_when_a_status_flips() -> None:
    first = status_of(state_of())
    later = NOW + timedelta(hours=1)
    second = status_of(state_of(), generation=2, previous=first, now=later)
    for old, new in zip(first["conditions"], second["conditions"], strict=True):
        assert new["lastTransitionTime"] == old["lastTransitionTime"] == "2026-01-01T12:00:00Z"
        assert new["observedGeneration"] == 2
    suspended = status_of(state_of(suspend=True), previous=second, now=later)
    flipped = {
        c["type"] for c in suspended["conditions"] if c["lastTransitionTime"] == "2026-01-01T13:00:00Z"
    }
    assert flipped == {"Ready", "Reconciling", "Suspended"}
    assert suspended["startTime"] == first["startTime"]


def test_the_same_state_gives_the_same_status_whatever_the_time() -> None:
    first = status_of(state_of())
    assert status_of(state_of(), previous=json.loads(json.dumps(first)), now=NOW + timedelta(days=1)) == first


def test_conditions_of_others_stay() -> None:
    time = "2026-01-01T00:00:00Z"
    foreign = {"type": "StorageAvailable", "status": "True", "reason": "X", "lastTransitionTime": time}
    assert foreign in status_of(state_of(), previous={"conditions": [foreign]})["conditions"]


def finished_state() -> SearchState:
    gain = {"full_pool": {"mean": 0.021, "low": 0.004, "high": 0.038}}
    return replace(
        state_of(),
        evaluations=15,
        best="t00001",
        best_score=0.5914,
        best_stderr=0.011,
        gain=gain,
        finished=True,
    )


def test_best_gain_and_summary() -> None:
    status = status_of(finished_state())
    assert status["summary"] == {"evaluations": "15/15", "best": "59.14", "gain": "+2.1 [+0.4, +3.8]"}
    assert status["best"] == {
        "trial": "quick-t00001",
        "score": 0.5914,
        "stderr": 0.011,
        "recipeDigest": DIGEST,
        "recipe": {"steps": []},
        "gain": 0.021,
        "gainLow": 0.004,
        "gainHigh": 0.038,
    }
    assert status["completionTime"] == "2026-01-01T12:00:00Z"
    later = status_of(finished_state(), previous=status, now=NOW + timedelta(days=2))
    assert later["completionTime"] == status["completionTime"]
    assert "completionTime" not in status_of(state_of(), previous=status)
    assert gain_text({"mean": -0.01, "low": None, "high": None}) == "-1.0"


def test_the_store_is_told_and_no_keys() -> None:
    keys = {"accessKey": {"name": "s3", "key": "ID"}, "secretKey": {"name": "s3", "key": "SECRET"}}
    own = {"uri": "s3://own/p", "endpoint": "https://s3.example", "region": "x-1", "pathStyle": True}
    default = StorageSpec(uri="s3://operators/p")
    assert status_of(state_of(), spec={"storage": own | keys}, default_store=default)["store"] == own
    none = {"storage": {}}
    assert status_of(state_of(), spec=none, default_store=default)["store"] == {"uri": "s3://operators/p"}
    assert "store" not in status_of(state_of(), spec=none)


def test_results_stay_where_they_are_when_the_operator_gets_another_store() -> None:
    first, second = StorageSpec(uri="s3://first/p"), StorageSpec(uri="s3://second/p")
    none = {"storage": {}}
    ended = status_of(finished_state(), spec=none, default_store=first)
    later = status_of(finished_state(), spec=none, previous=ended, default_store=second)
    assert later["store"] == {"uri": "s3://first/p"}
    raised = status_of(state_of(), spec=none, previous=later, default_store=second)
    assert raised["store"] == {"uri": "s3://second/p"}, "what runs now goes there"


def test_waiting_trials_are_counted_and_named() -> None:
    waits = {
        "t00001.train": Waiting(reason="Unschedulable", message="0/4 nodes"),
        "setup.score": Waiting(reason="Queued", message="waits for quota in queue q"),
    }
    status = status_of(replace(state_of(), running=2, message="searching"), waits=waits)
    assert (status["progress"]["running"], status["progress"]["pending"]) == (1, 1)
    assert status["progress"]["stage"] == (
        "searching; setup.score waits (and 1 more): Queued: waits for quota in queue q"
    )


def test_the_size_is_bounded() -> None:
    world = World(document=world_search(budget={"evaluations": 60}))
    state = replace(world.run().state, message="x" * 10**5)
    waits = {f"t{k:05d}.train": Waiting(reason="R", message="y" * 10**5) for k in range(500)}
    status = status_of(state, trials=list(world.trials.values()), waits=waits)
    RecipeSearch.model_validate({**search_manifest(), "status": status})
    assert len(json.dumps(status)) < 16_384


def test_events_of_a_search_are_transitions() -> None:
    def reasons(before: dict[str, Any] | None, after: dict[str, Any]) -> list[str]:
        return [event.reason for event in search_events(before, after)]

    first = status_of(state_of())
    assert reasons(None, first) == ["Accepted"]
    assert reasons(first, first) == []
    suspended = status_of(state_of(suspend=True), previous=first)
    assert reasons(first, suspended) == ["Suspended"]
    assert reasons(suspended, first) == ["Resumed"]
    scored = status_of(replace(state_of(), evaluations=3, best="t00001", best_score=0.5))
    assert reasons(first, scored) == ["NewBest"]
    world = World(document=world_search())
    world.run()
    end = status_of(
        world.plan().state, trials=list(world.trials.values()), spec={"budget": {"evaluations": 5}}
    )
    assert reasons(first, end) == ["NewBest", "BudgetExhausted", "Finished"]
    stalled = World(document=world_search(), answer=lambda _request: (65, "pool is empty")).run().state
    events = search_events(first, status_of(stalled))
    assert [(event.type, event.reason, event.message) for event in events] == [
        ("Warning", "Stalled", "pool is empty")
    ]


def test_an_event_written_twice_is_one() -> None:
    regarding = search_manifest("a" * 40)
    regarding["metadata"]["resourceVersion"] = "7"
    event = search_events(None, status_of(state_of()))[0]
    first = event_manifest(event, regarding, now=NOW)
    again = event_manifest(event, regarding, now=NOW + timedelta(seconds=9))
    assert first["metadata"] == again["metadata"]
    assert len(first["metadata"]["name"]) <= 63
    assert first["involvedObject"]["uid"] == regarding["metadata"]["uid"]
    regarding["metadata"]["resourceVersion"] = "8"
    assert event_manifest(event, regarding, now=NOW)["metadata"] != first["metadata"]
