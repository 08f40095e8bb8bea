"""Trials to objects and back; the status of a trial."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autosel_runtime.api.recipe_trial import RecipeTrial
from autosel_runtime.api.search import Recipe, RecipeStep
from autosel_runtime.digest import canonical_json, digest
from autosel_runtime.errors import DataError
from controller.kube.events import trial_events
from controller.kube.trials import search_of, trial_manifest, trial_of, trial_status
from controller.reconcile.model import Trial
from controller.reconcile.trials import TrialView
from tests.kube.kstatus import kstatus
from tests.kube.samples import DIGEST, UID, search, search_manifest

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
# The server reads -0.0 as 0; neither recipes nor state vectors hold one.
FLOATS = st.floats(-1e6, 1e6).map(lambda number: number + 0.0)
NUMBERS = st.one_of(st.integers(-100, 100), FLOATS, st.sampled_from([0.0, 1.0, 2.0]))
RECIPES = st.lists(
    st.builds(
        RecipeStep,
        operator=st.sampled_from(["ifd_filter", "random_subset"]),
        params=st.dictionaries(
            st.sampled_from(["fraction", "size", "strategy"]), NUMBERS | st.text(max_size=3)
        ),
    ),
    max_size=3,
).map(lambda steps: Recipe(steps=steps))
TRIALS = st.builds(
    Trial,
    name=st.just("t00001"),
    role=st.sampled_from(["search", "untuned", "full_pool", "random_subset"]),
    recipe=RECIPES,
    recipe_digest=st.just(DIGEST),
    ordinal=st.none() | st.integers(1, 99_999),
    subset_digest=st.none() | st.just(DIGEST),
    size=st.none() | st.integers(0, 10**9),
    state_vector=st.dictionaries(st.sampled_from(["retain", "mean.ifd"]), FLOATS),
    origin=st.sampled_from(["seed", "warmup", "edit", "random", "llm", "reseed", "baseline"]),
    phase=st.integers(0, 9),
    parent=st.none() | st.integers(1, 9),
    rationale=st.text(max_size=20),
)


def stored(value: Any) -> Any:
    """Return what the API server gives back: it reads every number as an integer when it can."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, dict):
        return {key: stored(item) for key, item in value.items()}
    return [stored(item) for item in value] if isinstance(value, list) else value


@given(TRIALS)
def test_a_trial_survives_the_api_server_to_the_letter(trial: Trial) -> None:
    manifest = stored(json.loads(json.dumps(trial_manifest(trial, search()))))
    RecipeTrial.model_validate(manifest)
    back = trial_of(manifest)
    assert back == trial
    assert digest(back.recipe.model_dump(mode="json")) == digest(trial.recipe.model_dump(mode="json"))
    assert canonical_json(dict(back.state_vector)) == canonical_json(dict(trial.state_vector))


def test_a_trial_belongs_to_its_search() -> None:
    trial = Trial(name="full-pool", role="full_pool", recipe=Recipe(steps=[]), recipe_digest=DIGEST)
    metadata = trial_manifest(trial, search())["metadata"]
    assert metadata["name"] == "quick-full-pool"
    assert metadata["ownerReferences"] == [
        {
            "apiVersion": "autosel.dev/v1alpha1",
            "kind": "RecipeSearch",
            "name": "quick",
            "uid": UID,
            "controller": True,
            "blockOwnerDeletion": False,
        }
    ]


def test_trials_that_are_not_ours_are_named() -> None:
    with pytest.raises(DataError, match="RecipeTrial x has no label"):
        trial_of({"metadata": {"name": "x"}, "spec": {}})
    with pytest.raises(DataError, match="RecipeTrial x is damaged"):
        trial_of({"metadata": {"name": "x", "labels": {"autosel.dev/trial": "t"}}, "spec": {}})


def test_a_search_is_read_from_its_object() -> None:
    found = search_of({**search_manifest(), "status": {"of": "another version"}})
    assert (found.metadata.uid, found.metadata.namespace) == (UID, "ml")
    with pytest.raises(DataError, match=r"spec\.parallelism"):
        search_of(search_manifest(parallelism=0))


def view(phase: Any, **fields: Any) -> TrialView:
    trial = Trial(name="t00001", role="search", recipe=Recipe(steps=[]), recipe_digest=DIGEST, ordinal=1)
    return TrialView(trial=trial, phase=phase, started=phase != "pending", **fields)


RECORDS = [
    {"name": "train", "attempt": 1, "state": "Waiting", "reason": "Unschedulable", "message": "0/4 nodes"},
]
FINAL = [
    {
        "name": "evaluate-report",
        "attempt": 1,
        "state": "Succeeded",
        "summary": json.dumps({"objective": {"mean": 0.58, "stderr": 0.011}}),
    }
]


@pytest.mark.parametrize(
    ("phase", "state", "wanted"),
    [
        ("pending", "Pending", "InProgress"),
        ("running", "Running", "InProgress"),
        ("succeeded", "Succeeded", "Current"),
        ("reused", "Reused", "Current"),
        ("failed", "Failed", "Failed"),
        ("invalid", "Invalid", "Failed"),
    ],
)
def test_states_and_what_kstatus_makes_of_them(phase: Any, state: str, wanted: str) -> None:
    status = trial_status(view(phase, message="so it is"), [], previous=None, generation=3, now=NOW)
    assert status["state"] == state
    assert kstatus({"metadata": {"generation": 3}, "status": status}) == wanted
    RecipeTrial.model_validate(trial_manifest(view(phase).trial, search()) | {"status": status})


def test_scores_and_waits_are_shown() -> None:
    tasks = {"gsm8k": {"n": 660, "mean": 0.61, "stderr": 0.013}}
    scored = view("succeeded", score=0.59, stderr=0.01, tasks=tasks)
    status = trial_status(scored, FINAL, previous=None, generation=1, now=NOW)
    assert (status["score"], status["stderr"], status["message"]) == (0.59, 0.01, "scored 0.5900")
    assert (status["reportScore"], status["reportStderr"]) == (0.58, 0.011)
    assert status["taskScores"] == [{"name": "gsm8k", "score": 0.61, "stderr": 0.013, "items": 660}]
    waiting = trial_status(view("running"), RECORDS, previous=None, generation=1, now=NOW)
    assert waiting["message"] == "train waits: 0/4 nodes"
    assert next(c for c in waiting["conditions"] if c["type"] == "Reconciling")["reason"] == "Unschedulable"


def test_events_are_transitions() -> None:
    def status(phase: Any, records: Any = (), previous: Any = None, **fields: Any) -> dict[str, Any]:
        return trial_status(view(phase, **fields), records, previous=previous, generation=1, now=NOW)

    first = status("pending")
    assert trial_events(None, first) == []
    running = status("running", RECORDS)
    assert [event.reason for event in trial_events(first, running)] == ["TrialStarted", "StepWaiting"]
    assert trial_events(running, running) == []
    assert [e.reason for e in trial_events(running, status("succeeded", score=0.5))] == ["TrialSucceeded"]
    broken = trial_events(running, status("invalid", message="loss became NaN"))
    assert [(e.type, e.reason, e.message) for e in broken] == [("Warning", "TrialInvalid", "loss became NaN")]
    assert [e.reason for e in trial_events(first, status("reused"))] == ["TrialReused"]
