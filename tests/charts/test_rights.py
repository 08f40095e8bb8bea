"""The controller's rights against a whole search: the operator runs with the chart's service account, and every call
that it makes is looked at. A missing rule fails the search, a rule that nothing uses fails the comparison."""

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from controller.kube.auth import from_kubeconfig
from tests.charts.conftest import CHART, DEFINITIONS, Cluster
from tests.charts.rights import RIGHTS
from tests.kube.ends import SMALL
from tests.kube.fault_proxy import Call, Harm, fault_proxy
from tests.kube.keeping import held_controllers, keep
from tests.kube.operating import Bench
from tests.kube.plane import Plane, until

SYSTEM, TEAM = "autosel-system", "team-c"
LEASES = ("coordination.k8s.io", "leases")
VERBS = {"POST": "create", "PATCH": "patch", "PUT": "update", "DELETE": "delete"}
PATH = re.compile(
    r"/(?:api/v1|apis/(?P<group>[^/]+)/[^/]+)(?:/namespaces/(?P<namespace>[^/]+)(?=/))?"
    r"/(?P<resource>[^/]+)(?:/(?P<name>[^/]+)(?:/(?P<sub>.+))?)?"
)
Used = dict[tuple[str, str], set[str]]


def used(calls: list[Call]) -> Used:
    """What calls need, as rules of a role name it; discovery, which everybody may do, is left out."""
    found: Used = {}
    for call in calls:
        parts = PATH.fullmatch(call.path)
        if parts is None:
            continue
        read = "get" if parts["name"] else "watch" if call.watch else "list"
        resource = "/".join(part for part in (parts["resource"], parts["sub"]) if part)
        found.setdefault((parts["group"] or "", resource), set()).add(VERBS.get(call.method, read))
    return found


@pytest.fixture(params=["Cluster", "Namespaced"])
def scope(request: pytest.FixtureRequest, cluster: Cluster) -> Iterator[str]:
    """The chart, installed to watch one namespace or all."""
    for namespace in (SYSTEM, TEAM):
        cluster.namespace(namespace)
    watched = ["--set=rbac.watchNamespaces={team-c}"] if request.param == "Namespaced" else []
    cluster.helm.ok(
        "install",
        "autosel",
        str(CHART),
        f"--namespace={SYSTEM}",
        f"--set=rbac.scope={request.param}",
        *watched,
    )
    cluster.serves(*DEFINITIONS)
    yield request.param
    cluster.helm.ok("uninstall", "autosel", f"--namespace={SYSTEM}")
    cluster.kubectl.ok("delete", "lease", "autosel", f"--namespace={SYSTEM}")
    cluster.kubectl.ok("delete", "namespace", TEAM)


def test_a_whole_search_uses_every_right_and_needs_no_other(
    cluster: Cluster, scope: str, tmp_path: Path
) -> None:
    kubectl = cluster.kubectl.command
    plane = Plane(kubeconfig=Path(kubectl[1].removeprefix("--kubeconfig=")), program=kubectl[0])
    bench = Bench(plane=plane, namespace=TEAM, folder=tmp_path)
    token = cluster.kubectl.ok("create", "token", "autosel", f"--namespace={SYSTEM}").strip()
    created: set[str] = set()

    def plan(call: Call) -> Harm | None:
        # The first answer of every kind is lost: what is there already is then read by name.
        if call.method != "POST" or call.path in created or "events" in call.path:
            return None
        created.add(call.path)
        return Harm(lose=True)

    with fault_proxy(plane) as proxy, bench.kubelet(hold=lambda job: "train" in job) as kubelet:
        proxy.access = replace(from_kubeconfig([plane.kubeconfig]), token=token)
        proxy.plan = plan
        options = [
            f"--kubeconfig={proxy.kubeconfig(tmp_path)}",
            f"--lease-namespace={SYSTEM}",
            "--lease-name=autosel",
        ]
        if scope == "Cluster":
            options.append("--namespaces=")
        with bench.operator("with-rights", *options) as operator:
            bench.create(**SMALL, steps={"train": {"nodes": 2}}, suspendPolicy="Stop")
            until(lambda: any("train" in job for job in bench.jobs()), what="training begins")
            bench.patch({"suspend": True})
            until(lambda: not any("train" in job for job in bench.jobs()), what="training is stopped")
            bench.patch({"suspend": False})
            until(lambda: any("train" in job for job in bench.jobs()), what="training goes on")
            _names_that_are_still_taken(bench)
            kubelet.hold = lambda job: False
            bench.wait_for_end()
            assert '"level":"error"' not in operator.log(), operator.log()
    assert [(call.method, call.path) for call in proxy.forbidden] == []
    watched = {("apiextensions.k8s.io", "customresourcedefinitions"): {"list", "watch"}}
    expected = RIGHTS | {LEASES: {"create", "get", "patch"}} | (watched if scope == "Cluster" else {})
    assert used(proxy.calls) == expected


def _names_that_are_still_taken(bench: Bench) -> None:
    """Delete the trial: while a finalizer keeps it, and then while its Jobs are not collected, it cannot come back."""

    def waits_for(kind: str) -> None:
        def told() -> bool:
            found = bench.condition("Ready")
            return found["reason"] == "WaitingForDeletion" and f"{kind} {TEAM}/" in found["message"]

        until(told, what=f"the search waits for a {kind}")

    trial = "simulated-t00001"
    keep(bench, "rtrial", trial, kept=True)
    bench.delete("rtrial", trial)
    waits_for("RecipeTrial")
    with held_controllers(bench.plane):
        keep(bench, "rtrial", trial, kept=False)
        waits_for("Job")
