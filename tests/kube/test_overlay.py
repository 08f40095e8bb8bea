"""The search's pod template: what it adds, and what it can never take away."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autosel_runtime.errors import ConfigError
from controller.kube.overlay import merge_template

BASE: dict[str, Any] = {
    "metadata": {"labels": {"autosel.dev/step": "train"}},
    "spec": {
        "restartPolicy": "Never",
        "automountServiceAccountToken": False,
        "securityContext": {"runAsNonRoot": True, "runAsUser": 65532},
        "tolerations": [{"key": "gpu"}],
        "containers": [
            {
                "name": "step",
                "command": ["python"],
                "env": [{"name": "A", "value": "1"}, {"name": "B", "value": "2"}],
                "securityContext": {
                    "allowPrivilegeEscalation": False,
                    "readOnlyRootFilesystem": True,
                    "capabilities": {"drop": ["ALL"]},
                },
            }
        ],
        "volumes": [{"name": "work", "emptyDir": {}}],
    },
}


def merge(overlay: dict[str, Any]) -> dict[str, Any]:
    return merge_template(BASE, overlay, field="spec.steps.train.podTemplate")


def test_nothing_over_it_is_itself() -> None:
    assert merge({}) == BASE


def test_lists_are_matched_appended_or_replaced() -> None:
    secret = {"secretKeyRef": {"name": "s", "key": "k"}}
    merged = merge(
        {
            "spec": {
                "tolerations": [{"key": "spot"}, {"key": "gpu"}],
                "containers": [
                    {"name": "step", "env": [{"name": "B", "valueFrom": secret}, {"name": "C", "value": "3"}]}
                ],
                "volumes": [{"name": "work", "ephemeral": {}}],
                "dnsConfig": {"nameservers": ["10.0.0.1"]},
                "nodeSelector": None,
            }
        }
    )["spec"]
    assert merged["tolerations"] == [{"key": "gpu"}, {"key": "spot"}]
    assert merged["containers"][0]["env"] == [
        {"name": "A", "value": "1"},
        {"name": "B", "valueFrom": secret},
        {"name": "C", "value": "3"},
    ]
    assert merged["containers"][0]["command"] == ["python"]
    assert merged["volumes"] == [{"name": "work", "ephemeral": {}}]
    assert merged["dnsConfig"] == {"nameservers": ["10.0.0.1"]}
    assert "nodeSelector" not in merged


def test_further_containers_are_secured_too() -> None:
    merged = merge({"spec": {"initContainers": [{"name": "fetch", "image": "i"}]}})
    assert merged["spec"]["initContainers"][0]["securityContext"]["capabilities"] == {"drop": ["ALL"]}


def container(name: str = "step", **fields: Any) -> dict[str, Any]:
    return {"spec": {"containers": [{"name": name, **fields}]}}


@pytest.mark.parametrize(
    ("overlay", "path"),
    [
        ({"kind": "Pod"}, "kind"),
        ({"metadata": {"name": "x"}}, "metadata.name"),
        ({"metadata": {"labels": {"autosel.dev/step": "x"}}}, "metadata.labels.autosel.dev/step"),
        ({"metadata": {"labels": {"batch.kubernetes.io/job-name": "x"}}}, "metadata.labels.batch"),
        ({"spec": {"restartPolicy": "OnFailure"}}, "spec.restartPolicy"),
        ({"spec": {"securityContext": {"sysctls": [{"name": "x"}]}}}, "spec.securityContext.sysctls"),
        (container("other", securityContext="x"), "spec.containers.*securityContext: 'x' is not an object"),
        (container("other", ports=[{"hostPort": 80}]), "spec.containers.*hostPort"),
        ({"spec": {"volumes": [{"name": "x", "nfs": {"server": "a"}}]}}, r"spec.volumes\[0\].nfs"),
        ({"spec": {"hostNetwork": True}}, "spec.hostNetwork"),
        ({"spec": {"automountServiceAccountToken": True}}, "spec.automountServiceAccountToken"),
        ({"spec": {"serviceAccountName": "admin"}}, "spec.serviceAccountName"),
        ({"spec": {"securityContext": {"runAsNonRoot": False}}}, "spec.securityContext.runAsNonRoot"),
        ({"spec": {"securityContext": {"runAsUser": 0}}}, "spec.securityContext.runAsUser"),
        (
            {"spec": {"securityContext": {"seccompProfile": {"type": "Unconfined"}}}},
            "spec.securityContext.seccompProfile.type",
        ),
        ({"spec": {"volumes": [{"name": "x", "hostPath": {"path": "/"}}]}}, r"spec.volumes\[0\].hostPath"),
        ({"spec": {"volumes": [{"name": "document", "emptyDir": {}}]}}, r"spec.volumes\[0\].name"),
        (container(command=["sh"]), r"spec.containers\[0\].command"),
        (container(terminationMessagePath="/x"), r"spec.containers\[0\].terminationMessagePath"),
        (
            container(env=[{"name": "AUTOSEL_RESULT_FILE", "value": "/x"}]),
            r"spec.containers\[0\].env\[0\].name",
        ),
        (container(volumeMounts=[{"name": "x", "mountPath": "/etc/autosel"}]), "spec.containers.*mountPath"),
        (container(securityContext={"privileged": True}), "spec.containers.*privileged"),
        (container("other", securityContext={"capabilities": {"add": ["KILL"]}}), "spec.containers.*.add"),
        (
            container("other", securityContext={"capabilities": {"drop": []}}),
            "spec.containers.*capabilities.drop",
        ),
        (container(securityContext={"readOnlyRootFilesystem": False}), "spec.containers.*readOnly"),
        (
            {"spec": {"initContainers": [{"name": "i", "securityContext": {"runAsUser": 0}}]}},
            "spec.initC.*runAsUser",
        ),
        ({"spec": {"containers": {"name": "step"}}}, "spec.containers: .* is not a list"),
        ({"spec": {"containers": [{"image": "x"}]}}, r"spec.containers\[0\]: name is missing"),
        ({"spec": "x"}, "spec: 'x' is not an object"),
    ],
)
def test_what_is_refused_and_where(overlay: dict[str, Any], path: str) -> None:
    with pytest.raises(ConfigError, match=rf"spec\.steps\.train\.podTemplate\.{path}"):
        merge(overlay)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(0, 3) | st.text(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.dictionaries(
            st.sampled_from(
                [
                    "name",
                    "securityContext",
                    "containers",
                    "restartPolicy",
                    "runAsUser",
                    "capabilities",
                    "drop",
                    "add",
                    "privileged",
                    "env",
                    "volumes",
                    "hostPath",
                    "labels",
                    "runAsNonRoot",
                    "seccompProfile",
                ]
            ),
            inner,
            max_size=3,
        )
    ),
    max_leaves=12,
)


@given(st.dictionaries(st.sampled_from(["metadata", "spec"]), JSON))
def test_whatever_it_holds_it_is_merged_or_refused_with_a_sentence(overlay: dict[str, Any]) -> None:
    try:
        merge(overlay)
    except ConfigError as error:
        refusal = str(error)
    else:
        refusal = ""
    assert not refusal or refusal.startswith("spec.steps.train.podTemplate")
    if refusal:
        return
    spec = merge(overlay)["spec"]
    assert spec["restartPolicy"] == "Never"
    assert spec["automountServiceAccountToken"] is False
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert spec["securityContext"]["runAsUser"] != 0
    for entry in spec["containers"]:
        assert entry["securityContext"]["capabilities"]["drop"] == ["ALL"]
        assert not entry["securityContext"].get("privileged")


def test_null_and_empty_take_nothing_away() -> None:
    for context in ({"capabilities": None}, {"capabilities": {}}, {"allowPrivilegeEscalation": None}):
        for name in ("step", "other"):
            entries = merge(container(name, securityContext=context))["spec"]["containers"]
            assert all(entry["securityContext"]["capabilities"] == {"drop": ["ALL"]} for entry in entries)
            assert all(entry["securityContext"]["allowPrivilegeEscalation"] is False for entry in entries)


def test_a_label_may_be_called_like_a_list() -> None:
    assert merge({"metadata": {"labels": {"env": "prod"}}})["metadata"]["labels"]["env"] == "prod"
