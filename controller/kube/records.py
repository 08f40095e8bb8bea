"""Recorded outcomes: the newest Job of every step in the status of its owner, a trial or the search.

Jobs come and go; what was recorded stays, and is all that reconcile needs. A record is written before its Job may be
deleted. The search keeps only the records that can still matter, so its status has one size.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import orjson

from autosel_runtime.errors import DataError
from controller.kube.outcomes import TRY_AGAIN, Outcome, lost, stopped
from controller.kube.podstate import epoch
from controller.reconcile.model import StepResult, StepState, Trial
from controller.reconcile.names import step_name, suggest_name
from controller.reconcile.retry import ENVIRONMENT

Record = Mapping[str, Any]

MAX_MESSAGE = 1024
MAX_WORD = 128
FIRST_RESTART_SECONDS = 2.0
LONGEST_RESTART_SECONDS = 300.0
UNAVAILABLE = 69
SEARCH_STEPS_FOR_GOOD = ("setup.prepare", "setup.score")


def split_step(name: str, trials: frozenset[str]) -> tuple[str | None, str]:
    """Return the owner of a step and the name of its record there.

    ``t00001.train`` is ``train`` of trial ``t00001``; ``setup.score``, whose owner is no trial, is itself of the search
    (owner None).
    """
    owner, _, suffix = name.partition(".")
    return (owner, suffix) if owner in trials else (None, name)


def merge_records(
    previous: Sequence[Record], live: Mapping[str, Outcome], *, stopping: bool = False
) -> list[dict[str, Any]]:
    """Return the records of one owner from those in its status and the Jobs that exist now, by record name.

    What is recorded as ended stays as it is. A Job that was recorded as alive and is not there any more was lost: that
    is a failure of the infrastructure, unless the search is ``stopping`` its Jobs. So ``live`` must be a fresh list,
    never a cache that may lag behind.
    """
    records: dict[str, dict[str, Any]] = {str(record["name"]): dict(record) for record in previous}
    for name, record in records.items():
        if record["state"] in ("Waiting", "Running") and _number(live.get(name)) < record["attempt"]:
            gone = (stopped if stopping else lost)(
                number=record["attempt"],
                restarts=record.get("restarts", 0),
                started_at=epoch(record.get("startedAt")) or 0.0,
            )
            records[name] = record_of(name, gone)
    for name, outcome in live.items():
        old = records.get(name)
        ended = old is not None and old["state"] in ("Succeeded", "Failed")
        if old is None or outcome.number > old["attempt"] or (outcome.number == old["attempt"] and not ended):
            records[name] = record_of(name, _never_ran(outcome, old))
    return [records[name] for name in sorted(records, key=_order(records))]


def reopened(records: Sequence[Record], owner: str | None) -> list[dict[str, Any]]:
    """Return the records of an owner with those tried again that a person may have mended; for a suspended search.

    A step that failed by its environment (a full disk, a missing permission) stops the whole search, and so does any
    step of the search itself. Suspended and resumed, the search tries them again; a trial that failed by itself stays
    as it is, because later proposals saw it so.
    """

    def again(record: Record) -> bool:
        return record["state"] == "Failed" and (owner is None or record.get("exitCode") in ENVIRONMENT)

    return [
        {key: value for key, value in record.items() if key != "finishedAt"}
        | {"exitCode": TRY_AGAIN, "restarts": record["attempt"]}
        if again(record)
        else dict(record)
        for record in records
    ]


def record_of(name: str, outcome: Outcome) -> dict[str, Any]:
    """Return the record of a step's newest Job."""
    result = outcome.result
    state = {"succeeded": "Succeeded", "failed": "Failed"}.get(result.state, "Running")
    record: dict[str, Any] = {
        "name": name,
        "attempt": outcome.number,
        "restarts": outcome.restarts,
        "state": "Waiting" if outcome.waiting else state,
        "message": result.reason[:MAX_MESSAGE],
        "startedAt": timestamp(result.started_at),
    }
    if result.state != "succeeded" and outcome.word != "Running":
        record["reason"] = reason_word(outcome.word)
    if result.exit_code is not None:
        record["exitCode"] = result.exit_code
    if result.finished_at is not None:
        record["finishedAt"] = timestamp(result.finished_at)
    if result.summary:
        record["summary"] = orjson.dumps(dict(result.summary)).decode()
    return record


