"""What evaluation asks of an engine that runs a model: greedy replies, and log-probabilities of continuations."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol


class OutOfMemoryError(Exception):
    """The batch does not fit the device; a smaller one may."""


@dataclass(frozen=True, kw_only=True)
class Reply:
    """A generated text without its end token, its length in tokens, and whether the limit ended it."""

    text: str
    tokens: int
    truncated: bool


class Backend(Protocol):
    """An engine with one loaded model. A batch either succeeds whole or raises OutOfMemoryError."""

    @property
    def context(self) -> int:
        """Most tokens of prompt and reply together."""
        ...

    @property
    def tokenizer(self) -> object:
        """The model's tokenizer, with the chat template in use."""
        ...

    def generate(
        self, prompts: Sequence[Sequence[int]], *, max_new_tokens: int, stop: Sequence[str]
    ) -> list[Reply]:
        """Return the greedy reply to each prompt (token ids), in their order."""
        ...

    def log_likelihoods(
        self, prompts: Sequence[Sequence[int]], continuations: Sequence[Sequence[Sequence[int]]]
    ) -> list[list[float]]:
        """Return, for each prompt, Σ log p of each of its continuations, in nats."""
        ...
