"""The rendered chart: over many values, what it must and must not contain."""

import itertools
import json
import re
from collections.abc import Iterator
from typing import Any

import jsonschema
import pytest
import yaml

from autosel_runtime.api.crd import crds
from charts.readme import documented_values, values_table, with_table
from tests.charts.conftest import CHART, ROOT, Program, render

EVERYTHING = (
    "--set=seaweedfs.enabled=true,seaweedfs.identitiesSecret=keys",
    "--set=metrics.serviceMonitor.enabled=true,metrics.prometheusRule.enabled=true,metrics.dashboard.enabled=true",
    "--set=networkPolicy.enabled=true,podDisruptionBudget.enabled=true,admissionPolicy.enabled=true",
    "--set=storage.uri=s3://ml-data/autosel,storage.endpoint=http://s3",
)
MATRIX = [
    *(
        (f"--set=rbac.scope={scope}", f"--set=replicas={replicas}", *more)
        for scope, replicas, more in itertools.product(("Cluster", "Namespaced"), (1, 2), ((), EVERYTHING))
    ),
    ("--set=rbac.scope=Namespaced", "--set=rbac.watchNamespaces={team-a,team-b}"),
    ("--set=crds.enabled=false", "--set=rbac.create=false", "--set=serviceAccount.create=false"),
    ("--set=fullnameOverride=other", "--set=nameOverride=short", "--set=commonLabels.team=nlp"),
    ("--set=image.digest=sha256:" + "a" * 64, "--set=imagePullSecrets[0].name=registry"),
]


@pytest.fixture(scope="module", params=MATRIX, ids=lambda arguments: " ".join(arguments)[:60])
def objects(request: pytest.FixtureRequest, helm: Program) -> list[dict[str, Any]]:
    return render(helm, *request.param)


def test_lint(helm: Program) -> None:
    helm.ok("lint", "--strict", str(CHART))


def test_the_definitions_are_copies() -> None:
    sources = {path.name: path.read_text() for path in (ROOT / "crds").glob("*.yaml")}
    copies = {path.name: path.read_text() for path in (CHART / "files" / "crds").glob("*.yaml")}
    assert copies == sources, "run: make generate"


@pytest.mark.parametrize("keep", [True, False])
def test_the_definitions_are_rendered_as_they_are(helm: Program, keep: bool) -> None:
    rendered = render(helm, f"--set=crds.keep={str(keep).lower()}", "--show-only=templates/crds.yaml")
    for definition in rendered:
        metadata = definition["metadata"]
        assert metadata.pop("labels")["app.kubernetes.io/part-of"] == "autosel"
        assert metadata.pop("annotations", {}) == ({"helm.sh/resource-policy": "keep"} if keep else {})
    in_order = sorted(rendered, key=lambda item: item["metadata"]["name"])
    assert in_order == sorted(crds(), key=lambda item: item["metadata"]["name"])


def test_objects_are_complete(objects: list[dict[str, Any]]) -> None:
    names = [(item["kind"], item["metadata"].get("namespace"), item["metadata"]["name"]) for item in objects]
    assert len(set(names)) == len(names)
    for item in objects:
        labels = item["metadata"]["labels"]
        assert labels["app.kubernetes.io/managed-by"] == "Helm"
        assert labels["app.kubernetes.io/instance"] == "trial"


def test_selectors_never_change_with_the_version(objects: list[dict[str, Any]]) -> None:
    stable = {"app.kubernetes.io/name", "app.kubernetes.io/instance", "app.kubernetes.io/component"}
    for item in objects:
        if item["kind"] in ("Deployment", "StatefulSet"):
            selector = item["spec"]["selector"]["matchLabels"]
            assert selector.keys() == stable
            assert selector.items() <= item["spec"]["template"]["metadata"]["labels"].items()


