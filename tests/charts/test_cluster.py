"""The chart on a real API server: installed, upgraded, its permissions used and overstepped, uninstalled.

There is no node, so pods are admitted, under restricted pod security, and stay pending.
"""

import json
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from tests.charts.conftest import CHART, Cluster, Program

SEARCH = """\
apiVersion: autosel.dev/v1alpha1
kind: RecipeSearch
metadata: {name: quick, namespace: team-a}
spec:
  pool: {sources: [{name: alpaca, uri: s3://data/a.jsonl}]}
  model: {uri: s3://data/m}
  evaluation: {tasks: [{name: gsm8k}]}
"""
JOB = """\
apiVersion: batch/v1
kind: Job
metadata: {name: step, namespace: team-a}
spec: {template: {spec: {restartPolicy: Never, containers: [{name: step, image: i}]}}}
"""
SERVICE = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "step", "namespace": "team-a"}, "spec": {"clusterIP": "None"}}  # fmt: skip
CONFIG_MAP = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "step", "namespace": "team-a"}}
EVENT = {
    "apiVersion": "events.k8s.io/v1", "kind": "Event", "metadata": {"name": "started", "namespace": "team-a"},
    "eventTime": "2026-01-01T12:00:00.000000Z", "reason": "TrialStarted", "action": "Start", "type": "Normal",
    "reportingController": "autosel.dev/controller", "reportingInstance": "a", "note": "trial t00001",
    "regarding": {"apiVersion": "autosel.dev/v1alpha1", "kind": "RecipeSearch", "name": "quick", "namespace": "team-a"},
}  # fmt: skip
LEASE = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": "autosel", "namespace": "autosel-system"}}  # fmt: skip

# What the controller may do in a watched namespace, apart from its lease: (group, resource) -> verbs.
RIGHTS = {
    ("autosel.dev", "recipesearches"): {"get", "list", "watch"},
    ("autosel.dev", "recipetrials"): {"get", "list", "watch", "create", "delete"},
    ("autosel.dev", "recipesearches/status"): {"patch"},
    ("autosel.dev", "recipetrials/status"): {"patch"},
    ("batch", "jobs"): {"get", "list", "watch", "create", "delete", "patch"},
    ("", "pods"): {"get", "list", "watch"},
    ("", "configmaps"): {"get", "list", "create", "delete"},
    ("", "services"): {"get", "create", "delete"},
    ("", "events"): {"create", "patch"},
    ("events.k8s.io", "events"): {"create", "patch"},
}


@pytest.fixture(scope="module", params=["Cluster", "Namespaced"])
def scope(request: pytest.FixtureRequest, cluster: Cluster) -> Iterator[str]:
    """Install the chart in namespace autosel-system, which enforces restricted pod security."""
    for namespace in ("autosel-system", "team-a", "team-b"):
        cluster.kubectl("create", "namespace", namespace)
    cluster.kubectl.ok(
        "label", "--overwrite", "namespace/autosel-system", "pod-security.kubernetes.io/enforce=restricted"
    )
    arguments = [
        "autosel",
        str(CHART),
        "--namespace=autosel-system",
        f"--set=rbac.scope={request.param}",
    ]
    if request.param == "Namespaced":
        arguments.append("--set=rbac.watchNamespaces={team-a}")
    cluster.helm.ok("install", *arguments, "--dry-run=server")
    assert cluster.objects("deployment", "-n", "autosel-system") == []
    cluster.helm.ok("install", *arguments)
    yield request.param
    cluster.helm.ok("uninstall", "autosel", "--namespace=autosel-system")


@pytest.fixture
def controller(scope: str, cluster: Cluster) -> Program:
    """kubectl with a token of the controller's service account."""
    token = cluster.kubectl.ok("create", "token", "autosel", "--namespace=autosel-system").strip()
    config = cluster.kubectl.command[1].removeprefix("--kubeconfig=")
    server = cluster.kubectl.ok("config", "view", "-o", "jsonpath={.clusters[0].cluster.server}")
    authority = cluster.kubectl.ok(
        "config", "view", "-o", "jsonpath={.clusters[0].cluster.certificate-authority}"
    )
    assert config and scope
    return Program(
        command=(
            cluster.kubectl.command[0],
            "--kubeconfig=/dev/null",
            f"--server={server}",
            f"--certificate-authority={authority}",
            f"--token={token}",
        )
    )


@pytest.fixture
def team_a(cluster: Cluster) -> Iterator[None]:
    cluster.kubectl.ok("apply", "--server-side", "-f", "-", text=SEARCH)
    yield
    for kind in ("recipesearches", "recipetrials", "jobs", "configmaps", "services", "events"):
        cluster.kubectl("delete", kind, "--all", "-n", "team-a", "--wait=false")


