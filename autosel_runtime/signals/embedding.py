"""Embeddings of chats: the mean of a language model's last hidden states over all tokens of a chat.

Notation
    h_t   last hidden state of token t of a chat (``full`` in ``segments``), d numbers, in float32
    e     mean_t h_t / |mean_t h_t|, rounded to float16; all zeros for a chat that has none

Chats of the same tokens get one embedding, computed once in a shard; ``embedding_texts`` names it across shards.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from autosel_runtime.api.signals import EmbeddingSignals
from autosel_runtime.errors import ConfigError, DataError
from autosel_runtime.signals.causal import CausalModel, load_causal, padded, run_batches
from autosel_runtime.signals.segments import Segment, Tokenised

if TYPE_CHECKING:
    pass

SECTION = "signals.embedding"
VECTORS = "embeddings"
TEXTS = "embedding_texts"


def load(folder: Path, settings: EmbeddingSignals, template: str | None = None) -> CausalModel:
    """Load the model and tokenizer in ``folder``; see ``load_causal``."""
    model, tokenizer = load_causal(folder, settings, template, SECTION)
    return CausalModel(
        body=model.base_model, tokenizer=tokenizer, device=model.device, settings=settings, template=template
    )


def embedding_arrays(
    embedder: CausalModel, tokenised: Tokenised, report: Callable[[int], None] = lambda _: None
) -> dict[str, NDArray[Any]]:
    """Return a shard's ``embeddings`` (float16 [n, d]), ``embedding_texts`` (uint64 [n], 0 without an embedding) and
    ``note.*`` counts."""
    rows = [index for index, chat in enumerate(tokenised.chats) if chat is not None]
    segments = [chat.full for chat in tokenised.chats if chat is not None]
    if not segments and tokenised.refused:
        raise ConfigError(f"{SECTION}: the chat template refuses every chat, first {tokenised.refusal}")
    texts = np.array([_text_hash(segment) for segment in segments], dtype=np.uint64)
    _, first, inverse = np.unique(texts, return_index=True, return_inverse=True)
    width = int(embedder.body.config.get_text_config().hidden_size)
    vectors = np.zeros((len(segments), width), dtype=np.float16)
    report(len(tokenised.chats) - len(first))
    run_batches(
        segments,
        first.tolist(),
        lambda batch: _embed(embedder, batch),
        vectors,
        batch_tokens=embedder.settings.batch_tokens,
        section=SECTION,
        report=report,
    )
    arrays: dict[str, NDArray[Any]] = {
        VECTORS: np.zeros((len(tokenised.chats), width), dtype=np.float16),
        TEXTS: np.zeros(len(tokenised.chats), dtype=np.uint64),
    }
    if rows:
        arrays[VECTORS][rows] = vectors[first[inverse]]
        arrays[TEXTS][rows] = texts
    truncated = sum(chat.truncated for chat in tokenised.chats if chat is not None)
    arrays["note.embedding_truncated"] = np.array([truncated], dtype=np.int64)
    arrays["note.embedding_refused"] = np.array([tokenised.refused], dtype=np.int64)
    return arrays


def _text_hash(segment: Segment) -> int:
    """Return 64 bits of the tokens; never 0, which marks a chat without tokens."""
    return int.from_bytes(hashlib.sha256(segment.ids.tobytes()).digest()[:8], "little") or 1


def _embed(embedder: CausalModel, batch: Sequence[Segment]) -> NDArray[np.float16]:
    """Return the embeddings [batch, d]. Each mean is taken over the chat's own tokens alone, so how far a batch is
    padded cannot change it."""
    import torch

    rows, lengths = padded(batch)
    with torch.inference_mode():
        ids = torch.from_numpy(rows).to(embedder.device)
        hidden = embedder.body(input_ids=ids, use_cache=False).last_hidden_state
        means = torch.stack(
            [hidden[row, :length].float().mean(dim=0) for row, length in enumerate(lengths.tolist())]
        )
        vectors = torch.nn.functional.normalize(means, dim=1).cpu().numpy()
    if not np.isfinite(vectors).all():
        raise DataError(
            f"{SECTION}: the model gives hidden states that are not finite in {embedder.settings.dtype}; set "
            f"{SECTION}.dtype: float32"
        )
    return vectors.astype(np.float16)
