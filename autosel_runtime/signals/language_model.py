"""Signals of a language model's token probabilities, from one pass over length-sorted batches.

Notation
    x   tokens of the prompt         y        tokens of the answer (see ``segments``)
    L   mean loss in nats a token    V(.)     mean varentropy in nats^2 a token

    nll_full   L(x y)     nll_cond  L(y | x)     nll_answer  L(y)
    ifd        L(y | x) / L(y)       instruction-following difficulty, the paper's (arXiv 2308.12032)
    ifd_full   L(x y) / L(y)         what the reference implementation of AutoSelection calls IFD
    varentropy V(y | x)              varentropy_answer  V(y)
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from autosel_runtime.api.signals import LanguageModelSignals
from autosel_runtime.errors import ConfigError, DataError, UnavailableError
from autosel_runtime.signals.causal import CausalModel, load_causal, padded, run_batches
from autosel_runtime.signals.expected import LANGUAGE_MODEL
from autosel_runtime.signals.segments import Segment, Tokenised
from autosel_runtime.signals.vocabulary import Head, token_statistics

if TYPE_CHECKING:
    import torch


SECTION = "signals.languageModel"
_PROBE_TOKENS = 16


@dataclass(frozen=True, kw_only=True)
class LanguageModel(CausalModel):
    """A causal model ready to score: ``head`` turns its hidden states into logits."""

    head: Head


@dataclass(frozen=True, kw_only=True)
class SegmentStatistics:
    """float64 [segments] each: mean loss of all scored tokens, mean loss and varentropy of the answer's; NaN for a
    segment without such tokens."""

    nll: NDArray[np.float64]
    answer_nll: NDArray[np.float64]
    answer_varentropy: NDArray[np.float64]


def load(folder: Path, settings: LanguageModelSignals, template: str | None = None) -> LanguageModel:
    """Load the model and tokenizer in ``folder``.

    NoInputError when they are not there, ConfigError when the settings do not suit the model, UnavailableError
    when torch is missing or the model cannot be scored in blocks.
    """
    model, tokenizer = load_causal(folder, settings, template, SECTION)
    loaded = LanguageModel(
        body=model.base_model,
        head=model_head(model),
        tokenizer=tokenizer,
        device=model.device,
        settings=settings,
        template=template,
    )
    _probe(model, loaded)
    return loaded


def model_head(model: Any) -> Head:
    """Return how a transformers causal model turns hidden states into logits."""
    output, config = model.get_output_embeddings(), model.config.get_text_config()
    if output is None or not hasattr(output, "weight"):
        raise UnavailableError(
            f"{type(model).__name__} has no linear output layer, so its tokens cannot be scored"
        )
    divisor = float(getattr(config, "logits_scaling", None) or 1.0)
    return Head(
        weight=output.weight,
        bias=getattr(output, "bias", None),
        scale=float(getattr(config, "logit_scale", None) or 1.0) / divisor,
        softcap=getattr(config, "final_logit_softcapping", None),
    )


def score_segments(
    model: LanguageModel, segments: Sequence[Segment], report: Callable[[int], None] = lambda _: None
) -> SegmentStatistics:
    """Return the statistics of ``segments``; their order and their company in a batch change nothing.

    UnavailableError when a single segment does not fit the accelerator's memory.
    """
    result = np.full((len(segments), 3), np.nan)
    scored = [index for index, segment in enumerate(segments) if len(segment.ids) > 1]
    report(len(segments) - len(scored))
    run_batches(
        segments,
        scored,
        lambda batch: _score_batch(model, batch),
        result,
        batch_tokens=model.settings.batch_tokens,
        section=SECTION,
        report=report,
    )
    return SegmentStatistics(nll=result[:, 0], answer_nll=result[:, 1], answer_varentropy=result[:, 2])


def language_model_arrays(
    model: LanguageModel, tokenised: Tokenised, report: Callable[[int], None] = lambda _: None
) -> dict[str, NDArray[Any]]:
    """Return the float32 columns of a shard's chats, NaN where there is no answer, and ``note.*`` counts.

    ``report`` is told how many texts are done, two a chat.
    """
    rows = [index for index, chat in enumerate(tokenised.chats) if chat is not None]
    chats = [chat for chat in tokenised.chats if chat is not None]
    if not chats and tokenised.refused:
        raise ConfigError(
            f"signals.languageModel: the chat template refuses every chat, first {tokenised.refusal}"
        )
    report(2 * (len(tokenised.chats) - len(chats)))
    found = score_segments(model, [*(chat.full for chat in chats), *(chat.answer for chat in chats)], report)
    full, alone = slice(0, len(chats)), slice(len(chats), None)
    nll_answer = np.where(found.answer_nll[alone] > 0.0, found.answer_nll[alone], np.nan)
    values = {
        "nll_full": found.nll[full],
        "nll_cond": found.answer_nll[full],
        "nll_answer": found.answer_nll[alone],
        "ifd": found.answer_nll[full] / nll_answer,
        "ifd_full": found.nll[full] / nll_answer,
        "varentropy": found.answer_varentropy[full],
        "varentropy_answer": found.answer_varentropy[alone],
        "tokens": np.array([chat.tokens for chat in chats], dtype=np.float64),
        "answer_tokens": np.array([chat.answer_tokens for chat in chats], dtype=np.float64),
    }
    arrays: dict[str, NDArray[Any]] = {}
    for name in LANGUAGE_MODEL:
        column = np.full(len(tokenised.chats), np.nan, dtype=np.float32)
        column[rows] = values[name]
        arrays[name] = column
    arrays["note.language_model_truncated"] = np.array(
        [sum(chat.truncated for chat in chats)], dtype=np.int64
    )
    arrays["note.language_model_refused"] = np.array([tokenised.refused], dtype=np.int64)
    return arrays


def hidden_states(model: LanguageModel, ids: torch.Tensor) -> torch.Tensor:
    """Return the last hidden states [texts, length, d] of right-padded ``ids`` [texts, length]."""
    return model.body(input_ids=ids, use_cache=False).last_hidden_state


def _score_batch(model: LanguageModel, batch: Sequence[Segment]) -> NDArray[np.float64]:
    """Return [batch, 3]: mean loss, mean answer loss, mean answer varentropy."""
    import torch

    rows, lengths = padded(batch)
    width = rows.shape[1]
    place = np.arange(width)
    scored = (place[None, :-1] + 1 < lengths[:, None]).reshape(-1)
    chosen = np.flatnonzero(scored)
    with torch.inference_mode():
        ids = torch.from_numpy(rows).to(model.device)
        keep = torch.from_numpy(chosen).to(model.device)
        hidden = hidden_states(model, ids)[:, :-1].flatten(0, 1)[keep]
        statistics = token_statistics(hidden, ids[:, 1:].flatten()[keep], model.head)
        values = torch.stack([statistics.nll, statistics.varentropy]).cpu().numpy().astype(np.float64)
    if not np.isfinite(values).all():
        raise DataError(
            f"signals.languageModel: the model gives losses that are not finite in {model.head.weight.dtype}; "
            "set signals.languageModel.dtype: float32"
        )
    owners = chosen // (width - 1)
    is_answer = chosen % (width - 1) + 1 >= np.array([segment.answer_from for segment in batch])[owners]
    every = _means(owners, values[0], len(batch))
    return np.stack(
        [
            every,
            _means(owners[is_answer], values[0][is_answer], len(batch)),
            _means(owners[is_answer], values[1][is_answer], len(batch)),
        ],
        axis=1,
    )


def _means(owners: NDArray[np.int64], values: NDArray[np.float64], count: int) -> NDArray[np.float64]:
    sizes = np.bincount(owners, minlength=count)
    sums = np.bincount(owners, weights=values, minlength=count)
    return np.where(sizes > 0, sums / np.maximum(sizes, 1), np.nan)


def _probe(model: Any, loaded: LanguageModel) -> None:
    """Check on a few tokens that our head gives the model's own logits; some models do more than a product."""
    import torch

    vocabulary = len(loaded.head.weight)
    ids = torch.arange(_PROBE_TOKENS, device=loaded.device)[None] * 7919 % vocabulary
    with torch.inference_mode():
        own = torch.log_softmax(model(input_ids=ids, use_cache=False).logits[0, :-1].float(), dim=-1)
        expected = -own.gather(1, ids[0, 1:, None]).squeeze(1)
        found = token_statistics(hidden_states(loaded, ids)[0, :-1], ids[0, 1:], loaded.head).nll
    tolerance = 1e-3 if loaded.head.weight.dtype == torch.float32 else 0.2
    if not torch.allclose(found, expected, rtol=tolerance, atol=tolerance):
        raise UnavailableError(
            f"{type(model).__name__} computes its logits in a way that is not supported here (losses differ by "
            f"{float((found - expected).abs().max()):.3g} nats); choose another model for signals.languageModel.model"
        )
