"""Records: what outlives a Job, and how it becomes what reconcile sees."""

import json
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from autosel_runtime.api.search import FailurePolicy, Recipe
from autosel_runtime.api.status import StepRecord
from autosel_runtime.errors import DataError
from controller.kube.outcomes import MAX_RESTARTS, Outcome, outcome_of
from controller.kube.records import (
    merge_records,
    pruned,
    reason_word,
    record_of,
    restarts_of,
    results_of,
    split_step,
)
from controller.reconcile.model import StepResult, Trial
from controller.reconcile.retry import verdict
from tests.kube.samples import DIGEST, condition, job, pod

POLICY = FailurePolicy()


def outcome(state: Any = "running", *, number: int = 1, restarts: int = 0, **fields: Any) -> Outcome:
    result = StepResult(attempt=number - restarts, state=state, started_at=10.0 * number, **fields)
    return Outcome(
        result=result, word="Error" if state == "failed" else "Running", number=number, restarts=restarts
    )


def done(**summary: Any) -> Outcome:
    return outcome("succeeded", exit_code=0, finished_at=50.0, summary=summary)


def failed(code: int = 75, **fields: Any) -> Outcome:
    return outcome("failed", exit_code=code, reason="store is down", finished_at=50.0, **fields)


OUTCOMES = st.one_of(
    st.integers(1, 5).map(lambda number: outcome(number=number)),
    st.builds(
        lambda number, code: failed(code, number=number), st.integers(1, 5), st.sampled_from([1, 65, 75])
    ),
    st.just(done(steps=3, loss=1.0, tiny=1e-7, nested={"x": [1.0, None]})),
)


@given(OUTCOMES)
def test_a_record_gives_back_the_result_and_fits_the_schema(found: Outcome) -> None:
    record = json.loads(json.dumps(record_of("train", found)))
    StepRecord.model_validate(record)
    assert results_of([record], "t00001") == {"t00001.train": found.result}
    assert results_of([record], None) == {"train": found.result}


def test_numbers_of_an_account_survive_a_server_that_writes_1_0_as_1() -> None:
    record = record_of("train", done(fraction=1.0))
    assert orjson.dumps(results_of([record], None)["train"].summary) == b'{"fraction":1.0}'


def test_a_damaged_account_is_named() -> None:
    with pytest.raises(DataError, match="record of step train is damaged"):
        results_of([{**record_of("train", done()), "summary": "{"}], None)


@given(st.lists(OUTCOMES, max_size=6))
def test_merging_again_changes_nothing_and_numbers_never_fall(outcomes: list[Outcome]) -> None:
    records: list[dict[str, Any]] = []
    number = 0
    for found in outcomes:
        live = {"train": found}
        records = merge_records(records, live)
        assert merge_records(records, live) == records
        assert records[0]["attempt"] >= number
        number = records[0]["attempt"]


def test_what_ended_stays_as_it_was_recorded() -> None:
    records = merge_records([], {"train": done(steps=3)})
    lost = outcome("failed", exit_code=75, restarts=1, reason="lost", finished_at=60.0)
    assert merge_records(records, {"train": lost}) == records
    assert merge_records(records, {}) == records


def test_a_newer_job_replaces_an_ended_one_and_an_older_one_does_not() -> None:
    records = merge_records([], {"train": failed()})
    records = merge_records(records, {"train": outcome(number=2)})
    assert records[0]["attempt"] == 2
    assert merge_records(records, {"train": outcome(number=2)}) == records
    assert (
        merge_records(merge_records(records, {"train": failed(number=2)}), {"train": failed()})[0]["attempt"]
        == 2
    )


def test_a_job_that_vanished_is_started_again_and_costs_no_attempt() -> None:
    records = merge_records([], {"train": outcome()})
    records = merge_records(records, {})
    assert (records[0]["state"], records[0]["reason"], restarts_of(records, "train")) == (
        "Failed",
        "JobLost",
        1,
    )
    result = results_of(records, "t00001")["t00001.train"]
    assert result.attempt == 0
    assert verdict(result, POLICY, 1e9) == "retry"
    # The next request is attempt 1; its Job is number 2.
    records = merge_records(records, {"train": outcome(number=2, restarts=1)})
    assert results_of(records, None)["train"].attempt == 1


def test_infrastructure_may_fail_often_but_not_for_ever() -> None:
    """Play a node that preempts every pod: the step ends as failed after its retries and MAX_RESTARTS restarts."""
    disrupted = [condition("DisruptionTarget", "PreemptionByScheduler", "preempted")]
    status = {"conditions": [condition("Failed", "BackoffLimitExceeded")]}
    records: list[dict[str, Any]] = []
    jobs = 0
    while True:
        result = results_of(records, None).get("train")
        kind = verdict(result, POLICY, 1e12)
        if kind == "failed":
            break
        restarts = restarts_of(records, "train")
        attempt = result.attempt + 1 if result else 1
        manifest = job(restarts=restarts, status=status)
        manifest["metadata"]["labels"]["autosel.dev/attempt"] = str(attempt + restarts)
        jobs += 1
        assert attempt + restarts == jobs
        records = merge_records(
            records, {"train": outcome_of(manifest, [pod(code=143, conditions=disrupted)])}
        )
    assert jobs == MAX_RESTARTS + POLICY.retries + 1


def test_restarts_wait_longer_and_longer() -> None:
    ends = [
        results_of([record_of("train", failed(number=n + 1, restarts=n))], None)["train"].finished_at
        for n in (0, 1, 2, 5, 20)
    ]
    assert ends == [50.0, 52.0, 54.0, 82.0, 350.0]


def trial(ordinal: int) -> Trial:
    return Trial(
        name=f"t{ordinal:05d}", role="search", ordinal=ordinal, recipe=Recipe(steps=[]), recipe_digest=DIGEST
    )


def test_the_search_keeps_only_what_can_matter() -> None:
    live = {
        "setup.prepare": done(pool="p"),
        "setup.score": done(rows=1),
        **{f"suggest-{k:05d}.suggest": outcome("succeeded", exit_code=0, number=1) for k in range(1, 8)},
        "choose-00005.suggest": outcome(number=1),
        "choose-00007.suggest": outcome(number=2),
        "report-" + "a" * 24 + ".report": outcome(number=2),
        "report-" + "b" * 24 + ".report": outcome(number=1),
    }
    records = pruned(merge_records([], live), [trial(k) for k in range(1, 7)])
    assert sorted(record["name"] for record in records) == [
        "choose-00007.suggest",
        "report-" + "a" * 24 + ".report",
        "setup.prepare",
        "setup.score",
        "suggest-00007.suggest",
    ]
    assert pruned(records, [trial(k) for k in range(1, 7)]) == records


def test_a_step_belongs_to_its_trial_or_to_the_search() -> None:
    trials = frozenset({"t00001", "full-pool"})
    assert split_step("t00001.train", trials) == ("t00001", "train")
    assert split_step("full-pool.evaluate-report", trials) == ("full-pool", "evaluate-report")
    assert split_step("setup.score", trials) == (None, "setup.score")


@given(st.text(max_size=200))
def test_reasons_are_words(text: str) -> None:
    StepRecord.model_validate({"name": "train", "attempt": 1, "state": "Failed", "reason": reason_word(text)})
