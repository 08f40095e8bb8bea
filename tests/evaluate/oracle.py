"""An engine that knows every answer: what it scores below 100 % is a fault of the task or of the evaluation.

It finds a gold answer that its own extraction does not accept, an option order that differs between the process
that asks and the one that scores, an item lost by a shard.
"""

from collections.abc import Sequence
from typing import Any

from autosel_runtime.evaluate.answers import LETTERS, extract, score
from autosel_runtime.evaluate.backend import Reply
from autosel_runtime.evaluate.definition import TaskDefinition
from autosel_runtime.evaluate.prompts import prepare_prompts
from autosel_runtime.evaluate.task import Item, LoadedTask

FORMS = ("The facts lead there.\nAnswer: {gold}", "**Answer:** {gold}", "So the answer is {gold}.", "{gold}")


class OracleBackend:
    """Answers each known prompt with its gold answer, in one of FORMS, and prefers the gold option."""

    context = 1 << 20

    def __init__(self, tokenizer: Any, tasks: Sequence[LoadedTask], *, form: str = FORMS[0]) -> None:
        self.tokenizer = tokenizer
        self._form = form
        self._items: dict[tuple[int, ...], Item] = {}
        for task in tasks:
            for prompt in prepare_prompts(tokenizer, task.definition, task.items):
                self._items[prompt.ids] = prompt.item

    def generate(
        self, prompts: Sequence[Sequence[int]], *, max_new_tokens: int, stop: Sequence[str]
    ) -> list[Reply]:
        """Return the gold answers."""
        texts = [self._form.format(gold=self._items[tuple(ids)].gold) for ids in prompts]
        for mark in stop:
            texts = [text.split(mark)[0] for text in texts]
        return [
            Reply(text=text, tokens=min(len(text), max_new_tokens), truncated=len(text) > max_new_tokens)
            for text in texts
        ]

    def log_likelihoods(
        self, prompts: Sequence[Sequence[int]], continuations: Sequence[Sequence[Sequence[int]]]
    ) -> list[list[float]]:
        """Return 0 for the gold option and a large negative number for the others."""
        golds = [LETTERS.index(self._items[tuple(ids)].gold) for ids in prompts]
        return [
            [0.0 if i == gold else -1e6 for i in range(len(options))]
            for gold, options in zip(golds, continuations, strict=True)
        ]


def unreadable_gold(definition: TaskDefinition, items: Sequence[Item]) -> list[tuple[str, str]]:
    """Return (item id, form) of every gold answer that the task's own extraction and metric do not accept."""
    return [
        (item.id, form)
        for item in items
        for form in FORMS
        if score(
            extract(form.format(gold=item.gold), definition.answer_patterns, options=len(item.options)),
            item.gold,
            metric=definition.metric,
            tolerance=definition.tolerance,
        )
        != 1.0
    ]
