"""Rendered objects: golden files for every kind of cluster, two schemas, restricted pod security, what steps read.

Written anew with AUTOSEL_WRITE_GOLDEN=1; the difference is then for a person to read.
"""

import base64
import gzip
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from autosel_runtime.api.resources import StorageSpec
from autosel_runtime.errors import ConfigError
from autosel_runtime.steps.document import read_document
from controller.kube import names
from controller.kube.jobs import Owner, StepManifests, render_step, ttl_patch
from controller.kube.settings import JobSettings
from controller.reconcile import StepRequest
from tests.kube.plane import Plane, start_plane
from tests.kube.samples import OWNER, SETTINGS, UID, request, search

GOLDEN = Path(__file__).parent / "golden"
S3 = {
    "uri": "s3://ml-data/autosel",
    "endpoint": "https://s3.example.com",
    "accessKey": {"name": "s3", "key": "AWS_ACCESS_KEY_ID"},
    "secretKey": {"name": "s3", "key": "AWS_SECRET_ACCESS_KEY"},
    "caBundle": "configmap://company-ca/ca.pem",
}
LLM = {
    "proposer": "llm",
    "llm": {
        "baseUrl": "http://vllm:8000/v1",
        "model": "m",
        "apiKey": {"name": "llm", "key": "OPENAI_API_KEY"},
    },
}
OVERLAY = {
    "metadata": {"labels": {"team": "nlp"}, "annotations": {"sidecar.istio.io/inject": "false"}},
    "spec": {
        "runtimeClassName": "nvidia",
        "tolerations": [{"key": "spot", "operator": "Exists"}],
        "securityContext": {"supplementalGroups": [44], "runAsUser": 1000},
        "containers": [
            {
                "name": "step",
                "env": [{"name": "OMP_NUM_THREADS", "value": "8"}, {"name": "NCCL_DEBUG", "value": "WARN"}],
                "volumeMounts": [{"name": "models", "mountPath": "/data", "readOnly": True}],
                "resources": {"requests": {"ephemeral-storage": "50Gi"}},
            },
            {"name": "metrics", "image": "example.org/metrics:1"},
        ],
        "volumes": [
            {"name": "models", "persistentVolumeClaim": {"claimName": "models", "readOnly": True}},
            {"name": "work", "emptyDir": {"sizeLimit": "200Gi"}},
        ],
    },
}


def train(**resources: Any) -> dict[str, Any]:
    return {"steps": {"train": {"cpu": "8", "memory": "64Gi", **resources}}}


