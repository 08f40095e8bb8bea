"""Causal models for signals: loading one, and running it over length-sorted batches.

Batches are padded on the right. The models are causal: a token sees only those before it, so padding behind it
changes nothing and no attention mask is needed, which lets the fast attention kernels run.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from autosel_runtime.api.signals import ModelSignals
from autosel_runtime.checkpoint import loading
from autosel_runtime.errors import ConfigError, UnavailableError
from autosel_runtime.signals.model_files import model_config
from autosel_runtime.signals.segments import Segment, Tokenised, check_template, tokenise

if TYPE_CHECKING:
    import torch

    from autosel_runtime.pool.sample import Sample


@dataclass(frozen=True, kw_only=True)
class CausalModel:
    """A causal model and how chats are put to it; ``body`` gives hidden states."""

    body: Any
    tokenizer: Any
    device: torch.device
    settings: ModelSignals
    template: str | None

    def tokenise(self, samples: Sequence[Sample]) -> Tokenised:
        """Return the segments of ``samples``."""
        return tokenise(
            samples,
            self.tokenizer,
            template=self.template,
            use_template=self.settings.chat_template,
            max_tokens=self.settings.max_tokens,
        )


def choose_device(section: str) -> torch.device:
    """Return the accelerator if there is one, else the CPU; UnavailableError without torch or transformers.

    ``section`` is the part of the document that asks for a model: ``signals.languageModel``.
    """
    missing = [name for name in ("torch", "transformers") if importlib.util.find_spec(name) is None]
    if missing:
        raise UnavailableError(
            f"{section} needs {' and '.join(missing)}; run: pip install 'autosel[train]', or set "
            f"{section}.enabled: false"
        )
    import torch

    accelerator = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else None
    return torch.device("cpu") if accelerator is None else accelerator


def choose_dtype(settings: ModelSignals, section: str) -> str:
    """Return the arithmetic that ``settings.dtype`` comes to on this machine."""
    device = choose_device(section)
    if settings.dtype == "auto":
        return "float32" if device.type == "cpu" else "bfloat16"
    return settings.dtype


def load_causal(folder: Path, settings: ModelSignals, template: str | None, section: str) -> tuple[Any, Any]:
    """Load the model, on its device, and the tokenizer in ``folder``.

    NoInputError when they are not there, ConfigError when the settings do not suit the model, UnavailableError when
    torch is missing.
    """
    device, dtype = choose_device(section), choose_dtype(settings, section)
    positions = model_config(folder).get("max_position_embeddings")
    if isinstance(positions, int) and settings.max_tokens > positions:
        raise ConfigError(
            f"{section}.maxTokens: {settings.max_tokens} is more than the {positions} positions of the model in "
            f"{folder}; set at most {positions}"
        )
    import torch
    import transformers

    with loading(f"{folder}: the tokenizer cannot be read"):
        tokenizer: Any = transformers.AutoTokenizer.from_pretrained(folder, local_files_only=True)
    check_template(tokenizer, template, settings.chat_template, section)
    with loading(f"{folder}: the model cannot be read"):
        model: Any = transformers.AutoModelForCausalLM.from_pretrained(
            folder, local_files_only=True, use_safetensors=True, dtype=getattr(torch, dtype)
        )
    model.requires_grad_(False)
    return model.to(device).eval(), tokenizer


def run_batches(
    segments: Sequence[Segment],
    order: Sequence[int],
    run: Callable[[list[Segment]], NDArray[Any]],
    out: NDArray[Any],
    *,
    batch_tokens: int,
    section: str,
    report: Callable[[int], None] = lambda _: None,
) -> None:
    """Fill ``out`` [segments, ...] with what ``run`` makes of batches of the segments in ``order``, longest first.

    A batch that does not fit the accelerator's memory is halved, and so are those after it. UnavailableError when a
    single segment does not fit.
    """
    import torch

    budget = batch_tokens
    pending = sorted(order, key=lambda index: (-len(segments[index].ids), index))
    while pending:
        longest = len(segments[pending[0]].ids)
        batch = pending[: max(budget // longest, 1)]
        try:
            out[batch] = run([segments[index] for index in batch])
        except torch.OutOfMemoryError as error:
            if len(batch) == 1:
                raise UnavailableError(
                    f"{section}: one text of {longest} tokens does not fit the accelerator's memory; lower maxTokens "
                    "or use a smaller model"
                ) from error
            budget = longest * len(batch) // 2
            torch.accelerator.empty_cache()
            continue
        pending = pending[len(batch) :]
        report(len(batch))


def padded(batch: Sequence[Segment]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the ids of a batch, padded on the right [batch, longest], and their lengths [batch]."""
    lengths = np.array([len(segment.ids) for segment in batch])
    ids = np.zeros((len(batch), int(lengths.max())), dtype=np.int64)
    for row, segment in enumerate(batch):
        ids[row, : len(segment.ids)] = segment.ids
    return ids, lengths
