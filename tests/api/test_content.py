"""What decides results, and is digested, apart from what only says where files lie or how the work is cut."""

from typing import Any

import pytest

from autosel_runtime.api.evaluation import EvaluationSpec

TASK: dict[str, Any] = {"name": "t", "definition": "tasks/t.yaml", "uri": "items.jsonl", "limit": 10}


def evaluation(task: dict[str, Any] | None = None, **settings: Any) -> dict[str, Any]:
    return EvaluationSpec(tasks=[{**TASK, **(task or {})}], **settings).content()  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize(
    "other",
    [
        evaluation({"uri": "s3://bucket/items.jsonl"}),
        evaluation({"definition": "s3://bucket/t.yaml"}),
        evaluation(batch_size=7),
        evaluation(confidence=0.9),
    ],
)
def test_places_and_cuts_of_an_evaluation_decide_no_score(other: dict[str, Any]) -> None:
    assert other == evaluation()


@pytest.mark.parametrize(
    "other",
    [
        evaluation({"limit": 11}),
        evaluation({"weight": 2.0}),
        evaluation({"name": "u"}),
        evaluation(search_fraction=0.4),
        evaluation(split_seed=8),
        evaluation(max_new_tokens=5),
        evaluation(out_of_domain=[{**TASK, "name": "o"}]),
    ],
)
def test_settings_of_an_evaluation_decide_scores(other: dict[str, Any]) -> None:
    assert other != evaluation()
