"""Candidates from an LLM that sees what the optimiser sees; every answer is checked, none is repaired silently.

An LLM adds little over a classical search unless it is shown the optimiser's state, so the prompt holds the
posterior of the candidates tried so far and the credit of every operator. Whatever it answers, the search goes on:
recipes that break a rule are dropped with a reason, and an endpoint that fails leaves its work to the local edits.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from autosel_runtime.api.search import Recipe
from autosel_runtime.errors import AutoselError
from autosel_runtime.search.candidates import Candidate, Intake
from autosel_runtime.search.difference import difference
from autosel_runtime.search.edits import MOST_EDITS
from autosel_runtime.search.history import TrialRecord
from autosel_runtime.search.phases import Phase
from autosel_runtime.search.prompts import proposal_prompt
from autosel_runtime.search.space import Space

# Asks an LLM: (prompt, JSON schema of the answer) -> the parsed answer. Raises AutoselError when there is none.
Completion = Callable[[str, dict[str, Any]], object]


@dataclass(frozen=True, kw_only=True)
class LlmContext:
    """What the LLM is told. ``posterior`` is (mean, deviation) by ordinal, empty while nothing is known."""

    space: Space
    phase: Phase
    history: Sequence[TrialRecord]
    posterior: Mapping[int, tuple[float, float]]
    informative: bool
    credit: Mapping[str, float]
    rows: int
    wanted: int


def llm_candidates(complete: Completion, context: LlmContext, intake: Intake) -> list[str]:
    """Ask once and offer every recipe of the answer to ``intake``; return warnings, empty when all was well."""
    prompt = proposal_prompt(
        space=context.space,
        phase=context.phase,
        history=context.history,
        posterior=context.posterior,
        informative=context.informative,
        credit=context.credit,
        rows=context.rows,
        wanted=context.wanted,
    )
    try:
        answer = complete(prompt, answer_schema(context.space, context.wanted))
    except AutoselError as error:
        return [f"the LLM gave no proposals, local edits fill in: {error}"]
    recipes = answer.get("recipes") if isinstance(answer, dict) else answer
    if not isinstance(recipes, list):
        return [f"the LLM's answer has no list of recipes but {type(answer).__name__}; local edits fill in"]
    warnings: list[str] = []
    for place, item in enumerate(recipes[: 2 * context.wanted], start=1):
        taken = _offer(item, context, intake)
        if isinstance(taken, str):
            warnings.append(f"recipe {place} of the LLM was dropped: {taken}")
    return warnings


def _offer(item: object, context: LlmContext, intake: Intake) -> Candidate | str:
    if not isinstance(item, dict):
        return f"it is no object but {type(item).__name__}"
    try:
        recipe = Recipe.model_validate({"steps": item.get("steps")})
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        return f"{where}: {first['msg']}"
    why = item.get("rationale")
    note = why[:300] if isinstance(why, str) else "proposed by the LLM"
    return intake.offer(recipe, origin="llm", parent=_parent(recipe, context.phase.anchor), note=note)


def _parent(recipe: Recipe, anchor: TrialRecord | None) -> int | None:
    """Return the anchor's ordinal if the recipe could be an edit of it, else None.

    Credit and the tree of recipes read a child as few edits of its parent; a recipe that shares nothing with the
    anchor, or differs in more than local edits ever change, was not made from it, whatever the LLM was asked for.
    """
    if anchor is None:
        return None
    shared = {s.operator for s in recipe.steps} & {s.operator for s in anchor.recipe.steps}
    near = shared and len(difference(anchor.recipe, recipe)) <= MOST_EDITS
    return anchor.ordinal if near else None


def answer_schema(space: Space, wanted: int) -> dict[str, Any]:
    """Return the JSON schema of an answer: ``wanted`` recipes of known operators, each with its reason."""
    step = {
        "type": "object",
        "properties": {
            "operator": {"type": "string", "enum": sorted(space.operators)},
            "params": {"type": "object"},
        },
        "required": ["operator", "params"],
        "additionalProperties": False,
    }
    recipe = {
        "type": "object",
        "properties": {
            "rationale": {"type": "string"},
            "steps": {"type": "array", "items": step, "minItems": 1, "maxItems": space.max_steps},
        },
        "required": ["rationale", "steps"],
        "additionalProperties": False,
    }
    return {
        "type": "object",
        "properties": {"recipes": {"type": "array", "items": recipe, "minItems": 1, "maxItems": 2 * wanted}},
        "required": ["recipes"],
        "additionalProperties": False,
    }
