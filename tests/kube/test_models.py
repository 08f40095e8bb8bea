"""Models that a search in a cluster drops, and one that it needs after all."""

import json
from typing import Any

import pytest

from autosel_runtime.api.recipe_trial import RecipeTrial
from controller.kube.kinds import TRIALS
from controller.reconcile.accounts import complaint
from tests.controller.test_models import worst
from tests.kube.fake_api import Fault
from tests.kube.simulation import KEY, Cluster, disturb_every_call, searched

NONE = {"untuned": False, "fullPool": False, "randomSubset": False}
SPEC: dict[str, Any] = {"budget": {"evaluations": 5}, "parallelism": 1, "baselines": NONE}


def chosen_badly() -> Cluster:
    """A search whose choice falls on a trial that had no chance; it is about to be scored on the report half."""
    cluster = Cluster()
    cluster.steps.answer = lambda request, _number: worst(request)
    cluster.create(**SPEC)
    for _ in range(200):
        cluster.settle()
        if any(".evaluate-report" in str(job["metadata"]["annotations"]) for job in cluster.running()):
            return cluster
        assert cluster.advance()
    raise AssertionError("the search never came to its end")


def status_of(cluster: Cluster, name: str) -> dict[str, Any]:
    return cluster.api.objects[TRIALS.plural, KEY.namespace, name]["status"]


def test_the_status_of_every_trial_says_whether_its_model_is_there() -> None:
    cluster = searched(**SPEC)
    dropped = {
        item["metadata"]["name"]: item["status"].get("modelDropped", False)
        for item in cluster.api.find(TRIALS)
    }
    assert sum(dropped.values()) >= 1
    for name, gone in dropped.items():
        status = status_of(cluster, name)
        assert gone != (status["model"] in cluster.steps.models), name
        RecipeTrial.model_validate(cluster.api.objects[TRIALS.plural, KEY.namespace, name])


def test_a_choice_whose_model_was_dropped_is_trained_again() -> None:
    cluster = chosen_badly()
    cluster.run()
    assert cluster.condition("Succeeded")["status"] == "True"
    best = cluster.search["status"]["best"]
    name = best["trial"] if isinstance(best, dict) else best
    again = [job for job in cluster.started() if "train-again" in job]
    assert len(again) == 1
    status = next(
        status_of(cluster, item["metadata"]["name"])
        for item in cluster.api.find(TRIALS)
        if item["metadata"]["name"].endswith(str(name))
    )
    records = {record["name"]: record for record in status["steps"]}
    assert records["evaluate-report"]["attempt"] == 2
    assert "reportScore" in status
    assert "modelDropped" not in status
    assert status["model"] in cluster.steps.models


@pytest.mark.parametrize("fault", ["kill_before", "kill_after", "lose_answer"])
def test_dying_at_any_call_around_a_dropped_choice_changes_nothing(fault: Fault) -> None:
    cluster = chosen_badly()
    assert disturb_every_call(cluster, fault) > 20
    assert cluster.condition("Succeeded")["status"] == "True"
    assert len([name for name, _ in cluster.steps.done if name.endswith("train-again")]) == 1


@pytest.mark.parametrize(
    ("account", "wrong"),
    [({"missing": 0}, None), ({"missing": -1}, "missing"), ({"missing": "x"}, "missing"), ({}, "objective")],
)
def test_an_evaluation_may_say_that_it_misses_its_model(account: dict[str, Any], wrong: str | None) -> None:
    said = complaint("evaluate", account)
    assert (said is None) == (wrong is None)
    assert wrong is None or wrong in str(said), json.dumps(account)
