"""From a Job and its pods to the outcome of a step.

Total: whatever the objects say, there is an outcome. Three kinds of failure are told apart. The step's own (its exit
code and sentence) and what its limits did to it (out of memory, deadline) count as attempts. What the infrastructure
did to it (preempted, node lost, result lost, the store down) does not, up to ``MAX_RESTARTS``.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from autosel_runtime.errors import AutoselError
from controller.kube.names import STEP, job_identity
from controller.kube.podstate import (
    STEP_CONTAINER,
    Waiting,
    disruption,
    epoch,
    has_condition,
    index_of,
    pod_waiting,
    terminated,
)
from controller.kube.texts import code_in, json_object, last_line, one_line
from controller.reconcile.accounts import PROTOCOL, complaint
from controller.reconcile.model import StepRequest, StepResult
from controller.reconcile.retry import PERMANENT

MAX_RESTARTS = 20
OUT_OF_MEMORY = 137
TRY_AGAIN = 75
DEADLINE = 70


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """How a step's Job stands.

    ``word`` is the reason for programs. ``number`` counts the step's Jobs from 1, ``restarts`` those of them, this one
    included, that do not count as attempts: ``result.attempt = number - restarts``. ``waiting`` says why a Job that has
    not ended does nothing.
    """

    result: StepResult
    word: str
    number: int
    restarts: int
    waiting: Waiting | None = None


@dataclass(frozen=True, kw_only=True)
class _Frame:
    number: int
    restarts: int
    started_at: float
    finished_at: float | None


def outcome_of(job: Mapping[str, Any], pods: Sequence[Mapping[str, Any]]) -> Outcome:
    """Judge a Job of ours by its object and its pods, which may be gone or incomplete.

    A Job that is done but whose account cannot be read asks to be run again: the step then finds its marker and ends
    in seconds. ValueError for a Job that is not ours.
    """
    identity = job_identity(job)
    if identity is None:
        raise ValueError(f"Job {job.get('metadata', {}).get('name')} carries no labels of ours")
    status = job.get("status") or {}
    frame = _Frame(
        number=identity.number,
        restarts=identity.restarts,
        started_at=epoch(status.get("startTime")) or epoch(job["metadata"].get("creationTimestamp")) or 0.0,
        finished_at=epoch(status.get("completionTime")) or _ended(status),
    )
    if has_condition(status, "Complete"):
        return _completed(frame, str(job["metadata"]["labels"].get(STEP, "")), pods)
    if has_condition(status, "Failed"):
        return _failed(frame, job, pods)
    return _open(frame, job, pods)


def refused(request: StepRequest, error: AutoselError, *, restarts: int, now: float) -> Outcome:
    """Return the outcome of a step whose Job cannot be rendered: it failed for good before it began."""
    frame = _Frame(number=request.attempt + restarts, restarts=restarts, started_at=now, finished_at=now)
    return _failure(frame, error.exit_code, "Refused", str(error))


def lost(*, number: int, restarts: int, started_at: float) -> Outcome:
    """Return the outcome of a Job that was there and is gone: stopped, deleted by hand, or taken with its node."""
    frame = _Frame(number=number, restarts=restarts, started_at=started_at, finished_at=started_at)
    return _infrastructure(frame, TRY_AGAIN, "JobLost", "the Job was deleted before it ended")


def stopped(*, number: int, restarts: int, started_at: float) -> Outcome:
    """Return the outcome of a Job that is gone while the search is suspended with ``Stop``: nobody's fault.

    However often that happens, it costs neither an attempt nor a pause, so it has no end to wait from.
    """
    frame = _Frame(number=number, restarts=min(number, restarts + 1), started_at=started_at, finished_at=None)
    outcome = _failure(frame, TRY_AGAIN, "Stopped", "the Job was stopped: the search is suspended")
    return replace(outcome, result=replace(outcome.result, finished_at=None))


def _completed(frame: _Frame, step: str, pods: Sequence[Mapping[str, Any]]) -> Outcome:
    for pod in sorted(pods, key=index_of):
        state = terminated(pod)
        if state is None or state.get("exitCode") != 0:
            continue
        # Of the processes of a multi-node step the first one writes an account. Of the shards of a step one or more,
        # which found all of them done and merged; the accounts of the others have no summary.
        summary = json_object(state.get("message")).get("summary")
        if isinstance(summary, dict):
            wrong = complaint(step, summary)
            if wrong is not None:
                return _failure(
                    frame, PROTOCOL, "ResultInvalid", f"the account of step {step} cannot be used: {wrong}"
                )
            result = StepResult(
                attempt=max(1, frame.number - frame.restarts),
                state="succeeded",
                exit_code=0,
                summary=summary,
                started_at=frame.started_at,
                finished_at=frame.finished_at,
            )
            return Outcome(result=result, word="Completed", number=frame.number, restarts=frame.restarts)
    return _infrastructure(
        frame, TRY_AGAIN, "ResultLost", "the step's account was lost; it is read again from the store"
    )


def _failed(frame: _Frame, job: Mapping[str, Any], pods: Sequence[Mapping[str, Any]]) -> Outcome:
    condition = _condition(job, "Failed")
    if condition.get("reason") == "DeadlineExceeded":
        seconds = (job.get("spec") or {}).get("activeDeadlineSeconds")
        return _failure(frame, DEADLINE, "DeadlineExceeded", f"ran longer than the deadline of {seconds} s")
    ended = [pod for pod in pods if _has_failed(pod)]
    alone = _fails_alone(job)
    own = min(
        (pod for pod in ended if disruption(pod) is None),
        key=lambda pod: (alone and (terminated(pod) or {}).get("exitCode") not in PERMANENT, *_blame(pod)),
        default=None,
    )
    disrupted = next((why for pod in ended if (why := disruption(pod))), None)
    if disrupted is not None and (own is None or _is_bystander(job, own)):
        return _infrastructure(frame, TRY_AGAIN, disrupted.reason, disrupted.message)
    if own is None:
        code = code_in(str(condition.get("message", "")))
        sentence = f"{condition.get('reason') or 'Failed'}: {condition.get('message') or 'the Job failed'}"
        return _failure(frame, code, str(condition.get("reason") or "Failed"), sentence)
    return _of_pod(frame, own)


def _fails_alone(job: Mapping[str, Any]) -> bool:
    """Say whether the pods of a Job are shards, which do not depend on each other."""
    return (job.get("spec") or {}).get("backoffLimitPerIndex") is not None


def _is_bystander(job: Mapping[str, Any], pod: Mapping[str, Any]) -> bool:
    """Say whether a pod of a multi-node Job fell because a disrupted one took the whole group down.

    A Job with one pod, or with shards, replaces a disrupted one by itself, so what failed it later is its own.
    """
    several = int((job.get("spec") or {}).get("completions") or 1) > 1 and not _fails_alone(job)
    return several and (terminated(pod) or {}).get("exitCode") not in PERMANENT


def _of_pod(frame: _Frame, pod: Mapping[str, Any]) -> Outcome:
    status, state = pod.get("status") or {}, terminated(pod) or {}
    text = str(state.get("message") or "")
    account = json_object(text)
    told = account.get("exit_code")
    code = told if isinstance(told, int) and 0 < told < 256 else state.get("exitCode")
    code = code if isinstance(code, int) and not isinstance(code, bool) else None
    if state.get("reason") == "OOMKilled":
        return _failure(frame, OUT_OF_MEMORY, "OOMKilled", _memory_sentence(pod))
    sentence = account.get("error")
    if code == TRY_AGAIN:
        # A store or a service that is down. Outages last longer than a few attempts do.
        why = sentence if isinstance(sentence, str) and sentence else last_line(text)
        return _infrastructure(frame, TRY_AGAIN, "Transient", why or "something the step needs is down")
    if isinstance(sentence, str) and sentence:
        return _failure(frame, code, "Error", sentence)
    if status.get("reason"):
        return _failure(
            frame, code, str(status["reason"]), f"{status['reason']}: {status.get('message') or 'pod ended'}"
        )
    line = last_line(text)
    told = f"the step ended with exit code {code}" + (f": {line}" if line else "")
    return _failure(frame, code, str(state.get("reason") or "Error"), told)


def _open(frame: _Frame, job: Mapping[str, Any], pods: Sequence[Mapping[str, Any]]) -> Outcome:
    waiting = _job_waiting(job) or _pods_waiting(pods, alone=_fails_alone(job))
    result = StepResult(
        attempt=max(1, frame.number - frame.restarts),
        state="running",
        reason=one_line(f"{waiting.reason}: {waiting.message}") if waiting else "",
        started_at=frame.started_at,
    )
    word = waiting.reason if waiting else "Running"
    return Outcome(result=result, word=word, number=frame.number, restarts=frame.restarts, waiting=waiting)


def _job_waiting(job: Mapping[str, Any]) -> Waiting | None:
    if (job.get("metadata") or {}).get("deletionTimestamp"):
        return Waiting(reason="Terminating", message="the Job is being deleted")
    if not (job.get("spec") or {}).get("suspend"):
        return None
    queue = ((job.get("metadata") or {}).get("labels") or {}).get("kueue.x-k8s.io/queue-name")
    if queue:
        return Waiting(reason="Queued", message=f"waits for quota in queue {queue}")
    return Waiting(reason="Queued", message="the Job is suspended")


def _pods_waiting(pods: Sequence[Mapping[str, Any]], *, alone: bool) -> Waiting | None:
    """One pod that waits holds up all of them, so the first reason found is the reason.

    Shards go on ``alone``: a step does something as long as one of its pods does.
    """
    alive = [pod for pod in pods if (pod.get("status") or {}).get("phase") not in ("Succeeded", "Failed")]
    if not alive:
        return Waiting(reason="NoPod", message="no pod has been made yet; a quota or a policy may refuse it")
    waits = [why for pod in sorted(alive, key=index_of) if (why := pod_waiting(pod))]
    return None if not waits or (alone and len(waits) < len(alive)) else waits[0]


def _infrastructure(frame: _Frame, code: int, word: str, sentence: str) -> Outcome:
    """A failure that is nobody's fault: it costs no attempt until there have been too many of them."""
    restarts = max(frame.restarts, min(frame.restarts + 1, frame.number, MAX_RESTARTS))
    counted = _Frame(
        number=frame.number,
        restarts=restarts,
        started_at=frame.started_at,
        finished_at=frame.finished_at,
    )
    return _failure(counted, code, word, sentence)


