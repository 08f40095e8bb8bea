"""Loss, entropy and varentropy of next-token distributions, without ever storing a distribution.

Notation
    T   tokens                      m      running maximum of the logits
    d   width of the model          S_0    sum_v e^(l_v - m)
    v   an entry of the vocabulary  S_1    sum_v e^(l_v - m) (l_v - m)
    l_v logit of v [fp32]           S_2    sum_v e^(l_v - m) (l_v - m)^2

    log p_v    = l_v - m - log S_0
    loss       NLL = log S_0 - (l_label - m)                               [nats]
    entropy    H = -sum_v p_v log p_v = log S_0 - S_1 / S_0                [nats]
    varentropy V = sum_v p_v (log p_v + H)^2 = S_2 / S_0 - (S_1 / S_0)^2   [nats^2]; the variance of log p

The vocabulary goes by in blocks; only one block's logits exist at a time. When a block raises the maximum from
m to m', with c = m - m', the sums move along: S_2 <- e^c (S_2 + 2 c S_1 + c^2 S_0), S_1 <- e^c (S_1 + c S_0),
S_0 <- e^c S_0. Logits are made in the model's type and summed in fp32.
"""

from __future__ import annotations

import importlib.util
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class Head:
    """How hidden states become logits: l = cap(scale * (weight h + bias)).

    ``weight`` [vocabulary, d], ``bias`` [vocabulary] or None; cap(x) = softcap * tanh(x / softcap), or x.
    """

    weight: Tensor
    bias: Tensor | None = None
    scale: float = 1.0
    softcap: float | None = None


@dataclass(frozen=True, kw_only=True)
class TokenStatistics:
    """float32 [T] each: loss of the label in nats, varentropy in nats^2."""

    nll: Tensor
    varentropy: Tensor


def token_statistics(
    hidden: Tensor,
    labels: Tensor,
    head: Head,
    *,
    token_block: int | None = None,
    word_block: int | None = None,
) -> TokenStatistics:
    """Return the statistics of the tokens ``labels`` [T] that ``hidden`` [T, d] predicts.

    Blocks bound the logits that exist at once; left out, they suit the device: small ones stay in a
    processor's cache, large ones fill an accelerator.
    """
    import torch

    on_cpu = hidden.device.type == "cpu"
    token_block = token_block or (128 if on_cpu else 4096)
    word_block = word_block or (4096 if on_cpu else 32_768)
    update = _update_function(hidden.device.type)
    parts: list[tuple[Tensor, Tensor]] = []
    for start in range(0, len(hidden), token_block):
        rows, targets = hidden[start : start + token_block], labels[start : start + token_block]
        count = len(rows)
        zeros = torch.zeros(count, dtype=torch.float32, device=hidden.device)
        state = (torch.full_like(zeros, -torch.inf), zeros, zeros, zeros, zeros)
        for first in range(0, len(head.weight), word_block):
            block = rows @ head.weight[first : first + word_block].T
            if head.bias is not None:
                block = block + head.bias[first : first + word_block]
            state = update(block, targets, first, state, head.scale, head.softcap)
        top, s0, s1, s2, label = state
        mean = s1 / s0
        parts.append((torch.log(s0) - (label - top), torch.clamp(s2 / s0 - mean * mean, min=0.0)))
    nll, varentropy = (torch.cat([part[item] for part in parts]) for item in range(2))
    return TokenStatistics(nll=nll, varentropy=varentropy)


State = tuple[Any, Any, Any, Any, Any]


def _update(
    block: Tensor, targets: Tensor, first: int, state: State, scale: float, softcap: float | None
) -> State:
    """Take a block of logits [T, w] of the entries from ``first`` on into (m, S_0, S_1, S_2, label's logit)."""
    import torch

    logits = block.float() * scale
    if softcap is not None:
        logits = softcap * torch.tanh(logits / softcap)
    top, s0, s1, s2, label = state
    new_top = torch.maximum(top, logits.amax(dim=1))
    shifted = logits - new_top[:, None]
    weights = torch.exp(shifted)
    weighted = weights * shifted
    # The first block has no sums yet and its c is -inf, which must not meet a zero.
    c = torch.where(torch.isinf(top), torch.zeros_like(top), top - new_top)
    factor = torch.exp(c)
    s2 = factor * (s2 + 2.0 * c * s1 + c * c * s0) + (weighted * shifted).sum(dim=1)
    s1 = factor * (s1 + c * s0) + weighted.sum(dim=1)
    s0 = factor * s0 + weights.sum(dim=1)
    place = targets - first
    inside = (place >= 0) & (place < logits.shape[1])
    found = logits.gather(1, place.clamp(0, logits.shape[1] - 1)[:, None]).squeeze(1)
    return new_top, s0, s1, s2, torch.where(inside, found, label)


@lru_cache(maxsize=4)
def _update_function(device: str) -> Callable[..., State]:
    """Return the update, compiled to one pass over the logits where a compiler is at hand.

    On an accelerator the logits are many gigabytes and each elementwise step reads and writes them all, which
    costs more than the matrix product that makes them.
    """
    import torch

    compiler = shutil.which("cc") or shutil.which("gcc")
    if device == "cuda" and compiler and importlib.util.find_spec("triton"):
        return torch.compile(_update, dynamic=True)
    return _update