def test_pods_are_admitted_under_restricted_security(scope: str, cluster: Cluster) -> None:
    cluster.kubectl.ok(
        "wait", "--for=create", "pod", "-l", "app.kubernetes.io/component=controller",
        "-n", "autosel-system", "--timeout=60s",
    )  # fmt: skip
    (pod,) = cluster.objects("pod", "-n", "autosel-system")
    assert pod["spec"]["serviceAccountName"] == "autosel"
    assert pod["status"]["phase"] == "Pending"


def test_the_test_pod_is_admitted(scope: str, cluster: Cluster) -> None:
    rendered = cluster.helm.ok(
        "template",
        "autosel",
        str(CHART),
        "--namespace=autosel-system",
        "--show-only=templates/tests/search.yaml",
    )
    cluster.kubectl.ok("create", "--dry-run=server", "-f", "-", text=rendered)


def test_rights_are_exactly_these(controller: Program, scope: str) -> None:
    assert _rights(controller, "team-a") == RIGHTS
    elsewhere = RIGHTS if scope == "Cluster" else {}
    assert _rights(controller, "team-b") == elsewhere
    lease = {("coordination.k8s.io", "leases"): {"create", "get", "update", "patch"}}
    assert _rights(controller, "autosel-system") == elsewhere | lease


@pytest.mark.usefixtures("team_a")
def test_everything_the_controller_does_is_allowed(controller: Program, cluster: Cluster) -> None:
    (search,) = json.loads(controller.ok("get", "rsearch", "-n", "team-a", "-o", "json"))["items"]
    trial = _trial(search["metadata"]["uid"])
    for manifest in (trial, CONFIG_MAP, SERVICE, EVENT, LEASE):
        controller.ok("create", "-f", "-", text=json.dumps(manifest))
    controller.ok("create", "-f", "-", text=JOB)
    status = json.dumps({"status": {"summary": {"evaluations": "1/15"}}})
    controller.ok(
        "patch", "rsearch", "quick", "-n", "team-a", "--subresource=status", "--type=merge", "-p", status
    )
    state = json.dumps({"status": {"state": "Running"}})
    controller.ok(
        "patch", "rtrial", "quick-t00001", "-n", "team-a", "--subresource=status", "--type=merge", "-p", state
    )
    controller.ok(
        "patch",
        "job",
        "step",
        "-n",
        "team-a",
        "--type=merge",
        "-p",
        '{"spec": {"ttlSecondsAfterFinished": 60}}',
    )
    controller.ok("get", "pods", "-n", "team-a")
    for name in ("job/step", "configmap/step", "service/step", "recipetrial/quick-t00001"):
        controller.ok("delete", name, "-n", "team-a", "--wait=false")
    renewed = json.dumps({"spec": {"holderIdentity": "pod-1"}})
    controller.ok("patch", "lease", "autosel", "-n", "autosel-system", "--type=merge", "-p", renewed)
    cluster.kubectl.ok("delete", "lease", "autosel", "-n", "autosel-system")


@pytest.mark.usefixtures("team_a")
@pytest.mark.parametrize(
    "call",
    [
        "get secrets -n team-a", "get secrets -n autosel-system", "get secrets -A", "get nodes", "get namespaces",
        "get leases -n team-a", "delete recipesearch quick -n team-a", "annotate recipesearch quick a=b -n team-a",
        "create configmap other -n kube-system", "delete pod any -n team-a", "get crds", "get roles -n team-a",
        "create serviceaccount other -n team-a", "create token autosel -n autosel-system", "get deployments -n team-a",
        "get lease other -n autosel-system",
    ],
)  # fmt: skip
def test_everything_else_is_refused(controller: Program, scope: str, call: str) -> None:
    if scope == "Cluster" and call == "create configmap other -n kube-system":
        pytest.skip("a controller of the whole cluster writes step documents in any namespace")
    done = controller(*call.split())
    assert done.returncode != 0
    assert "Forbidden" in done.stderr or "forbidden" in done.stderr


def test_other_namespaces(controller: Program, scope: str) -> None:
    for call in ("get recipesearches -n team-b", "get jobs -n team-b", "get recipetrials -A"):
        done = controller(*call.split())
        assert (done.returncode == 0) == (scope == "Cluster"), done.stderr


@pytest.mark.parametrize(
    ("role", "verb", "resource", "allowed"),
    [
        ("view", "list", "recipesearches", True),
        ("view", "create", "recipesearches", False),
        ("view", "get", "recipetrials", True),
        ("edit", "create", "recipesearches", True),
        ("edit", "patch", "recipesearches", True),
        ("edit", "patch", "recipesearches/status", False),
        ("edit", "create", "recipetrials", False),
        ("edit", "delete", "recipetrials", False),
        ("admin", "delete", "recipesearches", True),
        ("admin", "create", "recipetrials", False),
    ],
)
def test_users(scope: str, cluster: Cluster, role: str, verb: str, resource: str, allowed: bool) -> None:
    cluster.kubectl(
        "create", "rolebinding", role, f"--clusterrole={role}", f"--user={role}-user", "-n", "team-a"
    )
    resource, _, sub = resource.partition("/")
    done = cluster.kubectl(
        "auth", "can-i", verb, f"{resource}.autosel.dev", *([f"--subresource={sub}"] if sub else []),
        f"--as={role}-user", "-n", "team-a",
    )  # fmt: skip
    assert done.stdout.strip() == ("yes" if allowed else "no")


