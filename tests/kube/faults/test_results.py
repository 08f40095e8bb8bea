"""Faults 13, 14 and 22: a store that is down, accounts that are damaged or forged, a searcher that fails."""

import json
from collections.abc import Callable, Mapping
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from controller.kube.kinds import SEARCHES, TRIALS
from controller.reconcile import StepRequest
from controller.reconcile.accounts import MAX_ACCOUNT_BYTES, complaint
from tests.controller.world import Outcome, succeed
from tests.kube.faults.pods import reach, trial_condition
from tests.kube.simulation import KEY, SMALL, TINY, Cluster, do, searched


def answering(answer: Callable[[StepRequest, int], Outcome], **spec: Any) -> Cluster:
    """A search whose steps answer so, before its first pass."""
    cluster = Cluster()
    cluster.steps.answer = answer
    cluster.create(**{**SMALL, **spec})
    return cluster


def test_fault_13_a_store_that_is_down_for_an_hour_costs_no_attempt_and_is_told() -> None:
    down = 15

    def answer(request: StepRequest, number: int) -> Outcome:
        if request.name.endswith("00001.train") and number <= down:
            return 75, "the store s3://bucket/p cannot be reached"
        return succeed(request)

    alone = {"baselines": TINY["baselines"], "parallelism": 1}
    cluster = answering(answer, **alone, failurePolicy={"retries": 1})
    trials: set[int] = set()
    for _ in range(down):
        cluster.finish(reach(cluster, "t00001.train"))
        cluster.settle()
        trials.add(len(cluster.api.find(TRIALS)))
        told = trial_condition(cluster, "t00001", "Reconciling")
        assert (told["status"], told["reason"]) == ("True", "Transient")
        assert "cannot be reached" in told["message"]
        assert "t00001.train" in cluster.search["status"]["progress"]["stage"]
        cluster.api.clock += 300
    assert len(trials) == 1, "no trial is proposed meanwhile"
    cluster.run()
    assert cluster.condition("Succeeded")["status"] == "True"
    assert cluster.search["status"]["best"] == searched(**alone).search["status"]["best"]


@pytest.mark.parametrize("step", ["setup.prepare", "t00001.train"])
def test_fault_13_a_store_that_refuses_stalls_the_search_until_it_is_suspended_and_resumed(step: str) -> None:
    denied = True

    def answer(request: StepRequest, number: int) -> Outcome:
        return (77, "access denied to s3://bucket/p") if denied and request.name == step else succeed(request)

    cluster = answering(answer)
    cluster.run()
    assert cluster.condition("Stalled")["status"] == "True"
    assert "access denied" in cluster.condition("Stalled")["message"]
    jobs = cluster.started()
    cluster.api.clock += 1000
    cluster.settle()
    assert cluster.started() == jobs, "a refusal is not tried again by itself"
    denied = False
    cluster.edit(suspend=True)
    cluster.settle()
    cluster.edit(suspend=False)
    cluster.run()
    assert cluster.condition("Succeeded")["status"] == "True"
    assert cluster.search["status"]["best"] == searched().search["status"]["best"]


NAN = float("nan")
DIGESTS = ("pool_digest", "model_digest", "signal_model_digest", "targets_digest", "tasks_digest")
PREPARED: Mapping[str, Any] = {"pool": "pools/p", **dict.fromkeys(DIGESTS, "sha256:0")}
FORGED: list[tuple[str, Mapping[str, Any], str]] = [
    ("setup.prepare", {}, "pool: Field required"),
    ("setup.prepare", {"pool": 3}, "pool: Input should be a valid string"),
    (
        "setup.prepare",
        {**PREPARED, "overlap": {"sums": [1, 2]}},
        "overlap.sums: List should have at least 3 items",
    ),
    (
        "setup.prepare",
        {**PREPARED, "overlap": {"sums": [1, 2, "x"]}},
        "overlap.sums.2: Input should be a valid integer",
    ),
    ("setup.prepare", {**PREPARED, "overlap": ["sums"]}, "overlap: Input should be a valid dictionary"),
    ("setup.prepare", {**PREPARED, "overlap_left_out": -1}, "overlap_left_out: Input should be greater than"),
    ("suggest-00001.suggest", {"proposals": "all"}, "proposals: Input should be a valid list"),
    ("suggest-00001.suggest", {"proposals": [{"recipe": {"steps": 1}}]}, "proposals.0"),
    ("t00001.materialize", {"subset_digest": "abc", "size": 1}, "subset_digest"),
    ("t00001.evaluate", {"objective": {"mean": 1.7, "stderr": 0.0}}, "objective.mean"),
    ("t00001.evaluate", {"objective": {"mean": None, "stderr": 0.0}}, "objective.mean"),
    ("t00001.evaluate", {"objective": {"mean": "0.9", "stderr": 0.0}}, "objective.mean"),
    ("t00001.evaluate", {"objective": {"mean": 1e999, "stderr": 0.0}}, "account was lost"),
    ("t00001.evaluate", {"objective": {"mean": NAN, "stderr": 0.0}}, "account was lost"),
    ("t00001.train", {"note": "x" * MAX_ACCOUNT_BYTES}, "at most 4,096 are allowed"),
    ("choose-00002.suggest", {"chosen": 77}, "the choice fell on trial 77, which has no score"),
]


