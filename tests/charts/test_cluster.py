"""The chart on a real API server: installed, upgraded, its permissions used and overstepped, uninstalled.

There is no node, so pods are admitted, under restricted pod security, and stay pending.
"""

import json
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from tests.api.test_load import TRIAL
from tests.charts.conftest import CHART, Cluster

SEARCH = """\
apiVersion: autosel.dev/v1alpha1
kind: RecipeSearch
metadata: {name: quick, namespace: team-a}
spec:
  pool: {sources: [{name: alpaca, uri: s3://data/a.jsonl}]}
  model: {uri: s3://data/m}
  evaluation: {tasks: [{name: gsm8k}]}
"""
TEAM_A = {"namespace": "team-a"}
JOB = {
    "metadata": {"name": "step", **TEAM_A},
    "spec": {
        "template": {"spec": {"restartPolicy": "Never", "containers": [{"name": "step", "image": "i"}]}}
    },
}
SERVICE = {"metadata": {"name": "step", **TEAM_A}, "spec": {"clusterIP": "None", "ports": [{"port": 29500}]}}
CONFIG_MAP = {"metadata": {"name": "step", **TEAM_A}, "data": {"document.json": "{}"}}
EVENT = {
    "metadata": {"name": "started", **TEAM_A},
    "eventTime": "2026-01-01T12:00:00.000000Z",
    "reason": "TrialStarted",
    "action": "Start",
    "type": "Normal",
    "reportingController": "autosel.dev/controller",
    "reportingInstance": "a",
    "note": "trial t00001",
    "regarding": {"apiVersion": "autosel.dev/v1alpha1", "kind": "RecipeSearch", "name": "quick", **TEAM_A},
}
LEASE = {"metadata": {"name": "autosel", "namespace": "autosel-system"}}
SEARCHES = "/apis/autosel.dev/v1alpha1/namespaces/team-a/recipesearches"
TRIALS = "/apis/autosel.dev/v1alpha1/namespaces/team-a/recipetrials"
JOBS = "/apis/batch/v1/namespaces/team-a/jobs"
CORE = "/api/v1/namespaces/team-a"
EVENTS = "/apis/events.k8s.io/v1/namespaces/team-a/events"
LEASES = "/apis/coordination.k8s.io/v1/namespaces/autosel-system/leases"
ROLES = "/apis/rbac.authorization.k8s.io/v1"

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


@pytest.fixture(scope="module")
def token(scope: str, cluster: Cluster) -> str:
    """A token of the controller's service account."""
    return cluster.kubectl.ok("create", "token", "autosel", "--namespace=autosel-system").strip()


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
    account, *others = [item for item in yaml.safe_load_all(rendered) if item]
    assert account["kind"] == "ServiceAccount"
    cluster.kubectl.ok("create", "-f", "-", text=yaml.safe_dump(account))
    cluster.kubectl.ok("create", "--dry-run=server", "-f", "-", text=yaml.safe_dump_all(others))
    cluster.kubectl.ok("delete", "-f", "-", text=yaml.safe_dump(account))


def test_rights_are_exactly_these(token: str, scope: str, cluster: Cluster) -> None:
    definitions = {("apiextensions.k8s.io", "customresourcedefinitions"): {"list", "watch"}}
    everywhere = RIGHTS | definitions
    assert _rights(cluster, token, "team-a") == (everywhere if scope == "Cluster" else RIGHTS)
    elsewhere = everywhere if scope == "Cluster" else {}
    assert _rights(cluster, token, "team-b") == elsewhere
    lease = {("coordination.k8s.io", "leases"): {"create", "get", "update", "patch"}}
    assert _rights(cluster, token, "autosel-system") == elsewhere | lease


