"""What GitOps tools do, on a real API server: the kustomize base, applying again, Flux's health expressions."""

import json
from typing import Any

import pytest
import yaml

from tests.charts.conftest import CHART, DEFINITIONS, ROOT, Cluster, Program

BASE = ROOT / "gitops" / "kustomize" / "base"
FLUX = ROOT / "gitops" / "flux" / "autosel.yaml"
CASES = ROOT / "gitops" / "argocd" / "autosel.dev" / "RecipeSearch" / "testdata"
# What Flux makes of the cases: current, in progress or failed.
HEALTH = {
    "new": "inProgress",
    "outdated": "inProgress",
    "searching": "current",
    "searching_until_finished": "inProgress",
    "suspended": "inProgress",
    "stalled": "failed",
    "finished": "current",
    "finished_suspended": "current",
}


def test_the_base_is_what_the_chart_renders(helm: Program) -> None:
    rendered = helm.ok(
        "template",
        "autosel",
        str(CHART),
        "--namespace",
        "autosel",
        "--no-hooks",
        "--set",
        "crds.enabled=false",
    )
    written = (BASE / "controller.yaml").read_text()
    assert list(yaml.safe_load_all(written)) == list(yaml.safe_load_all(rendered)), "run: make generate"


def test_applying_again_changes_nothing(cluster: Cluster) -> None:
    """Searches, trials' owners and the controller keep generation and resource version."""
    objects = list(yaml.safe_load_all(cluster.kubectl.ok("kustomize", str(BASE))))
    definitions = [item for item in objects if item["kind"] == "CustomResourceDefinition"]
    others = [item for item in objects if item["kind"] != "CustomResourceDefinition"]
    search = yaml.safe_load((CASES / "searching.yaml").read_text())
    search["metadata"] = {"name": "quick", "namespace": "autosel"}
    del search["status"]
    try:
        for batch in (definitions, others, [search]):
            _apply(cluster, batch)
            if batch is definitions:
                cluster.serves(*DEFINITIONS)
        before = _versions(cluster)
        assert before["RecipeSearch"][0] == 1
        for batch in (definitions, others, [search]):
            _apply(cluster, batch)
        assert _versions(cluster) == before
        cluster.kubectl.ok(
            "apply", "-f", "-", text=yaml.safe_dump(search)
        )  # as people do, by client-side apply
        assert _versions(cluster)["RecipeSearch"][0] == 1
    finally:
        cluster.kubectl("delete", "namespace", "autosel", "--wait=false")
        cluster.kubectl("delete", "-f", "-", "--wait=false", text=yaml.safe_dump_all(others[1:]))


@pytest.fixture
def health(cluster: Cluster) -> Any:
    """Say what Flux's expressions make of an object; the API server evaluates them, in a definition's rules."""
    documents = yaml.safe_load_all(FLUX.read_text())
    (kustomization,) = (item for item in documents if item["kind"] == "Kustomization")
    (expressions,) = kustomization["spec"]["healthCheckExprs"]
    states = ("failed", "inProgress", "current")  # Flux asks in this order, and the first that holds counts
    rules = [{"rule": f"!({_of_self(expressions[state])})", "message": f"it is {state}"} for state in states]
    cluster.kubectl.ok("apply", "--server-side", "-f", "-", text=yaml.safe_dump(_probe(rules)))
    cluster.serves("probes.autosel.test")

    def evaluate(search: dict[str, Any]) -> list[str]:
        body = {
            "apiVersion": "autosel.test/v1",
            "kind": "Probe",
            "metadata": {"name": "probe", "namespace": "default"},
            "seen": {"generation": search["metadata"]["generation"]},
            "status": search.get("status", {}),
        }
        done = cluster.kubectl(
            "create", "--dry-run=server", "--validate=false", "-f", "-", text=json.dumps(body)
        )
        assert done.returncode == 0 or "it is " in done.stderr, done.stderr
        return [state for state in states if f"it is {state}" in done.stderr]

    yield evaluate
    cluster.kubectl("delete", "crd", "probes.autosel.test", "--wait=false")


def test_flux_knows_where_a_search_stands(health: Any) -> None:
    assert HEALTH.keys() == {path.stem for path in CASES.glob("*.yaml")}
    found = {name: health(yaml.safe_load((CASES / f"{name}.yaml").read_text())) for name in HEALTH}
    assert {name: states[0] for name, states in found.items() if states} == HEALTH


def _of_self(expression: str) -> str:
    """Flux evaluates over the object's fields, rules of a definition over ``self``, which hides its metadata."""
    return (
        expression.replace("status.", "self.status.")
        .replace("metadata.generation", "self.seen.generation")
        .replace("c.self.status", "c.status")
    )


def _probe(rules: list[dict[str, str]]) -> dict[str, Any]:
    text = {"type": "string", "maxLength": 64}
    condition = {
        "type": "object",
        "properties": {"type": text, "status": text},
        "required": ["type", "status"],
    }
    status = {
        "type": "object",
        "properties": {
            "observedGeneration": {"type": "integer"},
            "conditions": {"type": "array", "maxItems": 16, "items": condition},
        },
    }
    schema = {
        "type": "object",
        "required": ["seen", "status"],
        "x-kubernetes-validations": rules,
        "properties": {
            "seen": {
                "type": "object",
                "required": ["generation"],
                "properties": {"generation": {"type": "integer"}},
            },
            "status": status,
        },
    }
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": "probes.autosel.test"},
        "spec": {
            "group": "autosel.test",
            "names": {"kind": "Probe", "plural": "probes"},
            "scope": "Namespaced",
            "versions": [
                {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}
            ],
        },
    }


def _apply(cluster: Cluster, objects: list[dict[str, Any]]) -> None:
    cluster.kubectl.ok(
        "apply", "--server-side", "--force-conflicts", "-f", "-", text=yaml.safe_dump_all(objects)
    )


def _versions(cluster: Cluster) -> dict[str, tuple[int | None, str | None]]:
    """Generation of what people write, and the resource version of what nothing else writes."""
    kinds = ("recipesearch/quick", "deployment/autosel", "service/autosel", "serviceaccount/autosel")
    found: dict[str, tuple[int | None, str | None]] = {}
    for kind in kinds:
        item = json.loads(cluster.kubectl.ok("get", kind, "-n", "autosel", "-o", "json"))
        busy = item["kind"] == "Deployment"  # its status is written meanwhile
        found[item["kind"]] = (
            item["metadata"].get("generation"),
            None if busy else item["metadata"]["resourceVersion"],
        )
    for name in ("recipesearches.autosel.dev", "recipetrials.autosel.dev"):
        item = json.loads(cluster.kubectl.ok("get", "crd", name, "-o", "json"))
        found[name] = (item["metadata"]["generation"], None)
    return found
