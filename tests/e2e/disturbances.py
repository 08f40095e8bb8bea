"""What happens to a search in its life: each function disturbs one and demands that it goes on."""

import json
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

from controller.kube.podstate import epoch
from tests.e2e.checks import CheckError, demand
from tests.e2e.cluster import Search
from tests.e2e.world import CHART, CONTROLLER, SYSTEM
from tests.seaweed import Seaweed

TOO_LITTLE, ENOUGH = "100Mi", "1536Mi"
OUTAGE_SECONDS = 60
DELETIONS = 5
JOB_LABEL = "batch.kubernetes.io/job-name"


def upgrade(search: Search) -> None:
    """Upgrade the release: the controller's pod is replaced."""
    before = _controller(search)
    search.cluster.helm(
        "upgrade", "autosel", str(CHART), "--namespace", SYSTEM, "--reuse-values", "--set", "logLevel=debug",
        "--wait", "--timeout", "180s",
    )  # fmt: skip
    demand(before.isdisjoint(_controller(search)), "the upgrade left the old pod of the controller")
    _goes_on(search)


def delete_step_pod(search: Search) -> None:
    """Delete the pod of a train step while it runs: another pod does the step's work, and the step succeeds.

    A step that ends by itself in the moment of the deletion shows nothing; then the next one is taken.
    """
    for _ in range(DELETIONS):
        pod = search.until(lambda: search.pods("train"), what="a train pod that runs")[0]
        uid, step = pod["metadata"]["uid"], _step(_job_of(search, pod))
        # One second of grace: the step must not get to its end in the usual thirty.
        search.cluster.run(
            "delete",
            "pod",
            pod["metadata"]["name"],
            "-n",
            search.namespace,
            "--wait=false",
            "--grace-period=1",
        )
        own = pod["metadata"]["labels"][JOB_LABEL]
        fate = search.until(
            lambda step=step, uid=uid, own=own: _fate(search, step, uid, own),
            what=f"another pod of step {step} than {uid} succeeds",
        )
        if fate == "replaced":
            break
    else:
        raise CheckError(f"{DELETIONS} train steps ended by themselves in the moment their pods were deleted")
    recorded = search.until(
        lambda: [
            record
            for owner, record in search.records()
            if _step_name(search, owner, record) == step and record["state"] == "Succeeded"
        ],
        what=f"step {step} is recorded as succeeded",
    )
    demand(len(recorded) == 1, f"step {step} is recorded {len(recorded)} times")


def _fate(search: Search, step: str, uid: str, own: str) -> str | None:
    """Say what became of a step after its pod was deleted.

    ``ended`` when its own Job is complete without another pod: a next Job then only fetches the account that went with
    the pod. ``replaced`` when another pod has succeeded. None as long as neither is known.
    """
    jobs = {job["metadata"]["name"]: job for job in search.jobs("train") if _step(job) == step}
    others = {
        pod["metadata"]["labels"][JOB_LABEL]
        for pod in search.pods("train", "Succeeded")
        if pod["metadata"]["uid"] != uid
    } & set(jobs)
    if own in jobs and _is(jobs[own], "Complete") and own not in others:
        return "ended"
    return "replaced" if others else None


def delete_controller(search: Search) -> None:
    """Delete the controller's pod while a step runs: the step goes on, and the next controller takes it over."""
    search.until(lambda: search.pods("train"), what="a train pod that runs")
    running = {
        job["metadata"]["uid"] for job in search.jobs() if not _is(job, "Complete") and not _is(job, "Failed")
    }
    search.cluster.run("delete", "pod", *CONTROLLER)
    search.cluster.run("rollout", "status", "deployment/autosel", "-n", SYSTEM, "--timeout=120s")
    kept = {job["metadata"]["uid"] for job in search.jobs()}
    demand(running <= kept, "the new controller deleted Jobs that ran")
    _goes_on(search)


def out_of_memory(search: Search) -> None:
    """Give evaluations too little memory: the kernel kills one, the record says why, and with enough it succeeds."""
    search.patch({"steps": {"evaluate": {"memory": TOO_LITTLE}}})

    def killed() -> list[tuple[str, Any]]:
        return [(owner, record) for owner, record in search.records() if record.get("reason") == "OOMKilled"]

    owner, record = search.until(killed, what="a step that is recorded as OOMKilled", every=0.3)[0]
    search.patch({"steps": {"evaluate": {"memory": ENOUGH}}})
    demand(TOO_LITTLE in record["message"], f"the record names no limit: {record['message']}")

    def mended() -> bool:
        return any(
            other == owner and entry["name"] == record["name"] and entry["state"] == "Succeeded"
            for other, entry in search.records()
        )

    search.until(mended, what=f"step {record['name']} of {owner} succeeds with enough memory")


