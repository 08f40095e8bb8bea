"""The LLM proposer: its good recipes are used, its bad ones dropped with a reason, and it can never stop a search."""

import json
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from autosel_runtime.api.search import LlmEndpoint, Recipe, SearchSettings
from autosel_runtime.errors import TransientError
from autosel_runtime.search.llm_proposer import answer_schema
from tests.search.worlds import World

SETTINGS = SearchSettings(
    min_samples=8, proposer="llm", llm=LlmEndpoint(base_url="http://localhost:1/v1", model="m")
)


def recipe(fraction: float, operator: str = "ngram_entropy_filter") -> dict[str, Any]:
    return {"rationale": "because", "steps": [{"operator": operator, "params": {"fraction": fraction}}]}


def answer_with(*recipes: object) -> Any:
    return lambda prompt, schema: {"recipes": list(recipes)}


def test_valid_recipes_are_candidates_and_local_edits_fill_in() -> None:
    world = World()
    history = world.run(SearchSettings(min_samples=8), 4)
    settings = SETTINGS.model_copy(update={"candidates": 5})
    _, diagnostics = world.ask(settings, history, complete=answer_with(recipe(0.43), recipe(0.77)))
    rows = diagnostics.proposals[0].candidates
    assert sorted(row.origin for row in rows) == ["edit", "edit", "edit", "llm", "llm"]
    assert diagnostics.warnings == ()
    assert {row.note for row in rows if row.origin == "llm"} == {"because"}


@pytest.mark.parametrize(
    ("item", "words"),
    [
        (recipe(1.7), "fraction"),
        (recipe(0.5, "no_such_operator"), "cannot be used"),
        ("text", "no object"),
        ({"steps": None}, "steps"),
        ({"steps": [{"operator": "ifd_filter", "params": {"x": 1}}]}, "no such parameter"),
        ({"steps": []}, "no steps"),
        ({"steps": [{"operator": "union", "params": {"trial": 77}}]}, "no finished trial"),
    ],
)
def test_bad_recipes_are_dropped_with_a_reason(item: object, words: str) -> None:
    world = World()
    history = world.run(SearchSettings(min_samples=8), 4)
    proposals, diagnostics = world.ask(SETTINGS, history, complete=answer_with(item, recipe(0.43)))
    assert len(proposals) == 1
    (warning,) = diagnostics.warnings
    assert warning.startswith("recipe 1 of the LLM was dropped")
    assert words in warning


def test_a_repeated_trial_is_dropped() -> None:
    world = World()
    history = world.run(SearchSettings(min_samples=8), 4)
    again = {"steps": [s.model_dump() for s in history[3].recipe.steps]}
    _, diagnostics = world.ask(SETTINGS, history, complete=answer_with(again))
    assert "proposed before" in diagnostics.warnings[0]


def steps_of(*names: str, fraction: float = 0.63) -> list[dict[str, Any]]:
    return [{"operator": name, "params": {"fraction": fraction}} for name in names]


@pytest.mark.parametrize(
    ("steps", "child"),
    [
        (steps_of("ifd_filter", "quality_filter", "varentropy_filter"), True),  # three retunes
        (steps_of("ifd_filter", "quality_filter"), True),
        (steps_of("ifd_filter", "random_subset", "ngram_entropy_filter"), True),
        (steps_of("ifd_filter", "random_subset", "ngram_entropy_filter", "varentropy_mix"), False),
        (steps_of("random_subset", "ngram_entropy_filter"), False),  # few edits, but nothing in common
    ],
)
def test_the_anchor_is_the_parent_only_of_what_could_be_an_edit_of_it(
    steps: list[dict[str, Any]], child: bool
) -> None:
    world = World()
    anchor = Recipe.model_validate(
        {"steps": steps_of("ifd_filter", "quality_filter", "varentropy_filter", fraction=0.8)}
    )
    settings = SearchSettings(min_samples=8, warmup=1, seed_recipes=[anchor])
    history = world.run(settings, 1)
    only = settings.model_copy(update={"proposer": "llm", "llm": SETTINGS.llm, "candidates": 1})
    (proposal,), diagnostics = world.ask(only, history, complete=answer_with({"steps": steps}))
    assert diagnostics.warnings == ()
    assert (proposal.origin, proposal.parent) == ("llm", history[0].ordinal if child else None)


@pytest.mark.parametrize("answer", [None, 3, "prose", [], {}, {"recipes": "x"}, {"recipes": {}}, [[1], None]])
def test_garbage_degrades_to_the_rules(answer: object) -> None:
    world = World()
    history = world.run(SearchSettings(min_samples=8), 4)
    with_rules, _ = World(masks=dict(world.masks)).ask(SearchSettings(min_samples=8), history)
    proposals, diagnostics = world.ask(SETTINGS, history, complete=lambda prompt, schema: answer)
    assert proposals == with_rules
    assert bool(diagnostics.warnings) == (answer != [])


def test_a_dead_endpoint_degrades_to_the_rules_with_a_warning() -> None:
    def dead(prompt: str, schema: dict[str, Any]) -> object:
        raise TransientError("nobody answers")

    world, rules = World(), World()
    history = world.run(SETTINGS, 6, complete=dead)
    assert [r.recipe for r in history] == [r.recipe for r in rules.run(SearchSettings(min_samples=8), 6)]
    _, diagnostics = world.ask(SETTINGS, history, complete=dead)
    assert "nobody answers" in diagnostics.warnings[0]
    _, diagnostics = world.ask(SETTINGS, history, complete=None)
    assert "no endpoint" in diagnostics.warnings[0]


def test_the_prompt_shows_what_the_optimiser_knows() -> None:
    seen: list[str] = []

    def listen(prompt: str, schema: dict[str, Any]) -> object:
        seen.append(prompt)
        Draft202012Validator.check_schema(schema)
        Draft202012Validator(schema).validate({"recipes": [recipe(0.4)]})
        return {"recipes": [recipe(0.43)]}

    world = World()
    history = world.run(SearchSettings(min_samples=8), 6)
    world.ask(SETTINGS, history, complete=listen)
    world.ask(SETTINGS, history, complete=listen)
    assert seen[0] == seen[1], "equal inputs give an equal prompt"
    for record in history:
        assert f"score {100 * (record.score or 0):.2f} +- 1.00" in seen[0]
    for words in ("Anchor: trial", "retain_ratio", "model ", "ngram_entropy_filter (filter): fraction"):
        assert words in seen[0]
    json.dumps(answer_schema(world.space(), 5))