def test_pods_are_restricted(objects: list[dict[str, Any]]) -> None:
    pods = list(_pods(objects))
    assert pods
    for pod in pods:
        security = pod["securityContext"]
        assert security["runAsNonRoot"] is True
        assert security["runAsUser"] == 65532
        assert security["seccompProfile"] == {"type": "RuntimeDefault"}
        for container in pod["containers"]:
            assert container["securityContext"]["allowPrivilegeEscalation"] is False
            assert container["securityContext"]["readOnlyRootFilesystem"] is True
            assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
            assert container["resources"]["requests"]
            assert container["resources"]["limits"]["memory"]


def test_roles_hold_no_secrets_and_no_wildcards(objects: list[dict[str, Any]]) -> None:
    for item in objects:
        for rule in item.get("rules") or []:
            assert "secrets" not in rule["resources"]
            assert "*" not in [*rule["apiGroups"], *rule["resources"], *rule["verbs"]]


def test_users_do_not_create_trials(helm: Program) -> None:
    roles = render(helm, "--show-only=templates/rbac-users.yaml")
    assert {item["metadata"]["name"].rsplit("-", 1)[1] for item in roles} == {"view", "edit"}
    writes = {"create", "update", "patch", "delete", "deletecollection"}
    for rule in itertools.chain.from_iterable(item["rules"] for item in roles):
        if writes & set(rule["verbs"]):
            assert rule["resources"] == ["recipesearches"]


def test_namespaced_has_no_cluster_role_for_the_controller(helm: Program) -> None:
    objects = render(helm, "--set=rbac.scope=Namespaced", "--set=rbac.watchNamespaces={team-a,team-b}")
    kinds = {
        (item["kind"], item["metadata"].get("namespace")) for item in objects if item["kind"].endswith("Role")
    }
    assert kinds == {
        ("ClusterRole", None), ("Role", "team-a"), ("Role", "team-b"), ("Role", "ml-system"),
    }  # fmt: skip
    bound = [item for item in objects if item["kind"] == "ClusterRoleBinding"]
    assert bound == []


def test_image_by_tag_and_by_digest(helm: Program) -> None:
    version = yaml.safe_load((CHART / "Chart.yaml").read_text())["appVersion"]
    digest = "sha256:" + "a" * 64
    for arguments, image in (
        ((), f"ghcr.io/autosel/controller:{version}"),
        (("--set=image.tag=v2",), "ghcr.io/autosel/controller:v2"),
        (("--set=image.tag=v2", f"--set=image.digest={digest}"), f"ghcr.io/autosel/controller@{digest}"),
    ):
        (deployment,) = render(helm, "--show-only=templates/deployment.yaml", *arguments)
        assert deployment["spec"]["template"]["spec"]["containers"][0]["image"] == image


def test_one_replica_is_replaced_and_two_roll(helm: Program) -> None:
    for replicas, strategy in ((1, "Recreate"), (2, "RollingUpdate")):
        (deployment,) = render(helm, "--show-only=templates/deployment.yaml", f"--set=replicas={replicas}")
        assert deployment["spec"]["strategy"]["type"] == strategy


@pytest.mark.parametrize(
    "argument",
    [
        "crds.enable=true", "image.tags=x", "rbac.scope=Everything", "replicas=-1", "image.digest=sha256:0",
        "storage.uri=http://x", "logLevel=loud", "metrics.serviceMonitor.intervall=1s", "unknown=1",
        "runtimeImages.tpu.repository=x", "rbac.watchNamespaces={A}",
    ],
)  # fmt: skip
def test_typos_are_refused(helm: Program, argument: str) -> None:
    done = helm("template", "trial", str(CHART), f"--set={argument}")
    assert done.returncode != 0
    assert argument.split("=")[0].split(".")[0] in done.stderr or "additional properties" in done.stderr


def test_seaweedfs_needs_its_secret(helm: Program) -> None:
    done = helm("template", "trial", str(CHART), "--set=seaweedfs.enabled=true")
    assert "name a Secret with the key identities.json" in done.stderr


