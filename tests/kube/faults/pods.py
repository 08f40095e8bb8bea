"""What nodes and the Job controller do to pods of a simulated search."""

from typing import Any

from controller.kube.kinds import JOBS, PODS
from tests.kube.fake_api import timestamp
from tests.kube.kubelet import pod_of
from tests.kube.simulation import KEY, Cluster, do

Object = dict[str, Any]

DISRUPTED = {
    "type": "DisruptionTarget",
    "status": "True",
    "reason": "PreemptionByScheduler",
    "message": "a pod of higher priority took the node",
}


def put_pod(cluster: Cluster, job: Object, status: Object, *, number: int = 0, leaving: bool = False) -> str:
    """Make a pod of a Job with a status, or give the one that is there another; return its name."""
    name = f"{job['metadata']['name']}-x{number}"
    if (PODS.plural, KEY.namespace, name) not in cluster.api.objects:
        pod = pod_of(job, name=name)
        if leaving:
            pod["metadata"]["deletionTimestamp"] = timestamp(cluster.api.clock)
        do(cluster.api.create(PODS, KEY.namespace, pod))
    do(cluster.api.patch(PODS, KEY.namespace, name, {"status": status}, "status"))
    return name


def ended(code: int, *, reason: str = "Error", message: str = "", **status: Any) -> Object:
    """The status of a pod whose step's container ended with ``code``."""
    state = {"terminated": {"exitCode": code, "reason": reason, "message": message}}
    return {"phase": "Failed", "containerStatuses": [{"name": "step", "state": state}], **status}


def end_job(
    cluster: Cluster, job: Object, *, kind: str = "Failed", reason: str = "BackoffLimitExceeded"
) -> None:
    """Let the Job controller end a Job."""
    condition = {
        "type": kind,
        "status": "True",
        "reason": reason,
        "lastTransitionTime": timestamp(cluster.api.clock),
    }
    patch = {"status": {"conditions": [condition]}}
    do(cluster.api.patch(JOBS, KEY.namespace, job["metadata"]["name"], patch, "status"))


def newest(cluster: Cluster, step: str) -> Object | None:
    """The running Job of a step, if there is one."""
    jobs = [
        job for job in cluster.running() if job["metadata"]["annotations"]["autosel.dev/step-name"] == step
    ]
    return jobs[-1] if jobs else None


def reach(cluster: Cluster, step: str) -> Object:
    """Run the search until the Job of a step is there, with all that can be done then done."""
    for _ in range(200):
        cluster.settle()
        job = newest(cluster, step)
        if job is not None:
            return job
        others = [job for job in cluster.running() if ".train" not in str(job["metadata"]["annotations"])]
        if others:
            cluster.finish(others[0])
        else:
            assert cluster.advance()
    raise AssertionError(f"{step} never began")


def trial_condition(cluster: Cluster, trial: str, kind: str) -> Object:
    """A condition of a trial."""
    item = cluster.api.objects["recipetrials", KEY.namespace, f"simulated-{trial}"]
    return next(entry for entry in item["status"]["conditions"] if entry["type"] == kind)
