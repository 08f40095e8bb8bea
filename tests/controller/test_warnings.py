"""What suggestions warn of reaches the person who runs the search, once, in every place where one looks."""

import subprocess
import sys
from pathlib import Path
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from controller.reconcile import StepRequest
from controller.reconcile.warnings import MORE, MOST, merged
from tests.controller.local_search import LocalSearch, specification
from tests.controller.world import Outcome, World, search, succeed

TEXTS = st.lists(st.text("abc", min_size=1, max_size=3), max_size=30)


def warning(request: StepRequest) -> Outcome:
    """Answer a suggestion with warnings: one that all give, one of its own."""
    code, result = succeed(request)
    if request.step == "suggest" and request.inputs["ordinal"] and isinstance(result, dict):
        result = {**result, "warnings": ["no LLM", f"recipe {request.inputs['ordinal']} was dropped"]}
    return code, result


EXPECTED = ["no LLM", *(f"recipe {ordinal} was dropped" for ordinal in range(1, 6))]


def test_warnings_of_all_suggestions_are_in_the_state_and_in_the_reports_inputs() -> None:
    world = World(document=search(), answer=warning)
    state = world.run().state
    assert state.finished
    assert list(state.warnings) == EXPECTED
    report = next(request for request in world.requests.values() if request.step == "report")
    assert report.inputs["warnings"] == EXPECTED


def test_a_report_without_warnings_keeps_its_name() -> None:
    world = World(document=search())
    assert world.run().state.warnings == ()
    report = next(request for request in world.requests.values() if request.step == "report")
    assert "warnings" not in report.inputs


@given(first=TEXTS, second=TEXTS, third=TEXTS)
def test_warnings_are_bounded_and_the_same_whether_kept_or_gathered_anew(
    first: list[str], second: list[str], third: list[str]
) -> None:
    at_once = merged((), [*first, *second, *third])
    assert merged(merged(merged((), first), second), third) == at_once
    assert merged(at_once, [*second, *first]) == at_once
    assert len(at_once) <= MOST + 1
    distinct = list(dict.fromkeys([*first, *second, *third]))
    assert list(at_once[:MOST]) == distinct[:MOST]
    assert (MORE in at_once) == (len(distinct) > MOST)


def test_a_dead_endpoint_and_a_seed_recipe_that_cannot_be_are_told_everywhere(
    inputs: Path, tmp_path: Path
) -> None:
    settings: dict[str, Any] = {
        "minSamples": 20,
        "warmup": 1,
        "proposer": "llm",
        "llm": {"baseUrl": "http://127.0.0.1:1/v1", "model": "m", "timeoutSeconds": 2},
        "seedRecipes": [{"steps": [{"operator": "random_subset", "params": {"size": 5}}]}],
    }
    local = LocalSearch(folder=tmp_path, spec=specification(inputs, search=settings))
    ended = local.run()
    assert ended.code == 0, ended.err
    told = local.json("report.json")["warnings"]
    seed, llm = "seedRecipes[0] is not tried: ", "the LLM gave no proposals, local edits fill in: "
    report = subprocess.run(
        [sys.executable, "-m", "autosel_runtime.cli", "report", str(local.out)],
        capture_output=True,
        text=True,
        check=True,
    )
    logs = "".join(path.read_text() for path in local.out.glob("steps/suggest-*/1/log.txt"))
    for start in (seed, llm):
        assert len([text for text in told if text.startswith(start)]) == 1
        assert ended.err.count(f"warning: {start}") == 1
        assert f"! {start}" in report.stdout
        assert f"warning: {start}" in logs