def _failure(frame: _Frame, code: int | None, word: str, sentence: str) -> Outcome:
    result = StepResult(
        attempt=frame.number - frame.restarts,
        state="failed",
        exit_code=code,
        reason=one_line(sentence),
        started_at=frame.started_at,
        finished_at=frame.finished_at if frame.finished_at is not None else frame.started_at,
    )
    return Outcome(result=result, word=word, number=frame.number, restarts=frame.restarts)


def _has_failed(pod: Mapping[str, Any]) -> bool:
    state = terminated(pod)
    failed = (pod.get("status") or {}).get("phase") == "Failed"
    return failed or (state is not None and state.get("exitCode") != 0)


def _blame(pod: Mapping[str, Any]) -> tuple[bool, bool, float, int]:
    """Order failed pods by how likely they are the cause: one with a sentence, then the first to fall by itself."""
    state = terminated(pod) or {}
    explained = "error" in json_object(state.get("message"))
    asked_to_stop = state.get("exitCode") in (None, 143)
    return not explained, asked_to_stop, epoch(state.get("finishedAt")) or float("inf"), index_of(pod)


def _memory_sentence(pod: Mapping[str, Any]) -> str:
    containers = (pod.get("spec") or {}).get("containers") or []
    step = next((entry for entry in containers if entry.get("name") == STEP_CONTAINER), {})
    limit = ((step.get("resources") or {}).get("limits") or {}).get("memory")
    return f"out of memory: killed at the limit of {limit}" if limit else "out of memory: killed"


def _condition(job: Mapping[str, Any], kind: str) -> Mapping[str, Any]:
    conditions = (job.get("status") or {}).get("conditions") or []
    return next((entry for entry in conditions if entry.get("type") == kind), {})


def _ended(status: Mapping[str, Any]) -> float | None:
    times = [
        epoch(entry.get("lastTransitionTime"))
        for entry in status.get("conditions") or []
        if entry.get("type") in ("Complete", "Failed") and entry.get("status") == "True"
    ]
    return next((time for time in times if time is not None), None)