def suspend_and_resume(search: Search) -> None:
    """Suspend: what runs is let finish, nothing new starts. Resume: it goes on."""
    search.until(lambda: search.pods("train"), what="a train pod that runs")
    search.patch({"suspend": True})
    search.wait("Suspended", 60)
    search.until(lambda: not _active(search), what="running steps drained")
    jobs = {job["metadata"]["name"] for job in search.jobs()}
    time.sleep(10)
    more = {job["metadata"]["name"] for job in search.jobs()} - jobs
    demand(not more, f"a suspended search started {more}")
    search.patch({"suspend": False})
    _goes_on(search)


def storage_outage(search: Search, store: Seaweed, meanwhile: Callable[[], None]) -> None:
    """Kill the object storage for a minute, or as long as ``meanwhile`` takes, while steps run.

    Nothing is lost but time.
    """
    search.until(lambda: search.pods("train"), what="a train pod that runs")
    store.kill()
    back = time.monotonic() + OUTAGE_SECONDS
    meanwhile()
    time.sleep(max(0.0, back - time.monotonic()))
    store.start()
    _goes_on(search)


def raise_budget(search: Search, evaluations: int, seconds: int) -> str:
    """Raise the budget of a finished search: it goes on where it stopped.

    Return the baseline of the first end: a random subset of the size that was chosen then, which stays in the report.
    """
    before = {job["metadata"]["name"] for job in search.jobs("train")}
    chosen = search.read()["status"]["best"]["trial"]
    size = next(trial["spec"]["size"] for trial in search.trials() if trial["metadata"]["name"] == chosen)
    search.patch({"budget": {"evaluations": evaluations}})
    search.until(
        lambda: search.evaluations() == evaluations, what=f"{evaluations} evaluations", seconds=seconds
    )
    search.wait("Succeeded", seconds)
    demand({job["metadata"]["name"] for job in search.jobs("train")} > before, "no trial was trained")
    return f"random-subset-{size}"


def nothing_failed_and_nothing_ran_twice(search: Search) -> None:
    """Demand that no disturbance cost a trial, and that no step that had succeeded was run again.

    A second Job of a step is in order where the first one's account went with its pod: it finds the result and ends.
    """
    progress = search.read()["status"]["progress"]
    demand(progress["failed"] == 0 and progress["invalid"] == 0, f"trials failed: {search.words()}")
    done = Counter(_step(job) for job in search.jobs() if _is(job, "Complete"))
    found = {_step_name(search, owner, record) for owner, record in search.records() if _was_there(record)}
    twice = [step for step, times in done.items() if times > 1 and step not in found]
    demand(not twice, f"steps succeeded twice: {twice}")
    demand(len(done) > 0, "no Job is left to look at")


def _goes_on(search: Search) -> None:
    """Demand a step that began after now and succeeds."""
    before = {job["metadata"]["uid"] for job in search.jobs()}

    def succeeded() -> bool:
        return any(job["metadata"]["uid"] not in before and _is(job, "Complete") for job in search.jobs())

    search.until(succeeded, what="a new step that succeeds")


def _step_name(search: Search, owner: str, record: Any) -> str:
    trial = owner.removeprefix(search.name).removeprefix("-")
    return f"{trial}.{record['name']}" if trial else record["name"]


def _was_there(record: Any) -> bool:
    """Say whether the recorded Job was over in less time than the work that it tells of takes."""
    took = (epoch(record.get("finishedAt")) or 0.0) - (epoch(record.get("startedAt")) or 0.0)
    worked = json.loads(record.get("summary") or "{}").get("seconds", 0.0)
    return record.get("restarts", 0) > 0 and took < worked


def _controller(search: Search) -> set[str]:
    return {pod["metadata"]["uid"] for pod in search.cluster.items("pods", *CONTROLLER)}


def _active(search: Search) -> list[Any]:
    return [*search.pods(), *search.pods(phase="Pending")]


def _job_of(search: Search, pod: Any) -> Any:
    return search.cluster.get("job", pod["metadata"]["labels"][JOB_LABEL], "-n", search.namespace)


def _step(job: Any) -> str:
    return job["metadata"]["annotations"]["autosel.dev/step-name"]


def _is(job: Any, condition: str) -> bool:
    conditions = (job.get("status") or {}).get("conditions") or []
    return any(entry["type"] == condition and entry["status"] == "True" for entry in conditions)