# Each: name of the search, its spec, the step.
MATRIX: dict[str, tuple[str, dict[str, Any], StepRequest]] = {
    "cpu": ("quick", {}, request()),
    "nvidia": ("quick", train(accelerator={"kind": "nvidia"}), request()),
    "nvidia-eight": ("quick", train(accelerator={"kind": "nvidia", "count": 8}), request()),
    "mig": (
        "quick",
        {"steps": {"evaluate": {"accelerator": {"kind": "nvidia", "resource": "nvidia.com/mig-3g.40gb"}}}},
        request("t00001.evaluate", "evaluate"),
    ),
    "amd": ("quick", train(accelerator={"kind": "amd", "count": 2}), request()),
    "ascend": ("quick", train(accelerator={"kind": "ascend", "count": 4}), request()),
    "multi-node": ("quick", train(accelerator={"kind": "nvidia", "count": 8}, nodes=2), request()),
    "multi-node-ascend": (
        "quick",
        train(accelerator={"kind": "ascend", "count": 8}, nodes=4),
        request(attempt=3),
    ),
    "sharded": (
        "quick",
        {"steps": {"evaluate": {"shards": 4, "accelerator": {"kind": "nvidia"}, "memory": "32Gi"}}},
        request("t00001.evaluate", "evaluate"),
    ),
    "sharded-kueue": (
        "quick",
        {"steps": {"score": {"shards": 2}}, "scheduling": {"queueName": "team"}},
        request("setup.score", "score"),
    ),
    "kueue": (
        "quick",
        {
            **train(
                nodeSelector={"pool": "gpu"},
                tolerations=[{"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}],
            ),
            "scheduling": {
                "queueName": "team",
                "workloadPriorityClass": "research",
                "priorityClassName": "batch-low",
                "runtimeClassName": "nvidia",
                "imagePullSecrets": ["registry"],
            },
        },
        request(),
    ),
    "workload-identity": ("quick", {"scheduling": {"serviceAccountName": "autosel-steps"}}, request()),
    "secrets": ("quick", {"storage": S3, "search": LLM}, request("suggest-00004.suggest", "suggest")),
    "secrets-train": ("quick", {"storage": S3, "search": LLM}, request()),
    "overlay": (
        "quick",
        train(podTemplate=OVERLAY, tolerations=[{"key": "gpu", "operator": "Exists"}]),
        request(),
    ),
    "long-names": (
        "7b-" + "instruction-tuning-of-the-large-" + "model",
        {},
        request("random-subset-1000000000.evaluate-transfer-15", "evaluate", attempt=4),
    ),
}


def rendered(case: str) -> StepManifests:
    name, spec, step = MATRIX[case]
    mine = (step.trial or "").startswith(("t0", "random"))
    owner = OWNER if mine else Owner(kind="RecipeSearch", name=name, uid=UID)
    return render_step(step, search(name, **spec), owner=owner, settings=SETTINGS)


@pytest.fixture(scope="module")
def plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Plane]:
    yield from start_plane(tmp_path_factory.mktemp("plane"), controllers=False)


@pytest.mark.parametrize("case", MATRIX)
def test_golden(case: str) -> None:
    config_map, *others = json.loads(json.dumps(rendered(case).in_order()))
    config_map["data"] = dict.fromkeys(config_map["data"], "the step document, which has tests of its own")
    text = yaml.safe_dump_all([config_map, *others], sort_keys=True)
    path = GOLDEN / f"{case}.yaml"
    if os.environ.get("AUTOSEL_WRITE_GOLDEN"):
        path.write_text(text)
    assert path.read_text() == text


@pytest.mark.parametrize("case", MATRIX)
@pytest.mark.parametrize("version", ["1.31.0", "1.36.0"])
def test_objects_fit_the_schema_of_kubernetes(case: str, version: str) -> None:
    for manifest in rendered(case).in_order():
        kubernetes_validate.validate(json.loads(json.dumps(manifest)), version, strict=True)


@pytest.mark.parametrize("case", MATRIX)
def test_pods_keep_to_restricted_pod_security(case: str) -> None:
    spec = rendered(case).job["spec"]["template"]["spec"]
    assert spec["automountServiceAccountToken"] is False
    assert spec["restartPolicy"] == "Never"
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert spec["securityContext"]["runAsUser"] != 0
    assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert not {"hostNetwork", "hostPID", "hostIPC"} & spec.keys()
    for container in spec["containers"]:
        security = container["securityContext"]
        assert security["allowPrivilegeEscalation"] is False
        assert security["readOnlyRootFilesystem"] is True
        assert security["capabilities"] == {"drop": ["ALL"]}
    assert all("hostPath" not in volume for volume in spec["volumes"])


def test_the_api_server_takes_all_of_them_under_restricted_pod_security(plane: Plane) -> None:
    enforce = {"pod-security.kubernetes.io/enforce": "restricted"}
    metadata = {"name": "ml", "labels": enforce}
    plane.apply(
        {"apiVersion": "v1", "kind": "Namespace", "metadata": metadata},
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default", "namespace": "ml"}},
    )
    objects: list[Any] = []
    for case in MATRIX:
        manifests = rendered(case)
        # Pod security looks at pods, so each is asked for as well; what names objects of a cluster is left out.
        spec = dict(manifests.job["spec"]["template"]["spec"])
        for key in ("priorityClassName", "runtimeClassName", "serviceAccountName"):
            spec.pop(key, None)
        pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p", "namespace": "ml"}, "spec": spec}
        objects += [*manifests.in_order(), pod]
    text = json.dumps({"apiVersion": "v1", "kind": "List", "items": objects})
    done = plane.kubectl("create", "--dry-run=server", "-f", "-", text=text)
    assert (done.returncode, done.stderr) == (0, "")
    assert len(done.stdout.splitlines()) == len(objects)


@pytest.mark.parametrize("case", MATRIX)
def test_the_step_reads_its_document(case: str, tmp_path: Path) -> None:
    manifests = rendered(case)
    path = tmp_path / "step.json"
    path.write_text(manifests.config_map["data"]["step.json"])
    document = read_document(str(path))
    step = MATRIX[case][2]
    assert (document.step, document.name, document.output) == (step.step, step.name, step.output)
    assert document.inputs == step.inputs
    assert document.uid == UID
    container = manifests.job["spec"]["template"]["spec"]["containers"][0]
    mounts = {mount["mountPath"]: mount["name"] for mount in container["volumeMounts"]}
    assert {document.work, "/tmp", "/etc/autosel"} <= mounts.keys()
    assert container["command"][-1] == "/etc/autosel/step.json"
    bundle = document.search.storage.ca_bundle
    assert bundle is None or str(Path(bundle).parent) in mounts


def test_a_long_document_is_compressed_and_still_read(tmp_path: Path) -> None:
    history = [
        {"ordinal": number, "state_vector": {f"q{k}": k / 7 for k in range(60)}} for number in range(1000)
    ]
    step = request("suggest-01001.suggest", "suggest", history=history)
    config_map = render_step(step, search(), owner=OWNER, settings=SETTINGS).config_map
    packed = base64.b64decode(config_map["binaryData"]["step.json"])
    assert len(packed) < 2**20 < len(gzip.decompress(packed))
    (tmp_path / "step.json").write_bytes(packed)
    assert read_document(str(tmp_path / "step.json")).inputs == {"history": history}


def test_a_document_that_fits_nowhere_is_refused() -> None:
    noise = os.urandom(1_500_000).hex()
    with pytest.raises(ConfigError, match="a ConfigMap holds"):
        render_step(request(noise=noise), search(), owner=OWNER, settings=SETTINGS)


def test_rendering_again_gives_the_same_objects() -> None:
    for case in MATRIX:
        assert rendered(case) == rendered(case)


def test_the_hash_is_of_what_is_computed_not_of_where() -> None:
    first = render_step(request(), search(), owner=OWNER, settings=SETTINGS)
    moved = render_step(request(attempt=2), search(**train(cpu="2")), owner=OWNER, settings=SETTINGS)
    other = render_step(request(subset="subsets/x"), search(), owner=OWNER, settings=SETTINGS)
    assert first.spec_hash == moved.spec_hash != other.spec_hash
    assert first.spec_hash.startswith("v1:")
    assert first.job["metadata"]["annotations"][names.SPEC_HASH] == first.spec_hash


@pytest.mark.parametrize("step", ["score", "evaluate"])
def test_shards_change_neither_the_hash_nor_the_document(step: Any) -> None:
    whole, shared = (
        render_step(
            request(f"t00001.{step}", step),
            search(steps={step: {"shards": count}}),
            owner=OWNER,
            settings=SETTINGS,
        )
        for count in (1, 5)
    )
    assert whole.spec_hash == shared.spec_hash
    assert shared.service is None
    documents = [json.loads(one.config_map["data"]["step.json"]) for one in (whole, shared)]
    assert [document["search"]["steps"][step].pop("shards") for document in documents] == [1, 5]
    assert documents[0] == documents[1]
    assert "backoffLimit" not in shared.job["spec"]
    assert whole.job["spec"]["completions"] == 1


def test_secrets_are_references_and_only_where_needed() -> None:
    def secrets(case: str) -> set[str]:
        container = rendered(case).job["spec"]["template"]["spec"]["containers"][0]
        return {entry["name"] for entry in container["env"] if "secretKeyRef" in entry.get("valueFrom", {})}

    assert secrets("secrets") == {"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "OPENAI_API_KEY"}
    assert secrets("secrets-train") == {"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"}


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ({"storage": {}}, "spec.storage.uri: a search in a cluster needs a store"),
        (
            {"storage": {**S3, "caBundle": "vault://x"}},
            "spec.storage.caBundle: 'vault://x' is not understood",
        ),
        ({"storage": {**S3, "caBundle": "configmap://x"}}, "is not understood"),
        (
            {
                "storage": {
                    **S3,
                    "accessKey": {"name": "a", "key": "K"},
                    "secretKey": {"name": "b", "key": "K"},
                }
            },
            "the Secrets a and b both give K",
        ),
        (train(cpu="4Gi"), "cpu: '4Gi' is no number of processors"),
    ],
)
def test_settings_that_cannot_work_are_refused(spec: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        render_step(request(), search(**spec), owner=OWNER, settings=SETTINGS)


def test_the_operator_s_store_serves_searches_without_one() -> None:
    settings = JobSettings(image="i", storage=StorageSpec(uri="s3://shared/autosel"))
    found = render_step(request(), search(storage={}), owner=OWNER, settings=settings)
    assert (
        json.loads(found.config_map["data"]["step.json"])["search"]["storage"]["uri"] == "s3://shared/autosel"
    )


def test_only_the_time_to_live_is_ever_patched() -> None:
    assert ttl_patch(600) == {"spec": {"ttlSecondsAfterFinished": 600}}