@pytest.mark.parametrize(("step", "forged", "sentence"), FORGED)
def test_fault_14_fault_22_a_forged_account_is_a_failure_with_a_reason(
    step: str, forged: Mapping[str, Any], sentence: str
) -> None:
    def answer(request: StepRequest, number: int) -> Outcome:
        return (0, forged) if request.name == step else succeed(request)

    cluster = answering(answer)
    cluster.run(limit=1000)
    said = json.dumps([cluster.search["status"], *(item["status"] for item in cluster.api.find(TRIALS))])
    assert sentence in said
    if step.startswith("t0") and "lost" not in sentence:
        # One trial's image may be at fault; the search goes on without it.
        assert cluster.condition("Succeeded")["status"] == "True"
        assert cluster.search["status"]["progress"]["failed"] == 1
        assert cluster.search["status"]["best"]["trial"] != "simulated-t00001"
    else:
        assert cluster.condition("Stalled")["status"] == "True"
    assert not cluster.running()


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 10**13) | st.floats() | st.text(max_size=6),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=6,
)
FIELDS = [
    "pool",
    "proposals",
    "chosen",
    "subset_digest",
    "size",
    "objective",
    "tasks",
    "gain",
    "overlap",
    "accelerator_seconds",
]


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    step=st.sampled_from(["prepare", "score", "suggest", "materialize", "train", "evaluate", "report"]),
    changes=st.dictionaries(st.sampled_from(FIELDS), JSON, max_size=3),
    keep=st.booleans(),
)
def test_fault_14_whatever_an_account_says_the_controller_ends_with_a_condition(
    step: str, changes: Mapping[str, Any], keep: bool
) -> None:
    def answer(request: StepRequest, number: int) -> Outcome:
        code, good = succeed(request)
        if request.step != step or number > 2 or not isinstance(good, Mapping):
            return code, good
        return code, {**(good if keep else {}), **changes}

    cluster = answering(answer, **TINY, parallelism=1)
    cluster.run(limit=1000)
    ends = {kind: cluster.condition(kind)["status"] for kind in ("Succeeded", "Stalled")}
    assert "True" in ends.values(), cluster.search["status"]
    assert not cluster.running()


def test_fault_14_what_the_real_steps_say_is_believed() -> None:
    # Shapes of the accounts that the steps write, see autosel_runtime/steps.
    digest = "sha256:" + "0" * 64
    assert complaint("materialize", {"subset_digest": digest, "size": 3, "state": {}, "seconds": 0.1}) is None
    scores = {"mean": 0.5, "stderr": 0.1}
    evaluated = {
        "objective": scores,
        "tasks": {"gsm8k": {**scores, "n": 10}},
        "tasks_left_out": 0,
        "seconds": 1,
    }
    assert complaint("evaluate", evaluated) is None
    assert complaint("suggest", {"proposals": [], "exhausted": "nothing is left", "warnings": []}) is None
    assert complaint("suggest", {"chosen": 2, "why": "x", "mean": None, "deviation": 0.1}) is None


@pytest.mark.parametrize("kind", [SEARCHES, TRIALS])
def test_fault_14_a_record_damaged_by_hand_is_told(kind: Any) -> None:
    cluster = searched()
    item = cluster.api.find(kind)[-1]
    steps = [{**record, "summary": "{broken"} for record in item["status"]["steps"]]
    do(
        cluster.api.patch(
            kind, KEY.namespace, item["metadata"]["name"], {"status": {"steps": steps}}, "status"
        )
    )
    cluster.step()
    stalled = cluster.condition("Stalled")
    assert (stalled["status"], stalled["reason"]) == ("True", "DamagedObject")
    assert "is damaged" in stalled["message"]


def test_fault_22_a_searcher_that_throws_stalls_with_its_sentence() -> None:
    def answer(request: StepRequest, number: int) -> Outcome:
        return (
            (70, "internal error: LinAlgError: singular") if request.step == "suggest" else succeed(request)
        )

    cluster = answering(answer)
    cluster.run()
    stalled = cluster.condition("Stalled")
    assert (stalled["status"], stalled["reason"]) == ("True", "Failed")
    assert "LinAlgError" in stalled["message"]
    assert not cluster.running()


def test_fault_22_when_all_trials_fail_the_search_says_so_and_stops() -> None:
    def answer(request: StepRequest, number: int) -> Outcome:
        broken = request.step == "train" and request.name.startswith("t0")
        return (70, "loss is not finite") if broken else succeed(request)

    cluster = answering(
        answer, parallelism=1, budget={"evaluations": 5}, failurePolicy={"maxConsecutiveFailures": 3}
    )
    cluster.run()
    assert (
        "3 trials in a row failed; the last one: loss is not finite"
        in cluster.condition("Stalled")["message"]
    )
    assert cluster.search["status"]["progress"]["evaluations"] == 0
    assert "best" not in cluster.search["status"]
    assert not cluster.running()
