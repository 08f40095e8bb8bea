"""No secret's value ever reaches an object, a log line or a metric: the operator never reads one."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.kube.operating import Bench
from tests.kube.plane import Plane, until

VALUES = {
    "AWS_ACCESS_KEY_ID": "AKIADISTINCTIVE7",
    "AWS_SECRET_ACCESS_KEY": "s3-secret-distinctive-91",
    "LLM_KEY": "sk-distinctive-llm-42",
    "HF_TOKEN": "hf_distinctive_hub_17",
}
REFERENCES = {
    "storage": {
        "uri": "s3://bucket/p",
        "accessKey": {"name": "keys", "key": "AWS_ACCESS_KEY_ID"},
        "secretKey": {"name": "keys", "key": "AWS_SECRET_ACCESS_KEY"},
    },
    "search": {
        "proposer": "llm",
        "llm": {
            "baseUrl": "https://llm.example/v1",
            "model": "m",
            "apiKey": {"name": "keys", "key": "LLM_KEY"},
        },
    },
    "steps": {
        "prepare": {
            "podTemplate": {
                "spec": {
                    "containers": [
                        {
                            "name": "step",
                            "env": [
                                {
                                    "name": "HF_TOKEN",
                                    "valueFrom": {"secretKeyRef": {"name": "keys", "key": "HF_TOKEN"}},
                                }
                            ],
                        }
                    ]
                }
            }
        }
    },
}


@pytest.fixture
def bench(plane: Plane, tmp_path: Path) -> Iterator[Bench]:
    plane.must("create", "namespace", "secrets")
    plane.apply(
        {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": "keys", "namespace": "secrets"},
            "stringData": VALUES,
        }
    )
    yield Bench(plane=plane, namespace="secrets", folder=tmp_path)
    plane.kubectl("delete", "namespace", "secrets", "--wait=false")


def everything(plane: Plane, namespace: str) -> dict[str, str]:
    """All objects of a namespace but its Secrets, by kind, as the server stores them."""
    kinds = plane.must("api-resources", "--namespaced", "--verbs=list", "-o", "name").split()
    return {
        kind: json.dumps(plane.get("-n", namespace, kind)["items"])
        for kind in kinds
        if kind not in ("secrets",)
    }


def test_secrets_stay_where_they_are(bench: Bench, plane: Plane) -> None:
    tiny = {"untuned": False, "full_pool": False, "random_subset": False}
    with bench.kubelet(hold=lambda job: "train" in job) as kubelet, bench.operator() as operator:
        bench.create(**REFERENCES, budget={"evaluations": 1}, parallelism=1, baselines=tiny)
        until(lambda: any("train" in job for job in bench.jobs()), what="training begins")
        # Half-way, while documents of steps are there, and at the end.
        middle = everything(plane, "secrets")
        kubelet.hold = lambda job: False
        bench.wait_for_end()
        end = everything(plane, "secrets")
        told = {"log": operator.log(), "metrics": operator.probe("/metrics")[1]}
    assert any("step.json" in text for text in middle.values()), "a document was there to be searched"
    assert "jobs.batch" in end
    assert '"secretKeyRef"' in end["jobs.batch"], "pods get references"
    for place, text in (*middle.items(), *end.items(), *told.items()):
        for name, value in VALUES.items():
            assert value not in text, f"{name} is in {place}"
