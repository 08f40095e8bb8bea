"""Many searches in a real API server, as a controller that had been at work for days would have left them.

One search is played in a simulated cluster, by the real passes, until it has the trials and Jobs that are asked for.
All that it then consists of is created in the server once for each search, under its own names, UIDs and owners. Jobs
say that another controller manages them, so that Kubernetes' own makes no pods for them: their pods are created here.
"""

import asyncio
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from autosel_runtime.digest import digest
from controller.kube import names
from controller.kube.api import Object
from controller.kube.client import Client
from controller.kube.kinds import CONFIG_MAPS, JOBS, PODS, SEARCHES, TRIALS, Kind
from controller.reconcile.model import StepRequest
from tests.controller import world
from tests.kube.fake_api import FakeApi, timestamp
from tests.kube.kubelet import Steps, document_of, pod_of
from tests.kube.simulation import KEY, Cluster, do

NAMESPACE = KEY.namespace
MODEL_NAME = KEY.name
PARALLELISM = 4
TASKS = ("gsm8k", "mmlu", "arc", "hellaswag", "ifeval")
STATE = (
    *("mean_ifd", "mean_ifd_clipped", "mean_ngram_entropy", "mean_quality", "mean_varentropy", "token_ratio"),
    *("mean_varentropy_clipped", "score_mean", "score_mean_max", "score_std", "source_entropy"),
    *(f"score.{task}" for task in TASKS),
    *(f"source_share.{index}" for index in range(4)),
)
KEPT = ("uid", "resourceVersion", "creationTimestamp", "generation", "managedFields", "namespace")


@dataclass(frozen=True, kw_only=True)
class Template:
    """All objects of one search by kind, in the order of creation, and what its running steps will answer."""

    search_uid: str
    objects: Mapping[str, Sequence[Object]]
    answers: Mapping[str, str]


def template(trials: int, jobs: int) -> Template:
    """Play one search until it has ``trials`` trials, some of which run; keep the newest ``jobs`` Jobs."""
    api = FakeApi(clock=time.time() - 20.0 * trials - 60.0)
    cluster = Cluster(api=api, steps=Steps(answer=_answer))
    cluster.create(
        budget={"evaluations": trials + 20},
        parallelism=PARALLELISM,
        evaluation={"tasks": [{"name": task} for task in TASKS]},
    )
    cluster.settle()
    while len(api.find(TRIALS)) < trials or any(_is_search_step(job) for job in cluster.running()):
        if not cluster.advance():
            raise RuntimeError(f"the simulated search stands still: {cluster.condition('Ready')}")
        cluster.settle()
    for job in cluster.running():
        _run_pod(cluster, job)
    cluster.settle()
    running = {job["metadata"]["name"] for job in cluster.running()}
    newest = sorted(
        api.find(JOBS),
        key=lambda job: (job["metadata"]["name"] in running, job["metadata"]["creationTimestamp"]),
    )[-jobs:]
    kept = {job["metadata"]["name"] for job in newest}
    documents = {item["metadata"]["name"]: item for item in api.find(CONFIG_MAPS)}
    return Template(
        search_uid=cluster.search["metadata"]["uid"],
        objects={
            SEARCHES.plural: [cluster.search],
            TRIALS.plural: api.find(TRIALS),
            CONFIG_MAPS.plural: [documents[name] for name in sorted(running)],
            JOBS.plural: [_unmanaged(job) for job in newest],
            PODS.plural: [
                pod for pod in api.find(PODS) if pod["metadata"]["ownerReferences"][0]["name"] in kept
            ],
        },
        answers={name: cluster.steps.run(document_of(documents[name]))[1] for name in running},
    )


async def populate(client: Client, model: Template, searches: int, *, connections: int = 24) -> None:
    """Create ``searches`` searches like ``model``; each is written by one of ``connections`` at once."""
    numbers = iter(range(searches))

    async def work() -> None:
        for number in numbers:
            await _copy_search(client, model, search_name(number))

    async with asyncio.TaskGroup() as group:
        for _ in range(connections):
            group.create_task(work())


def search_name(number: int) -> str:
    """Return the name of a search; all are as long as the simulated one's."""
    return f"scale-{number:03d}"


async def _copy_search(client: Client, model: Template, name: str) -> None:
    uids: dict[str, str] = {}
    for kind in (SEARCHES, TRIALS, CONFIG_MAPS, JOBS, PODS):
        for item in model.objects[kind.plural]:
            body = _renamed(item, model, name, uids)
            stored = await client.create(kind, NAMESPACE, body)
            uids[item["metadata"]["uid"]] = stored["metadata"]["uid"]
            if "status" in body:
                await client.patch(
                    kind, NAMESPACE, body["metadata"]["name"], {"status": body["status"]}, "status"
                )


def renamed_job(job: str, model: Template, name: str, uid: str) -> str:
    """Return what a Job of the simulated search is called in the search ``name``."""
    old, new = names.uid_hash(model.search_uid), names.uid_hash(uid)
    return job.replace(MODEL_NAME, name).replace(f"-{old}-", f"-{new}-")