@pytest.mark.usefixtures("team_a")
def test_everything_the_controller_does_is_allowed(token: str, cluster: Cluster) -> None:
    def allowed(method: str, path: str, body: Any = None) -> Any:
        status, answer = cluster.call_as(token, method, path, body)
        assert status in (200, 201, 202), f"{method} {path}: {answer}"
        return answer

    (search,) = allowed("GET", SEARCHES)["items"]
    allowed("POST", TRIALS, _trial(search["metadata"]["uid"]))
    for path, body in ((JOBS, JOB), (f"{CORE}/configmaps", CONFIG_MAP), (f"{CORE}/services", SERVICE)):
        allowed("POST", path, body)
        allowed("GET", f"{path}/step")
    allowed("POST", EVENTS, EVENT)
    allowed("PATCH", f"{EVENTS}/started", {"series": {"count": 2, "lastObservedTime": EVENT["eventTime"]}})
    allowed("PATCH", f"{SEARCHES}/quick/status", {"status": {"summary": {"evaluations": "1/15"}}})
    allowed("PATCH", f"{TRIALS}/quick-t00001/status", {"status": {"state": "Running"}})
    allowed("PATCH", f"{JOBS}/step", {"spec": {"ttlSecondsAfterFinished": 60}})
    for path in (SEARCHES, TRIALS, JOBS, f"{CORE}/pods"):
        status, _ = cluster.call_as(token, "GET", f"{path}?limit=1&timeoutSeconds=1")
        assert status == 200
    for path in (
        f"{JOBS}/step",
        f"{CORE}/configmaps/step",
        f"{CORE}/services/step",
        f"{TRIALS}/quick-t00001",
    ):
        allowed("DELETE", path)
    allowed("POST", LEASES, LEASE)
    allowed("PATCH", f"{LEASES}/autosel", {"spec": {"holderIdentity": "pod-1"}})
    allowed("GET", f"{LEASES}/autosel")
    cluster.kubectl.ok("delete", "lease", "autosel", "-n", "autosel-system")


@pytest.mark.usefixtures("team_a")
@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", f"{CORE}/secrets"),
        ("GET", f"{CORE}/secrets/s3"),
        ("GET", "/api/v1/secrets"),
        ("GET", "/api/v1/namespaces/autosel-system/secrets"),
        ("GET", "/api/v1/nodes"),
        ("GET", "/api/v1/namespaces"),
        ("GET", f"{CORE}/services"),
        ("GET", "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/recipetrials.autosel.dev"),
        ("POST", "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"),
        ("GET", "/apis/coordination.k8s.io/v1/namespaces/team-a/leases/autosel"),
        ("GET", f"{LEASES}/other"),
        ("GET", LEASES),
        ("GET", f"{ROLES}/namespaces/team-a/roles"),
        ("GET", "/apis/apps/v1/namespaces/autosel-system/deployments"),
        ("POST", f"{CORE}/pods"),
        ("POST", f"{CORE}/serviceaccounts"),
        ("POST", "/api/v1/namespaces/autosel-system/serviceaccounts/autosel/token"),
        ("POST", SEARCHES),
        ("POST", f"{ROLES}/namespaces/team-a/rolebindings"),
        ("PUT", f"{SEARCHES}/quick"),
        ("PATCH", f"{SEARCHES}/quick"),
        ("PATCH", f"{TRIALS}/any"),
        ("PATCH", f"{CORE}/configmaps/any"),
        ("DELETE", f"{SEARCHES}/quick"),
        ("DELETE", f"{CORE}/pods/any"),
        ("DELETE", f"{LEASES}/autosel"),
        ("DELETE", JOBS),
    ],
)
def test_everything_else_is_refused(token: str, cluster: Cluster, method: str, path: str) -> None:
    status, answer = cluster.call_as(
        token, method, path, None if method in ("GET", "DELETE") else {"spec": {}}
    )
    assert (status, answer["reason"]) == (403, "Forbidden")


def test_other_namespaces(token: str, scope: str, cluster: Cluster) -> None:
    for path in (SEARCHES, TRIALS, JOBS, f"{CORE}/pods", f"{CORE}/configmaps"):
        for other in (
            path.replace("/namespaces/team-a", "/namespaces/team-b"),
            path.replace("/namespaces/team-a", ""),
        ):
            status, _ = cluster.call_as(token, "GET", other)
            assert status == (200 if scope == "Cluster" else 403), other
    elsewhere = CORE.replace("team-a", "team-b")
    status, _ = cluster.call_as(
        token, "POST", f"{elsewhere}/configmaps?dryRun=All", {"metadata": {"name": "x"}}
    )
    assert status == (201 if scope == "Cluster" else 403)


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


def _rights(cluster: Cluster, token: str, namespace: str) -> dict[tuple[str, str], set[str]]:
    """Ask the API server which rules apply, without those that every authenticated client has."""
    review = {"spec": {"namespace": namespace}}
    _, answer = cluster.call_as(
        token, "POST", "/apis/authorization.k8s.io/v1/selfsubjectrulesreviews", review
    )
    rights: dict[tuple[str, str], set[str]] = {}
    for rule in answer["status"]["resourceRules"]:
        for group in rule["apiGroups"]:
            if group not in ("authorization.k8s.io", "authentication.k8s.io"):
                for resource in rule["resources"]:
                    rights.setdefault((group, resource), set()).update(rule["verbs"])
    return rights


def _trial(uid: str) -> dict[str, Any]:
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
