"""Samples as token segments: the whole chat, and the answer alone.

Notation
    p   tokens of the prompt: the turns before the answer, rendered with the generation prompt
    a   tokens of the answer: the last assistant turn's text, stripped, no end-of-turn mark
    c   prefix: the tokenizer's BOS token, else its EOS token, else nothing
    M   max_tokens

    full    p a      (c a when the prompt is empty; c p a without a chat template)
    answer  c a

p and a are tokenised one by one and joined as ids, so that the boundary lies between tokens and both segments
score the same answer tokens. With a prefix all tokens of a are scored in both; without one, the first token of
a has no context in the second segment and is left out in both.

Truncation keeps the answer: a is cut on the right to M - 1 tokens, alike in both segments; then p is cut on the
left to M - |a| tokens, a BOS at its start kept, since models attend to it whatever follows.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from autosel_runtime.errors import ConfigError
from autosel_runtime.pool.sample import Sample
from autosel_runtime.signals.text import answer_text

Ids = NDArray[np.int32]


@dataclass(frozen=True, kw_only=True)
class Segment:
    """Token ids of one forward pass; token t >= 1 is scored given those before it, ``answer_from`` is the first
    answer token that counts."""

    ids: Ids
    answer_from: int


@dataclass(frozen=True, kw_only=True)
class TokenisedChat:
    """The two segments of a sample; ``tokens`` and ``answer_tokens`` count before truncation."""

    full: Segment
    answer: Segment
    tokens: int
    answer_tokens: int
    truncated: bool


@dataclass(frozen=True, kw_only=True)
class Tokenised:
    """Chats of some samples, None for one without an answer or whose chat the template refuses.

    ``refused`` counts the latter, ``refusal`` tells of the first.
    """

    chats: list[TokenisedChat | None]
    refused: int
    refusal: str


def check_template(tokenizer: Any, template: str | None, wanted: bool, section: str) -> None:
    """Raise ConfigError when ``section`` wants chats rendered and there is no template to render them with."""
    if wanted and template is None and not getattr(tokenizer, "chat_template", None):
        raise ConfigError(
            f"{section}: the model's tokenizer has no chat template; set model.chatTemplate, "
            "or chatTemplate: false to join the texts with newlines"
        )


def tokenise(
    samples: Sequence[Sample], tokenizer: Any, *, template: str | None, use_template: bool, max_tokens: int
) -> Tokenised:
    """Return the segments of ``samples``. ``tokenizer`` is of transformers; ``template`` replaces its own."""
    from jinja2 import TemplateError  # comes with transformers, which only these signals need

    prompts: list[str | None] = []
    answers: list[str] = []
    refused, refusal = 0, ""
    for sample in samples:
        answer = answer_text(sample)
        prompt = None
        if answer is not None and tokenizable(answer):
            try:
                prompt = _prompt(sample, tokenizer, template) if use_template else _joined(sample)
            except (TemplateError, ValueError) as error:
                refused += 1
                refusal = refusal or f"sample {sample.id}: {error}"
        prompts.append(prompt)
        answers.append(answer.strip() if answer else "")
    present = [index for index, prompt in enumerate(prompts) if prompt is not None]
    prompt_ids = _encode(tokenizer, [prompts[index] or "" for index in present])
    answer_ids = _encode(tokenizer, [answers[index] for index in present])
    bos = tokenizer.bos_token_id
    prefix = (
        [bos] if bos is not None else [tokenizer.eos_token_id] if tokenizer.eos_token_id is not None else []
    )
    chats: list[TokenisedChat | None] = [None] * len(samples)
    for index, p, a in zip(present, prompt_ids, answer_ids, strict=True):
        if a:
            chats[index] = make_chat(
                p, a, prefix=prefix, prefixed=not use_template, bos=bos, max_tokens=max_tokens
            )
    return Tokenised(chats=chats, refused=refused, refusal=refusal)


def make_chat(
    prompt: Sequence[int],
    answer: Sequence[int],
    *,
    prefix: Sequence[int],
    prefixed: bool,
    bos: int | None,
    max_tokens: int,
) -> TokenisedChat:
    """Return the segments of one chat from its token ids; see the notation above.

    ``prefixed`` tells whether a prompt that is not empty also gets the prefix.
    """
    kept_answer = list(answer[: max_tokens - 1])
    room = max_tokens - len(kept_answer)
    kept_prompt = [*prefix, *prompt] if prefixed or not prompt else list(prompt)
    truncated = len(kept_prompt) > room or len(kept_answer) < len(answer)
    if len(kept_prompt) > room:
        starts_with_bos = bos is not None and kept_prompt[0] == bos and room > 1
        kept_prompt = [kept_prompt[0], *kept_prompt[1 - room :]] if starts_with_bos else kept_prompt[-room:]
    unscored = 0 if prefix else 1
    return TokenisedChat(
        full=Segment(
            ids=np.array(kept_prompt + kept_answer, dtype=np.int32), answer_from=len(kept_prompt) + unscored
        ),
        answer=Segment(
            ids=np.array([*prefix, *kept_answer], dtype=np.int32), answer_from=len(prefix) + unscored
        ),
        tokens=len(prompt) + len(answer),
        answer_tokens=len(answer),
        truncated=truncated,
    )


def tokenizable(text: str) -> bool:
    """Tell whether a text can be written as UTF-8, which tokenizers need; lone surrogates cannot."""
    return text.isascii() or not any("\ud800" <= character <= "\udfff" for character in text)


def _prompt(sample: Sample, tokenizer: Any, template: str | None) -> str:
    if not sample.prompt:
        return ""
    return tokenizer.apply_chat_template(
        [message.as_dict() for message in sample.prompt],
        chat_template=template,
        tokenize=False,
        add_generation_prompt=True,
    )


def _joined(sample: Sample) -> str:
    texts = [text for message in sample.prompt if (text := message.content.strip())]
    return "".join(f"{text}\n" for text in texts)


def _encode(tokenizer: Any, texts: list[str]) -> list[list[int]]:
    return (
        tokenizer(texts, add_special_tokens=False, return_attention_mask=False)["input_ids"] if texts else []
    )