def _renamed(item: Object, model: Template, name: str, uids: Mapping[str, str]) -> Object:
    text = orjson.dumps(item).decode().replace(MODEL_NAME, name)
    uid = uids.get(model.search_uid)
    if uid is not None:
        text = text.replace(model.search_uid, uid)
        text = text.replace(f"-{names.uid_hash(model.search_uid)}-", f"-{names.uid_hash(uid)}-")
    body: Object = orjson.loads(text)
    for key in KEPT:
        body["metadata"].pop(key, None)
    for reference in body["metadata"].get("ownerReferences") or ():
        reference["uid"] = uids.get(reference["uid"], reference["uid"])
    return body


def complete(job_name: str, message: str) -> Iterator[tuple[Kind, str, Object]]:
    """Yield the status patches that end a Job: of its pod, then of the Job itself."""
    moment = timestamp(time.time())
    yield PODS, f"{job_name}-0", {"status": _ended_pod(message, moment)}
    yield JOBS, job_name, {"status": _ended_job(moment)}


def _ended_pod(message: str, moment: str) -> Object:
    ended = {
        "exitCode": 0,
        "message": message,
        "startedAt": moment,
        "finishedAt": moment,
        "reason": "Completed",
    }
    return {"phase": "Succeeded", "containerStatuses": [_container({"terminated": ended})]}


def _ended_job(moment: str) -> Object:
    conditions = [
        {
            "type": kind,
            "status": "True",
            "lastTransitionTime": moment,
            "lastProbeTime": moment,
            "reason": "Done",
        }
        for kind in ("SuccessCriteriaMet", "Complete")
    ]
    return {"conditions": conditions, "completionTime": moment, "active": 0, "ready": 0, "succeeded": 1}


def _run_pod(cluster: Cluster, job: Object) -> None:
    moment, name = timestamp(cluster.api.clock), f"{job['metadata']['name']}-0"
    status = {
        "phase": "Running",
        "startTime": moment,
        "containerStatuses": [_container({"running": {"startedAt": moment}})],
    }
    do(cluster.api.create(PODS, NAMESPACE, pod_of(job, name=name)))
    do(cluster.api.patch(PODS, NAMESPACE, name, {"status": status}, "status"))


def _container(state: Mapping[str, Any]) -> Object:
    return {
        "name": "step",
        "image": "step:1",
        "imageID": "step:1",
        "restartCount": 0,
        "ready": "running" in state,
        "started": "running" in state,
        "state": state,
    }


def _unmanaged(job: Object) -> Object:
    """Return the Job with a status as the server demands it of Jobs that it does not look after."""
    before = job.get("status") or {}
    created = job["metadata"]["creationTimestamp"]
    if before.get("completionTime"):
        status = {"startTime": before["startTime"], **_ended_job(before["completionTime"])}
    else:
        status = {"startTime": created, "active": 1, "ready": 1}
    return {**job, "spec": {**job["spec"], "managedBy": "autosel.dev/benchmark"}, "status": status}


def _is_search_step(job: Object) -> bool:
    return names.TRIAL not in job["metadata"]["labels"]


def _answer(request: StepRequest, number: int) -> world.Outcome:
    """Answer like the tests' steps, with as much in every account as real steps put there."""
    del number
    code, summary = world.succeed(request)
    if code != 0 or isinstance(summary, str):
        return code, summary
    share = int(digest([request.name, request.output])[-6:], 16) / 16**6
    state = {key: share / (index + 1) for index, key in enumerate(STATE)}
    match request.step:
        case "suggest" if request.inputs["ordinal"] > 0:
            proposal = dict(summary["proposals"][0])
            recipe = _recipe(share)
            proposal |= {"recipe": recipe, "recipe_digest": digest(recipe), "state_vector": state}
            proposal |= {"subset_digest": digest(["subset", recipe]), "mean": share, "deviation": share / 10}
            proposal |= {"origin": "edit", "rationale": "insert mona_filter at 1, then retune its fraction"}
            return 0, {**summary, "proposals": [proposal]}
        case "materialize":
            return 0, {**summary, "state": state}
        case "evaluate":
            tasks = {task: {"mean": share, "n": 1319, "stderr": 0.013} for task in TASKS}
            return 0, {**summary, "tasks": tasks, "tasks_left_out": 0, "tokens": 319_700, "seconds": 127.7}
        case _:
            return code, summary


def _recipe(share: float) -> dict[str, Any]:
    fraction = round(0.1 + 0.8 * share, 6)
    steps = [
        {"operator": "random_subset", "params": {"fraction": fraction, "strategy": "proportional"}},
        {"operator": "mona_filter", "params": {"combine": "union", "fraction": 0.381}},
        {"operator": "ifd_filter", "params": {"fraction": 0.5}},
        {"operator": "semantic_dedup", "params": {"threshold": 0.58}},
    ]
    return {"steps": steps}
