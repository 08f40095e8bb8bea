"""What a search in the cluster needs: object storage that pods reach, inputs in it, autosel, a namespace."""

import base64
import os
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

from tests.e2e.checks import demand
from tests.e2e.cluster import Cluster
from tests.e2e.documents import ACCESS_NAME, EXAMPLE, SECRET, SECRET_NAME
from tests.seaweed import ACCESS_KEY, SECRET_KEY, Seaweed

ROOT = Path(__file__).parents[2]
CHART = ROOT / "charts" / "autosel"
BUCKET = "autosel"
SYSTEM, TEAM = "autosel-system", "team-a"
CONTROLLER = ("-n", SYSTEM, "-l", "app.kubernetes.io/component=controller")
DEFINITIONS = ("recipesearches.autosel.dev", "recipetrials.autosel.dev")
ACCELERATORS = {"nvidia": "nvidia.com/gpu", "ascend": "huawei.com/Ascend910"}
RESTRICTED = "pod-security.kubernetes.io/enforce=restricted"


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What the environment says."""

    cluster: Cluster
    address: str
    image_prefix: str


def settings() -> Settings:
    """Read the environment: a cluster that exists already is used only when its context is named."""
    kubectl = os.environ.get("AUTOSEL_TEST_KUBECTL") or shutil.which("kubectl")
    helm = os.environ.get("AUTOSEL_TEST_HELM") or shutil.which("helm")
    context = os.environ.get("AUTOSEL_TEST_CONTEXT") or None
    if kubectl is None or helm is None:
        sys.exit(
            "e2e: kubectl and helm are needed, on the path or as AUTOSEL_TEST_KUBECTL and AUTOSEL_TEST_HELM"
        )
    if context is None and os.environ.get("AUTOSEL_TEST_INSIDE_NODE") != "1":
        sys.exit(
            "e2e: no cluster: start tests/e2e/run.sh with AUTOSEL_TEST_NODE, or name AUTOSEL_TEST_CONTEXT"
        )
    if context is not None and not os.environ.get("AUTOSEL_TEST_ADDRESS"):
        sys.exit(
            "e2e: AUTOSEL_TEST_CONTEXT needs AUTOSEL_TEST_ADDRESS: where pods of the cluster reach this machine"
        )
    kubeconfig = os.environ.get("AUTOSEL_TEST_KUBECONFIG") if context is not None else None
    return Settings(
        cluster=Cluster(kubectl=kubectl, helm_program=helm, context=context, kubeconfig=kubeconfig),
        address=os.environ.get("AUTOSEL_TEST_ADDRESS", "10.90.0.1"),
        image_prefix=os.environ.get("AUTOSEL_TEST_IMAGE_PREFIX", "localhost/autosel"),
    )


def upload(store: Seaweed, files: list[Path]) -> None:
    """Make the bucket and put the example's files into it under inputs/."""
    store.bucket(BUCKET)
    client = store.client()
    for path in files:
        client.put_object(Bucket=BUCKET, Key=f"inputs/{path.as_posix()}", Body=(EXAMPLE / path).read_bytes())


def stored_results(store: Seaweed) -> set[str]:
    """Return the keys of all results in the bucket."""
    pages = store.client().get_paginator("list_objects_v2").paginate(Bucket=BUCKET, Prefix="results/")
    return {entry["Key"] for page in pages for entry in page.get("Contents", [])}


def refuse_what_is_in_use(cluster: Cluster) -> None:
    """Demand a cluster without autosel and without our namespaces, since both are deleted at the end."""
    kinds = ("crd", *DEFINITIONS), ("namespace", SYSTEM, TEAM)
    found = [cluster.run("get", *kind, "--ignore-not-found", "-o", "name").split() for kind in kinds]
    names = " ".join(found[0] + found[1])
    demand(not names, f"{names} is there already; if an earlier run left them: kubectl delete {names}")


def clean_up(cluster: Cluster) -> None:
    """Delete what was made in a cluster that stays, unless somebody else uses the definitions by now."""
    cluster.run("delete", "namespace", SYSTEM, TEAM, "--timeout=180s")
    users = cluster.run("get", ",".join(DEFINITIONS), "-A", "-o", "name").split()
    demand(not users, f"the definitions stay, since somebody uses them: {users}")
    cluster.run("delete", "crd", *DEFINITIONS)


def accelerators(cluster: Cluster) -> frozenset[str]:
    """Return the kinds of accelerators of which a node has one: a step that asks for another would wait for ever."""
    offered = {
        resource
        for node in cluster.items("nodes")
        for resource, count in node["status"].get("allocatable", {}).items()
        if count != "0"
    }
    return frozenset(kind for kind, resource in ACCELERATORS.items() if resource in offered)


def make_namespaces(cluster: Cluster) -> None:
    """Make both namespaces under restricted pod security, and the team's Secret with the keys of the storage."""
    for name in (SYSTEM, TEAM):
        cluster.run("create", "namespace", name)
        cluster.run("label", "namespace", name, RESTRICTED)
    data = {ACCESS_NAME: ACCESS_KEY, SECRET_NAME: SECRET_KEY}
    coded = {key: base64.b64encode(value.encode()).decode() for key, value in data.items()}
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": SECRET, "namespace": TEAM}}
    cluster.apply(secret | {"data": coded})


def install(cluster: Cluster, image_prefix: str) -> None:
    """Install the chart; every kind of accelerator gets the image for processors, since no node here has a device."""
    images = [f"image.repository={image_prefix}/controller"]
    images += [
        f"runtimeImages.{kind}.repository={image_prefix}/runtime-cpu" for kind in ("none", "nvidia", "ascend")
    ]
    cluster.helm(
        "install", "autosel", str(CHART), "--namespace", SYSTEM, "--set", ",".join(images),
        "--set", "resyncSeconds=60", "--wait", "--timeout", "180s",
    )  # fmt: skip