def test_upgrade_and_images_that_are_allowed(scope: str, cluster: Cluster) -> None:
    cluster.helm.ok(
        "upgrade", "autosel", str(CHART), "--namespace=autosel-system", "--reuse-values",
        "--set=replicas=2,podDisruptionBudget.enabled=true,networkPolicy.enabled=true,metrics.dashboard.enabled=true",
        "--set=admissionPolicy.enabled=true,seaweedfs.enabled=true,seaweedfs.identitiesSecret=keys",
    )  # fmt: skip
    (deployment,) = cluster.objects("deployment", "-n", "autosel-system")
    assert deployment["spec"]["replicas"] == 2
    assert len(cluster.objects("poddisruptionbudgets,networkpolicies", "-n", "autosel-system")) == 2
    own = SEARCH.replace("model:", "steps: {train: {image: ghcr.io/autosel/runtime-cuda:1}}\n  model:")
    cluster.kubectl.ok("create", "--dry-run=server", "-f", "-", text=own)
    for step in ("train", "report"):
        foreign = SEARCH.replace("model:", f"steps: {{{step}: {{image: evil.example/x:1}}}}\n  model:")
        done = _until_refused(cluster, foreign)
        assert "images of steps must start with one of: ghcr.io/autosel/" in done
    cluster.helm.ok(
        "upgrade", "autosel", str(CHART), "--namespace=autosel-system", "--reuse-values",
        "--set=admissionPolicy.enabled=false,seaweedfs.enabled=false",
    )  # fmt: skip


def test_uninstalling_keeps_searches_and_all_can_be_deleted_without_the_controller(cluster: Cluster) -> None:
    cluster.kubectl("create", "namespace", "team-a")
    # definitions that an earlier release of another name left behind are taken over when asked
    install = (
        "install",
        "again",
        str(CHART),
        "--namespace=autosel-system",
        "--create-namespace",
        "--take-ownership",
    )
    cluster.helm.ok(*install)
    cluster.kubectl.ok("apply", "--server-side", "-f", "-", text=SEARCH)
    cluster.helm.ok("uninstall", "again", "--namespace=autosel-system")
    (search,) = cluster.objects("recipesearches", "-A")
    assert "deletionTimestamp" not in search["metadata"]
    assert "finalizers" not in search["metadata"]
    trial = _trial(search["metadata"]["uid"])
    cluster.kubectl.ok("create", "-f", "-", text=json.dumps(trial))
    cluster.kubectl.ok("delete", "rsearch", "quick", "-n", "team-a", "--timeout=30s")
    cluster.kubectl.ok("wait", "--for=delete", "rtrial/quick-t00001", "-n", "team-a", "--timeout=30s")
    cluster.helm.ok(*(argument for argument in install if argument != "--take-ownership"))
    cluster.helm.ok("uninstall", "again", "--namespace=autosel-system")


def _until_refused(cluster: Cluster, text: str) -> str:
    """A new admission policy takes effect a moment after it was stored: create until it does."""
    for _ in range(100):
        done = cluster.kubectl("create", "--dry-run=server", "-f", "-", text=text)
        if done.returncode != 0:
            return done.stderr
    return "never refused"


def _rights(program: Program, namespace: str) -> dict[tuple[str, str], set[str]]:
    """Ask the API server which rules apply, without those that every authenticated client has."""
    review = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SelfSubjectRulesReview",
        "spec": {"namespace": namespace},
    }
    answer = json.loads(program.ok("create", "-f", "-", "-o", "json", text=json.dumps(review)))
    rights: dict[tuple[str, str], set[str]] = {}
    for rule in answer["status"]["resourceRules"]:
        for group in rule["apiGroups"]:
            if group not in ("authorization.k8s.io", "authentication.k8s.io"):
                for resource in rule["resources"]:
                    rights.setdefault((group, resource), set()).update(rule["verbs"])
    return rights


def _trial(uid: str) -> dict[str, Any]:
    from tests.api.test_load import TRIAL

    trial = yaml.safe_load(TRIAL)
    trial["metadata"] = {
        "name": "quick-t00001",
        "namespace": "team-a",
        "ownerReferences": [
            {
                "apiVersion": "autosel.dev/v1alpha1",
                "kind": "RecipeSearch",
                "name": "quick",
                "uid": uid,
                "controller": True,
                "blockOwnerDeletion": False,
            }
        ],
    }
    trial.pop("status", None)
    return trial
