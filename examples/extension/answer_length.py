"""An extension: an operator, a signal and a hook in one module.

Operator  answer_length           keeps samples whose answer has a number of words within bounds
Signal    answer_length.lines     lines of the answer
Hook      answer_length.log       writes one JSON line for each step to the file in ANSWER_LENGTH_LOG
"""

import json
import os
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Self

from pydantic import Field, model_validator

from autosel_runtime.pool.sample import Sample
from autosel_runtime.recipe import mask as masks
from autosel_runtime.recipe.hooks import Hook, RecipeEvent, StepEvent
from autosel_runtime.recipe.model import Mask
from autosel_runtime.recipe.operator import Operator, Outcome, Params, Tunable
from autosel_runtime.recipe.prepared import PreparedColumns
from autosel_runtime.recipe.spans import where

LOG_VARIABLE = "ANSWER_LENGTH_LOG"


class AnswerLengthParams(Params):
    """Bounds on the words of the answer."""

    min_words: int = Field(1, ge=0, le=1_000_000, description="Fewest words of an answer.", examples=[5])
    max_words: int = Field(1024, ge=1, le=1_000_000, description="Most words of an answer.", examples=[512])

    @model_validator(mode="after")
    def _bounds_in_order(self) -> Self:
        if self.min_words > self.max_words:
            raise ValueError("min_words must not exceed max_words")
        return self


def _apply(mask: Mask, columns: PreparedColumns, params: AnswerLengthParams, seed: int) -> Outcome:  # noqa: ARG001
    words = columns.scalar("answer_words").values
    short = masks.both(mask, where(columns.rows, lambda low, high: words[low:high] < params.min_words))
    long = masks.both(mask, where(columns.rows, lambda low, high: words[low:high] > params.max_words))
    kept = masks.without(mask, masks.either(short, long))
    return Outcome(mask=kept, reasons={"answer too short": short, "answer too long": long})


def _needs(params: AnswerLengthParams, available: Collection[str]) -> Sequence[str]:  # noqa: ARG001
    return ("answer_words",)


def operators() -> Sequence[Operator]:
    """Return the operators that this extension adds."""
    return (
        Operator(
            name="answer_length",
            family="filter",
            params=AnswerLengthParams,
            apply=_apply,
            needs=_needs,
            summary="Keep the samples whose answer has a number of words within bounds.",
            tunables=(Tunable(name="max_words", scale="log", low=32, high=2048, integer=True),),
        ),
    )


def _lines(sample: Sample) -> float | None:
    answer = sample.answer.content
    return float(answer.count("\n") + 1) if answer else None


def signals() -> Sequence[tuple[str, Callable[[Sample], float | None]]]:
    """Return the per-sample signals that this extension adds; any recipe may filter by them."""
    return (("answer_length.lines", _lines),)


def _write(line: dict[str, object]) -> None:
    path = os.environ.get(LOG_VARIABLE)
    if path:
        with Path(path).open("a", encoding="utf-8") as stream:
            stream.write(json.dumps(line) + "\n")


def _after_step(event: StepEvent) -> None:
    if event.trace is not None:
        _write(
            {
                "step": event.index + 1,
                "operator": event.trace.operator,
                "kept": event.trace.kept,
                "reasons": dict(event.trace.reasons),
            }
        )


def _after_recipe(event: RecipeEvent) -> None:
    if event.execution is not None:
        _write({"size": event.execution.size, "retain_ratio": event.execution.state["retain_ratio"]})


def hooks() -> Sequence[Hook]:
    """Return the hooks that this extension adds."""
    return (Hook(name="answer_length.log", after_step=_after_step, after_recipe=_after_recipe),)