def results_of(records: Sequence[Record], owner: str | None) -> dict[str, StepResult]:
    """Return what reconcile sees of an owner's records, by step name."""
    return {
        str(record["name"]) if owner is None else step_name(owner, record["name"]): _result(record)
        for record in records
    }


def restarts_of(records: Sequence[Record], name: str) -> int:
    """Return how many Jobs of a step do not count as attempts; its next Job's number is attempt + restarts."""
    return next((int(record.get("restarts", 0)) for record in records if record["name"] == name), 0)


def pruned(records: Sequence[Record], trials: Sequence[Trial]) -> list[dict[str, Any]]:
    """Return the records that a search still needs: prepare, score, and the newest suggestion, choice and report.

    A suggestion is needed until its trial exists, which carries the proposal from then on. An older choice or report
    belongs to a smaller budget; asked for again, its step finds its marker in the store.
    """
    answered = {suggest_name(trial.ordinal) for trial in trials if trial.ordinal is not None}
    kept: dict[str, Record] = {}
    for record in records:
        name = str(record["name"])
        owner = name.split(".")[0]
        kind = owner.split("-")[0]
        if name in SEARCH_STEPS_FOR_GOOD:
            kept[name] = record
        elif owner not in answered:
            old = kept.get(kind)
            kept[kind] = record if old is None else max(old, record, key=_age)
    return [dict(record) for record in kept.values()]


def summary_of(record: Record) -> dict[str, Any]:
    """Return a step's account from its record; DataError when somebody has damaged it."""
    try:
        return orjson.loads(record.get("summary") or "{}")
    except orjson.JSONDecodeError as error:
        raise DataError(f"the record of step {record['name']} is damaged: {error}") from error


def timestamp(seconds: float) -> str:
    """Return a Kubernetes time, of whole seconds."""
    return datetime.fromtimestamp(int(seconds), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def reason_word(text: str) -> str:
    """Return a reason as conditions and records demand it: a word of letters, digits and a few marks."""
    word = "".join(mark if mark.isascii() and (mark.isalnum() or mark in "_,:") else "_" for mark in text)
    word = word.lstrip("_,:0123456789").rstrip("_,:")[:MAX_WORD].rstrip("_,:")
    return word or "Unknown"


def _result(record: Record) -> StepResult:
    ended: dict[str, StepState] = {"Succeeded": "succeeded", "Failed": "failed"}
    state = ended.get(str(record["state"]), "running")
    number, restarts = int(record["attempt"]), int(record.get("restarts", 0))
    finished = epoch(record.get("finishedAt"))
    if state == "failed" and restarts and finished is not None:
        # Reconcile's pause grows with attempts, and a restart is none: without this a broken node is hammered.
        finished += min(LONGEST_RESTART_SECONDS, FIRST_RESTART_SECONDS * 2.0 ** (restarts - 1))
    return StepResult(
        attempt=number - restarts,
        state=state,
        exit_code=record.get("exitCode"),
        reason=str(record.get("message", "")),
        summary=summary_of(record),
        started_at=epoch(record.get("startedAt")) or 0.0,
        finished_at=finished,
    )


def _never_ran(outcome: Outcome, old: Record | None) -> Outcome:
    """Tell a step that ran too long from one that found no place to run: that is not the recipe's fault."""
    if outcome.word != "DeadlineExceeded" or old is None or old["state"] != "Waiting":
        return outcome
    why = f"it waited until its deadline: {old.get('message') or old.get('reason')}"
    return replace(
        outcome,
        word="NeverRan",
        result=replace(outcome.result, exit_code=UNAVAILABLE, reason=why[:MAX_MESSAGE]),
    )


def _number(outcome: Outcome | None) -> int:
    return outcome.number if outcome is not None else 0


def _order(records: Mapping[str, Record]) -> Any:
    return lambda name: (records[name].get("startedAt") or "", name)


def _age(record: Record) -> tuple[str, str]:
    return str(record.get("startedAt") or ""), str(record["name"])
