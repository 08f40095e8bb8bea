"""Small pools, models and tokenizers for the tests of signals."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from autosel_runtime.digest import digest
from autosel_runtime.pool.sample import Sample, make_sample

TEMPLATE = (
    "{% for m in messages %}<|{{ m.role }}|>{{ m.content }}\n{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)


@dataclass(frozen=True)
class ListPool:
    """A pool in memory with the attributes of one on disk."""

    held: tuple[Sample, ...]
    opened: list[int]

    @property
    def rows(self) -> int:
        return len(self.held)

    @property
    def digest(self) -> str:
        return digest([sample.id for sample in self.held])

    @property
    def source_names(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(sample.source for sample in self.held))

    def source_codes(self) -> np.ndarray:
        return np.array([self.source_names.index(sample.source) for sample in self.held], dtype=np.uint16)

    def words(self) -> np.ndarray:
        counts = [sum(len(m.content.split()) for m in sample.messages) for sample in self.held]
        return np.array(counts, dtype=np.uint32)

    def samples(self, rows: Any = None) -> Iterator[Sample]:
        for row in range(self.rows) if rows is None else rows:
            self.opened.append(int(row))
            yield self.held[row]


def chat(*texts: str, source: str = "s", system: str | None = None) -> Sample:
    """A chat of alternating user and assistant turns, the last one the answer."""
    turns = [{"role": "system", "content": system}] if system else []
    first = 1 if len(texts) % 2 else 0
    for index, text in enumerate(texts):
        turns.append({"role": "assistant" if (index + first) % 2 else "user", "content": text})
    return make_sample(source, turns)


def pool_of(samples: Sequence[Sample]) -> ListPool:
    return ListPool(held=tuple(samples), opened=[])


def random_pool(rows: int, seed: int = 0) -> ListPool:
    """Chats of random words, one in ten a near copy of the one before, one in twenty an exact copy."""
    rng = np.random.default_rng(seed)
    vocabulary = np.array([f"w{index}" for index in range(400)])
    samples: list[Sample] = []
    for row in range(rows):
        question = " ".join(rng.choice(vocabulary, rng.integers(2, 12)))
        words = list(rng.choice(vocabulary, rng.integers(1, 60)))
        if samples and row % 10 == 3:
            question = samples[-1].messages[0].content
            words = samples[-1].answer.content.split()
            if row % 20 == 3:
                words[len(words) // 2] = "changed"
        samples.append(chat(question, " ".join(words), source=f"s{row % 3}"))
    return pool_of(samples)


def write_tiny_model(
    folder: Path, *, template: str | None = TEMPLATE, bos: bool = True, seed: int = 0
) -> Path:
    """Write a random two-layer Llama of 300 tokens and a byte-level tokenizer for it."""
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    specials = ["<s>", "</s>", "<|user|>", "<|assistant|>", "<|system|>"]
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {token: index for index, token in enumerate([*specials, *alphabet])}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(specials)
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token="<s>" if bos else None, eos_token="</s>" if bos else None
    )
    fast.chat_template = template
    fast.save_pretrained(folder)
    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=300,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=512,
        bos_token_id=0,
        eos_token_id=1,
        initializer_range=0.3,
    )
    LlamaForCausalLM(config).save_pretrained(folder)
    return folder
