"""Items as token ids, the form an engine takes, and replies as scored items."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from autosel_runtime.chat import render_prompt
from autosel_runtime.evaluate.answers import LETTERS, extract, score
from autosel_runtime.evaluate.backend import Reply
from autosel_runtime.evaluate.definition import TaskDefinition
from autosel_runtime.evaluate.results import ItemResult
from autosel_runtime.evaluate.task import Item


@dataclass(frozen=True, kw_only=True)
class Prompt:
    """An item ready for the engine: its token ids, the digest of its text, and, for scoring by
    log-likelihood, the tokens of its options with their lengths in characters."""

    item: Item
    ids: tuple[int, ...]
    digest: str
    options: tuple[tuple[int, ...], ...] = ()
    widths: tuple[int, ...] = ()


def prepare_prompts(tokenizer: Any, definition: TaskDefinition, items: Sequence[Item]) -> list[Prompt]:
    """Render and tokenise the prompts of ``items``, in their order."""
    texts = [render_prompt(tokenizer, item.messages) + definition.lead for item in items]
    prompts: list[Prompt] = []
    for item, text, ids in zip(items, texts, _encode(tokenizer, texts), strict=True):
        digest = text_digest(text)
        if definition.scoring == "generate":
            prompts.append(Prompt(item=item, ids=tuple(ids), digest=digest))
        else:
            prompts.append(_with_options(tokenizer, definition, item, text, ids, digest))
    return prompts


def score_reply(definition: TaskDefinition, prompt: Prompt, reply: Reply) -> ItemResult:
    """Find the answer in a reply and compare it with the item's gold answer."""
    item = prompt.item
    found = extract(reply.text, definition.answer_patterns, options=len(item.options))
    return ItemResult(
        task=item.task,
        item=item.id,
        prompt=prompt.digest,
        gold=item.gold,
        prediction=found,
        text=reply.text,
        score=score(found, item.gold, metric=definition.metric, tolerance=definition.tolerance),
        parsed=found is not None,
        truncated=reply.truncated,
        tokens=reply.tokens,
    )


def score_options(prompt: Prompt, log_likelihoods: Sequence[float]) -> ItemResult:
    """Score the option of the highest log-likelihood, by character when texts are compared; ties go to the first."""
    per_width = [value / width for value, width in zip(log_likelihoods, prompt.widths, strict=True)]
    best = LETTERS[max(range(len(per_width)), key=lambda i: (per_width[i], -i))]
    return ItemResult(
        task=prompt.item.task,
        item=prompt.item.id,
        prompt=prompt.digest,
        gold=prompt.item.gold,
        prediction=best,
        text="",
        score=float(best == prompt.item.gold),
        parsed=True,
        truncated=False,
        tokens=0,
    )


def text_digest(text: str) -> str:
    """Return 24 hex digits of the SHA-256 of a prompt's text."""
    return hashlib.sha256(text.encode()).hexdigest()[:24]


def _with_options(
    tokenizer: Any, definition: TaskDefinition, item: Item, text: str, ids: list[int], digest: str
) -> Prompt:
    """Cut prompt and options apart where the options' tokens begin to differ from the prompt's.

    A token that reaches over the border belongs to the options. Letters share what stands before them too (a
    token of white space), which is then part of the prompt; usually one token a letter is left.
    """
    by_letter = definition.continuation == "letter"
    words = [LETTERS[i] if by_letter else option for i, option in enumerate(item.options)]
    gap = " " if definition.lead and not definition.lead[-1].isspace() else ""
    whole = _encode(tokenizer, [text + gap + word for word in words])
    shared = min(len(full) - 1 for full in whole)
    for full in whole:
        shared = min(shared, _common(full, whole[0] if by_letter and len(whole) > 1 else ids))
    if by_letter and len(whole) > 1:
        shared = min(shared, _common(whole[0], whole[1]))
    return Prompt(
        item=item,
        ids=tuple(whole[0][:shared]),
        digest=digest,
        options=tuple(tuple(full[shared:]) for full in whole),
        widths=tuple(1 if by_letter else len(word) for word in words),
    )


def _encode(tokenizer: Any, texts: list[str]) -> list[list[int]]:
    return [list(ids) for ids in tokenizer(texts, add_special_tokens=False)["input_ids"]]


def _common(first: Sequence[int], second: Sequence[int]) -> int:
    count = 0
    for a, b in zip(first, second, strict=False):
        if a != b:
            break
        count += 1
    return count
