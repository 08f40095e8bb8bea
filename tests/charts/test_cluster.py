"""The chart on a real API server: installed, upgraded, its permissions used and overstepped, uninstalled.

There is no node, so pods are admitted, under restricted pod security, and stay pending.
"""

import contextlib
import json
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from tests.api.test_load import TRIAL
from tests.charts import refusals
from tests.charts.conftest import CHART, DEFINITIONS, PATIENCE, Cluster
from tests.charts.rights import SIGN, may, rights_of, wanted
from tests.kube.plane import until

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
    "reason": "TrialStarted",
    "type": "Normal",
    "message": "trial t00001",
    "involvedObject": {
        "apiVersion": "autosel.dev/v1alpha1",
        "kind": "RecipeSearch",
        "name": "quick",
        **TEAM_A,
    },
}
LEASE = {"metadata": {"name": "autosel", "namespace": "autosel-system"}}
SEARCHES = "/apis/autosel.dev/v1alpha1/namespaces/team-a/recipesearches"
TRIALS = "/apis/autosel.dev/v1alpha1/namespaces/team-a/recipetrials"
JOBS = "/apis/batch/v1/namespaces/team-a/jobs"
CORE = "/api/v1/namespaces/team-a"
EVENTS = f"{CORE}/events"
LEASES = "/apis/coordination.k8s.io/v1/namespaces/autosel-system/leases"

CONTROLLER = ("-l", "app.kubernetes.io/component=controller", "-n", "autosel-system")


@pytest.fixture(scope="module", params=["Cluster", "Namespaced"])
def scope(request: pytest.FixtureRequest, cluster: Cluster) -> Iterator[str]:
    """Install the chart in namespace autosel-system, which enforces restricted pod security."""
    for namespace in ("autosel-system", "team-a", "team-b"):
        cluster.namespace(namespace)
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
    cluster.serves(*DEFINITIONS)
    yield request.param
    cluster.helm.ok("uninstall", "autosel", "--namespace=autosel-system")
    cluster.kubectl.ok("wait", "--for=delete", "pod", *CONTROLLER, f"--timeout={PATIENCE:.0f}s")


@pytest.fixture(scope="module")
def token(scope: str, cluster: Cluster) -> str:
    """A token of the controller's service account, as soon as the rights of this installation are in force.

    The API server learns of roles that are new, and of those that are gone, a moment later.
    """
    made = cluster.kubectl.ok("create", "token", "autosel", "--namespace=autosel-system").strip()
    with contextlib.suppress(AssertionError):  # rights that never come are for the test of rights to tell
        until(
            lambda: all(rights_of(cluster, made, space) == rights for space, rights in wanted(scope).items()),
            what="the rights are in force",
        )
    return made


@pytest.fixture
def team_a(cluster: Cluster) -> Iterator[None]:
    cluster.kubectl.ok("apply", "--server-side", "-f", "-", text=SEARCH)
    yield
    for kind in ("recipesearches", "recipetrials", "jobs", "configmaps", "services", "events"):
        cluster.kubectl("delete", kind, "--all", "-n", "team-a", "--wait=false")


def test_pods_are_admitted_under_restricted_security(scope: str, cluster: Cluster) -> None:
    cluster.kubectl.ok("wait", "--for=create", "pod", *CONTROLLER, f"--timeout={PATIENCE:.0f}s")
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
    for namespace, rights in wanted(scope).items():
        assert rights_of(cluster, token, namespace) == rights


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
    ):
        allowed("DELETE", path)
    allowed("POST", LEASES, LEASE)
    allowed("PATCH", f"{LEASES}/autosel", {"spec": {"holderIdentity": "pod-1"}})
    allowed("GET", f"{LEASES}/autosel")
    cluster.kubectl.ok("delete", "lease", "autosel", "-n", "autosel-system")


@pytest.mark.usefixtures("team_a")
@pytest.mark.parametrize(("method", "path"), refusals.CALLS)
def test_everything_else_is_refused(token: str, cluster: Cluster, method: str, path: str) -> None:
    status, answer = cluster.call_as(
        token, method, path, None if method in ("GET", "DELETE") else {"spec": {}}
    )
    assert (status, answer["reason"]) == (403, "Forbidden")


@pytest.mark.parametrize(("verb", "group", "resource"), refusals.VERBS)
@pytest.mark.parametrize("namespace", ["team-a", "autosel-system", ""])
def test_nobody_elses_rights_can_be_had(
    token: str, cluster: Cluster, verb: str, group: str, resource: str, namespace: str
) -> None:
    asked = {"verb": verb, "group": group, "resource": resource, "namespace": namespace}
    review = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
    status, answer = cluster.call_as(token, "POST", review, {"spec": {"resourceAttributes": asked}})
    assert (status, answer["status"]["allowed"]) == (201, False)


def test_other_namespaces(token: str, scope: str, cluster: Cluster) -> None:
    for path in (SEARCHES, TRIALS, JOBS, f"{CORE}/pods"):
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
    until(lambda: may(cluster, role, *SIGN[role]), what=f"the role {role} is in force", seconds=PATIENCE)
    assert may(cluster, role, verb, resource) == allowed


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
    for step in ("train", "report"):
        foreign = SEARCH.replace("model:", f"steps: {{{step}: {{image: evil.example/x:1}}}}\n  model:")
        done = _until_refused(cluster, foreign)
        assert "images of steps must start with one of: ghcr.io/autosel/" in done
    cluster.kubectl.ok("create", "--dry-run=server", "-f", "-", text=own)
    cluster.helm.ok(
        "upgrade", "autosel", str(CHART), "--namespace=autosel-system", "--reuse-values",
        "--set=admissionPolicy.enabled=false,seaweedfs.enabled=false",
    )  # fmt: skip


def test_uninstalling_keeps_searches_and_all_can_be_deleted_without_the_controller(cluster: Cluster) -> None:
    cluster.namespace("team-a")
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
    cluster.serves(*DEFINITIONS)
    cluster.kubectl.ok("apply", "--server-side", "-f", "-", text=SEARCH)
    cluster.helm.ok("uninstall", "again", "--namespace=autosel-system")
    (search,) = cluster.objects("recipesearches", "-n", "team-a")
    assert "deletionTimestamp" not in search["metadata"]
    assert "finalizers" not in search["metadata"]
    trial = _trial(search["metadata"]["uid"])
    cluster.kubectl.ok("create", "-f", "-", text=json.dumps(trial))
    patience = f"--timeout={PATIENCE:.0f}s"  # the garbage collector looks for new definitions every 30 s
    cluster.kubectl.ok("delete", "rsearch", "quick", "-n", "team-a", patience)
    cluster.kubectl.ok("wait", "--for=delete", "rtrial/quick-t00001", "-n", "team-a", patience)
    cluster.helm.ok(*(argument for argument in install if argument != "--take-ownership"))
    cluster.helm.ok("uninstall", "again", "--namespace=autosel-system")


def _until_refused(cluster: Cluster, text: str) -> str:
    """A new admission policy takes effect a moment after it was stored: create until it does."""

    def refusal() -> str:
        done = cluster.kubectl("create", "--dry-run=server", "-f", "-", text=text)
        return done.stderr if done.returncode != 0 else ""

    return until(refusal, what="the policy refuses", seconds=PATIENCE)


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
