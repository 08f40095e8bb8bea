"""The definitions on a real API server, which may be somebody's: all is done in the namespace of the kubeconfig."""

import json
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from autosel_runtime.api.crd import crds_yaml
from tests.api.test_load import TRIAL
from tests.control_plane import control_plane, kubectl_program
from tests.kube.plane import until

SEARCH = """\
apiVersion: autosel.dev/v1alpha1
kind: RecipeSearch
metadata: {name: quick}
spec:
  pool: {sources: [{name: alpaca, uri: a.jsonl}]}
  model: {uri: models/m}
  evaluation: {tasks: [{name: gsm8k}]}
  search: {seedRecipes: [{steps: [{operator: ifd_filter, params: {fraction: 0.5}}]}]}
  steps: {train: {podTemplate: {spec: {runtimeClassName: nvidia}}}}
"""
Kubectl = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(scope="module")
def kubectl(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kubectl]:
    program = kubectl_program()
    with control_plane(tmp_path_factory.mktemp("plane"), controllers=False, existing=True) as kubeconfig:

        def run(*arguments: str, text: str | None = None) -> "subprocess.CompletedProcess[str]":
            return subprocess.run(
                [program, f"--kubeconfig={kubeconfig}", *arguments],
                input=text,
                capture_output=True,
                text=True,
                timeout=120,  # the machine may be busy
            )

        applied = run("apply", "--server-side", "-f", "-", text=crds_yaml())
        assert applied.returncode == 0, applied.stderr
        for name in ("recipesearches", "recipetrials"):
            waited = run("wait", "--for=condition=Established", f"crd/{name}.autosel.dev", "--timeout=60s")
            assert waited.returncode == 0, waited.stderr
        until(
            lambda: run("get", "recipesearches,recipetrials").returncode == 0,
            what="the definitions are served, a moment after they are established",
        )
        yield run


@pytest.fixture
def search(kubectl: Kubectl) -> Iterator[None]:
    created = kubectl("apply", "-f", "-", text=SEARCH)
    assert created.returncode == 0, created.stderr
    yield
    kubectl("delete", "recipesearch", "--all")


def test_nothing_of_the_schema_is_pending(kubectl: Kubectl) -> None:
    definition = json.loads(kubectl("get", "crd", "recipesearches.autosel.dev", "-o", "json").stdout)
    conditions = {item["type"]: item["status"] for item in definition["status"]["conditions"]}
    assert conditions == {"NamesAccepted": "True", "Established": "True"}


@pytest.mark.usefixtures("search")
@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("model: ", "budget: {evaluations: 30}\n  parallelism: 8\n  model: "),
        ("model: ", "suspend: true\n  suspendPolicy: Stop\n  model: "),
        ("model: ", "readiness: Finished\n  failurePolicy: {retries: 0}\n  model: "),
        ("runtimeClassName: nvidia", "runtimeClassName: other"),
        ("model: ", "scheduling: {queueName: q}\n  model: "),
        ("steps: {", "steps: {score: {shards: 8}, evaluate: {shards: 2}, "),
    ],
)
def test_changes_that_are_taken(kubectl: Kubectl, old: str, new: str) -> None:
    applied = kubectl("apply", "-f", "-", text=SEARCH.replace(old, new))
    assert applied.returncode == 0, applied.stderr
    assert "configured" in applied.stdout


@pytest.mark.usefixtures("search")
@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("a.jsonl", "b.jsonl", "pool is fixed once the search exists"),
        ("models/m", "models/n", "model is fixed once the search exists"),
        ("name: gsm8k", "name: bbh", "evaluation is fixed once the search exists"),
        ("fraction: 0.5", "fraction: 0.7", "search is fixed once the search exists"),
        ("model: ", "training: {method: full}\n  model: ", "training is fixed once the search exists"),
        ("model: ", "targets: [{name: t, uri: t}]\n  model: ", "targets is fixed once the search exists"),
        ("model: ", "storage: {uri: s3://b}\n  model: ", "storage is fixed once the search exists"),
        ("model: ", "parallelism: 16\n  model: ", "parallelism must not exceed budget.evaluations"),
    ],
)
def test_changes_that_are_refused(kubectl: Kubectl, old: str, new: str, message: str) -> None:
    applied = kubectl("apply", "-f", "-", text=SEARCH.replace(old, new))
    assert applied.returncode != 0
    assert message in applied.stderr


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("name: quick", "name: " + "a" * 41, "metadata.name must not exceed 40 characters"),
        ("name: quick", "name: a.b", "metadata.name must not contain a dot"),
        ("search: {", "search: {proposer: llm, ", "search.proposer llm needs search.llm"),
        ("name: alpaca", "format: mapping, name: alpaca", "mapping and format: mapping go together"),
        (
            "model: ",
            "targets: [{name: t, uri: t.jsonl, mapping: {user: '{q}', assistant: '{a}'}}]\n  model: ",
            "mapping and format: mapping go together",
        ),
        ("name: gsm8k", "name: gsm8k, lmEval: x, uri: items", "lmEval excludes definition and uri"),
        (
            "name: gsm8k",
            "name: gsm8k, limit: 1",
            "limit must be at least 2: the search half and the report half",
        ),
        ("[{name: alpaca, uri: a.jsonl}]", "[{name: a, uri: b}, {name: a, uri: c}]", "Duplicate value"),
        ("steps: {", "steps: {prepare: {shards: 2}, ", "prepare.shards must be 1: only score and evaluate"),
        (
            "steps: {train: {",
            "steps: {train: {shards: 2, ",
            "train.shards must be 1: only score and evaluate",
        ),
        ("steps: {", "steps: {score: {nodes: 2}, ", "score.nodes must be 1: only train"),
        ("sources: [{name: alpaca, uri: a.jsonl}]", "sources: []", "should have at least 1 items"),
        ("name: alpaca", "name: A", "should match"),
        ("model: ", "modle: 1\n  model: ", 'unknown field "spec.modle"'),
    ],
)
def test_searches_that_are_refused(kubectl: Kubectl, old: str, new: str, message: str) -> None:
    applied = kubectl("create", "-f", "-", text=SEARCH.replace(old, new))
    assert applied.returncode != 0
    assert message in applied.stderr