def test_the_schema_knows_every_value_and_nothing_else() -> None:
    schema = json.loads((CHART / "values.schema.json").read_text())
    values = yaml.safe_load((CHART / "values.yaml").read_text())
    jsonschema.validate(values, schema)
    for part in _objects_of(schema):
        assert part.get("additionalProperties") is False, part.get("properties")
    _same_keys(schema, values, "")


def test_the_readme_describes_every_value() -> None:
    text = (CHART / "values.yaml").read_text()
    readme = (CHART / "README.md").read_text()
    assert with_table(readme, values_table(text)) == readme, "run: make generate"
    described = {value.path for value in documented_values(text)}
    for path in _leaves(yaml.safe_load(text), ""):
        assert any(path == each or path.startswith(each + ".") for each in described), path


def test_the_dashboard_and_the_alerts_ask_for_metrics_that_exist(helm: Program) -> None:
    from controller.kube.metrics import Metrics

    exist = {name for family in Metrics().registry.collect() for name in _series(family.name, family.type)}
    dashboard = json.loads((CHART / "files" / "dashboard.json").read_text())
    asked = [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]
    (rules,) = render(
        helm, "--set=metrics.prometheusRule.enabled=true", "--show-only=templates/prometheusrule.yaml"
    )
    asked += [rule["expr"] for group in rules["spec"]["groups"] for rule in group["rules"]]
    for expression in asked:
        names = set(re.findall(r"\bautosel_[a-z_]+", expression))
        assert names, expression
        assert names <= exist, expression


def test_the_arguments_are_those_of_the_controller(helm: Program) -> None:
    from controller.kube.config import read_config

    digest = "sha256:" + "b" * 64
    (deployment,) = render(
        helm,
        "--show-only=templates/deployment.yaml",
        "--set=rbac.scope=Namespaced,rbac.watchNamespaces={team-a,team-b}",
        "--set=storage.uri=s3://ml-data/autosel,storage.endpoint=http://s3:8333,storage.pathStyle=true",
        f"--set=runtimeImages.none.tag=v1,runtimeImages.nvidia.digest={digest},runtimeImages.ascend.repository=",
        "--set=extraArgs={--workers=3}",
    )
    container = deployment["spec"]["template"]["spec"]["containers"][0]
    config = read_config(container["args"], environ={})
    assert config.namespaces == ("team-a", "team-b")
    assert config.jobs.image == "ghcr.io/autosel/runtime-cpu:v1"
    assert config.jobs.accelerator_images == {"nvidia": f"ghcr.io/autosel/runtime-cuda@{digest}"}
    assert config.jobs.storage is not None
    assert config.jobs.storage.model_dump(exclude_unset=True, exclude_none=True) == {
        "uri": "s3://ml-data/autosel",
        "endpoint": "http://s3:8333",
        "path_style": True,
    }
    assert (config.lease_name, config.lease_namespace) == ("trial-autosel", "ml-system")
    assert (config.port, config.workers, config.resync_seconds) == (8080, 3, 180)


def _series(family: str, kind: str) -> list[str]:
    return {"counter": [f"{family}_total"], "histogram": [f"{family}_bucket"]}.get(kind, [family])


def _pods(objects: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    for item in objects:
        if item["kind"] == "Pod":
            yield item["spec"]
        elif item["kind"] in ("Deployment", "StatefulSet", "Job"):
            yield item["spec"]["template"]["spec"]


def _objects_of(schema: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield every part of the schema that lists its properties."""
    if "properties" in schema:
        yield schema
        for part in schema["properties"].values():
            yield from _objects_of(part)


def _same_keys(schema: dict[str, Any], values: Any, path: str) -> None:
    optional = {"global", "claims"}
    if "properties" in schema and isinstance(values, dict):
        assert schema["properties"].keys() - optional == values.keys(), path
        for key, value in values.items():
            _same_keys(schema["properties"][key], value, f"{path}.{key}")


def _leaves(values: Any, path: str) -> Iterator[str]:
    if isinstance(values, dict) and values:
        for key, value in values.items():
            yield from _leaves(value, f"{path}.{key}" if path else key)
    else:
        yield path
