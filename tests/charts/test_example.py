"""The example for a cluster: checked by the model, taken by an API server, turned into Jobs that it takes too."""

import json
import subprocess
from typing import Any, get_args

import yaml

from autosel_runtime.api.load import load_search
from autosel_runtime.api.resources import StepName
from autosel_runtime.steps.inputs import inputs_of
from controller.kube.jobs import Owner, render_step
from controller.kube.settings import JobSettings
from controller.reconcile.model import StepRequest
from tests.charts.conftest import ROOT, Cluster
from tests.kube.plane import until

FOLDER = ROOT / "examples" / "kubernetes"
UID = "6f1c2a34-0000-4000-8000-000000000000"


def test_it_is_valid() -> None:
    search = load_search(FOLDER / "search.yaml")
    assert search.spec.storage.uri == "s3://ml-data/autosel"
    uris = [one.uri for one in inputs_of(search.spec)]
    assert all(uri.startswith("s3://ml-inputs/") for uri in uris)
    assert len(uris) == 8
    assert search.spec.steps.train.accelerator.kind == "nvidia"


def test_steps_become_jobs_that_fit_the_pools_and_the_queue() -> None:
    for job in _jobs("team-a"):
        assert job["metadata"]["labels"]["kueue.x-k8s.io/queue-name"] == "team-a"
        pod = job["spec"]["template"]["spec"]
        (step,) = pod["containers"]
        assert {mount["mountPath"] for mount in step["volumeMounts"]} >= {"/scratch", "/tmp"}
        gpus = step["resources"].get("limits", {}).get("nvidia.com/gpu")
        assert pod["nodeSelector"] == {"pool": "gpu" if gpus else "cpu"}
        secrets = {item["name"] for item in step["env"] if "valueFrom" in item}
        assert {"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"} <= secrets
    flavors = [item for item in _documents("queue.yaml") if item["kind"] == "ResourceFlavor"]
    assert [item["spec"]["nodeLabels"]["pool"] for item in flavors] == ["cpu", "gpu"]
    (queue,) = (item for item in _documents("queue.yaml") if item["kind"] == "LocalQueue")
    assert queue["metadata"] == {"name": "team-a", "namespace": "team-a"}


def test_an_api_server_takes_all_of_it_under_restricted_pod_security(cluster: Cluster) -> None:
    namespace = "team-a"
    cluster.namespace(namespace)
    cluster.kubectl.ok(
        "label", "--overwrite", f"namespace/{namespace}", "pod-security.kubernetes.io/enforce=restricted"
    )
    cluster.kubectl.ok(
        "apply",
        "--server-side",
        "--force-conflicts",
        "-f",
        str(ROOT / "crds" / "recipesearches.autosel.dev.yaml"),
    )
    cluster.serves("recipesearches.autosel.dev")
    lax = {"containers": [{"name": "step", "image": "i"}]}
    probe = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "lax", "namespace": namespace},
        "spec": lax,
    }
    try:
        until(lambda: "violates PodSecurity" in _create(cluster, probe).stderr, what="the label is in force")
        cluster.kubectl.ok("apply", "-k", str(FOLDER), "--dry-run=server")
        for job in _jobs(namespace):
            cluster.kubectl.ok("create", "--dry-run=server", "-f", "-", text=json.dumps(job))
            pod = {"apiVersion": "v1", "kind": "Pod", **job["spec"]["template"]}
            pod["metadata"] = {"name": "step", "namespace": namespace, "labels": pod["metadata"]["labels"]}
            cluster.kubectl.ok("create", "--dry-run=server", "-f", "-", text=json.dumps(pod))
    finally:
        cluster.kubectl.ok("label", f"namespace/{namespace}", "pod-security.kubernetes.io/enforce-")


def _create(cluster: Cluster, item: dict[str, Any]) -> "subprocess.CompletedProcess[str]":
    return cluster.kubectl("create", "--dry-run=server", "-f", "-", text=json.dumps(item))


def _jobs(namespace: str) -> list[dict[str, Any]]:
    search = load_search(FOLDER / "search.yaml")
    metadata = search.metadata.model_copy(update={"namespace": namespace, "uid": UID})
    search = search.model_copy(update={"metadata": metadata})
    owner = Owner(kind="RecipeSearch", name=metadata.name, uid=UID)
    settings = JobSettings(image="ghcr.io/autosel/runtime-cpu:0.1.0")
    return [
        render_step(
            StepRequest(name=step, step=step, attempt=1, inputs={}, output=f"{step}/x"),
            search,
            owner=owner,
            settings=settings,
        ).job
        for step in get_args(StepName)
    ]


def _documents(name: str) -> list[dict[str, Any]]:
    return list(yaml.safe_load_all((FOLDER / name).read_text()))