@pytest.mark.usefixtures("search")
def test_defaults_and_free_fields_are_stored(kubectl: Kubectl) -> None:
    before = _get(kubectl)
    spec = before["spec"]
    assert spec["budget"] == {"evaluations": 15}
    assert spec["steps"]["train"]["podTemplate"] == {"spec": {"runtimeClassName": "nvidia"}}
    assert spec["search"]["seedRecipes"][0]["steps"][0]["params"] == {"fraction": 0.5}
    assert kubectl("apply", "-f", "-", text=SEARCH).returncode == 0
    assert _get(kubectl)["metadata"]["resourceVersion"] == before["metadata"]["resourceVersion"]


@pytest.mark.usefixtures("search")
def test_what_the_server_stores_is_what_the_model_says(kubectl: Kubectl, tmp_path: Path) -> None:
    from autosel_runtime.api.load import load_search

    (tmp_path / "mine.yaml").write_text(SEARCH)
    (tmp_path / "stored.yaml").write_text(yaml.safe_dump(_get(kubectl)))
    mine = load_search(tmp_path / "mine.yaml", check_files=False)
    stored = load_search(tmp_path / "stored.yaml", check_files=False)
    assert stored.spec == mine.spec


@pytest.mark.usefixtures("search")
def test_status_and_columns(kubectl: Kubectl) -> None:
    time = "2026-01-01T12:00:00Z"
    conditions = [
        {"type": "Succeeded", "status": "Unknown", "reason": "Other", "lastTransitionTime": time},
        {"type": "Ready", "status": "True", "reason": "Searching", "lastTransitionTime": time},
    ]
    status = {
        "observedGeneration": 1,
        "conditions": conditions,
        "progress": {"running": 3, "failed": 1},
        "summary": {"evaluations": "12/40", "best": "59.14", "gain": "+2.1"},
        "startTime": time,
    }
    patched = kubectl(
        "patch",
        "rsearch",
        "quick",
        "--subresource=status",
        "--type=merge",
        "-p",
        json.dumps({"status": status}),
    )
    assert patched.returncode == 0, patched.stderr
    header, row = kubectl("get", "autosel").stdout.splitlines()[:2]
    assert header.split() == ["NAME", "STATE", "BEST", "GAIN", "EVALUATIONS", "RUNNING", "FAILED", "AGE"]
    assert row.split()[1:7] == ["Searching", "59.14", "+2.1", "12/40", "3", "1"]
    waited = kubectl("wait", "--for=condition=Ready", "rsearch/quick", "--timeout=5s")
    assert waited.returncode == 0, waited.stderr


def test_null_is_the_same_as_nothing(kubectl: Kubectl) -> None:
    text = SEARCH.replace("model: ", "signals: {sae: null}\n  training: {maxSteps: null}\n  model: ")
    text = text.replace("name: gsm8k", "name: gsm8k, limit: null")
    created = kubectl("create", "--dry-run=server", "-f", "-", text=text)
    assert created.returncode == 0, created.stderr


def test_a_trial_is_fixed(kubectl: Kubectl) -> None:
    assert kubectl("apply", "-f", "-", text=TRIAL).returncode == 0
    changed = kubectl("apply", "-f", "-", text=TRIAL.replace("ordinal: 1", "ordinal: 2"))
    assert changed.returncode != 0
    assert "the spec of a RecipeTrial is fixed" in changed.stderr
    status = {
        "state": "Running",
        "score": 0.5,
        "steps": [{"name": "train", "attempt": 1, "state": "Running"}],
    }
    patched = kubectl(
        "patch",
        "rtrial",
        "quick-t00001",
        "--subresource=status",
        "--type=merge",
        "-p",
        json.dumps({"status": status}),
    )
    assert patched.returncode == 0, patched.stderr
    bad = kubectl(
        "patch",
        "rtrial",
        "quick-t00001",
        "--subresource=status",
        "--type=merge",
        "-p",
        json.dumps({"status": {"score": 1.5}}),
    )
    assert "less than or equal to 1" in bad.stderr
    assert kubectl("get", "rtrial", "quick-t00001").stdout.splitlines()[1].split()[3:5] == ["Running", "0.5"]


def _get(kubectl: Kubectl) -> dict[str, Any]:
    return json.loads(kubectl("get", "recipesearch", "quick", "-o", "json").stdout)
