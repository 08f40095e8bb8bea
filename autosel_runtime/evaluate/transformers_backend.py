"""The transformers engine: one process, a CPU or one accelerator, a key-value cache, greedy decoding.

Prompts of a batch are padded on the left and masked, so the replies stay aligned; replies that have ended leave
the batch, so that a few long ones do not hold all its rows. The accelerator is asked for results only every few
tokens.
"""

import inspect
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

from autosel_runtime.chat import turn_end_tokens
from autosel_runtime.checkpoint import load_model, load_tokenizer, pick_device, require, with_adapter
from autosel_runtime.evaluate.backend import OutOfMemoryError, Reply

T = TypeVar("T")

_LOOK_EVERY = 8


class TransformersBackend:
    """A causal language model, with or without an adapter, ready to answer."""

    def __init__(
        self,
        *,
        model: Path | str,
        adapter: Path | None = None,
        chat_template: str | None = None,
        revision: str | None = None,
    ) -> None:
        torch = require("torch")
        device = pick_device()
        self._device = torch.device(device.name)
        self.tokenizer = load_tokenizer(model, chat_template=chat_template, revision=revision)
        loaded = load_model(model, dtype="bfloat16" if device.accelerator else "float32", revision=revision)
        if adapter is not None:
            loaded = with_adapter(loaded, adapter)
        self._model = loaded.to(self._device).eval()
        self._ends = frozenset(turn_end_tokens(self.tokenizer)) | _configured_ends(loaded)
        self._pad = min(self._ends)
        # transformers renamed the argument that takes the key-value cache.
        base = loaded.get_base_model() if hasattr(loaded, "get_base_model") else loaded
        self._cache = "cache" if "cache" in inspect.signature(base.forward).parameters else "past_key_values"
        self.context = int(getattr(loaded.config, "max_position_embeddings", None) or 1 << 30)

    def generate(
        self, prompts: Sequence[Sequence[int]], *, max_new_tokens: int, stop: Sequence[str]
    ) -> list[Reply]:
        """Return the greedy reply to each prompt; see Backend."""
        return self._in_memory(lambda: self._generate(prompts, max_new_tokens, tuple(stop)))

    def log_likelihoods(
        self, prompts: Sequence[Sequence[int]], continuations: Sequence[Sequence[Sequence[int]]]
    ) -> list[list[float]]:
        """Return Σ log p of each continuation of each prompt, in nats; see Backend."""
        return self._in_memory(lambda: self._log_likelihoods(prompts, continuations))

    def _generate(
        self, prompts: Sequence[Sequence[int]], max_new_tokens: int, stop: tuple[str, ...]
    ) -> list[Reply]:
        torch = require("torch")
        ids, mask = self._left_padded(prompts)
        written: list[list[int]] = [[] for _ in prompts]
        rows = list(range(len(prompts)))
        with torch.inference_mode():
            positions = (mask.cumsum(1) - 1).clamp(min=0)
            step = self._model(
                input_ids=ids, attention_mask=mask, position_ids=positions, use_cache=True, logits_to_keep=1
            )
            position = positions[:, -1:]
            block: list[Any] = []
            for made in range(1, max_new_tokens + 1):
                token = step.logits[:, -1].argmax(-1)
                block.append(token)
                if len(block) == _LOOK_EVERY or made == max_new_tokens:
                    for row, new in zip(rows, torch.stack(block, 1).tolist(), strict=True):
                        written[row].extend(new)
                    block = []
                    keep = [i for i, row in enumerate(rows) if not self._has_ended(written[row], stop)]
                    if not keep or made == max_new_tokens:
                        break
                    if len(keep) < len(rows):
                        chosen = torch.tensor(keep, device=self._device)
                        rows = [rows[i] for i in keep]
                        step.past_key_values.batch_select_indices(chosen)
                        token, mask, position = token[chosen], mask[chosen], position[chosen]
                position = position + 1
                mask = torch.cat([mask, mask.new_ones(len(rows), 1)], 1)
                step = self._model(
                    input_ids=token[:, None],
                    attention_mask=mask,
                    position_ids=position,
                    use_cache=True,
                    logits_to_keep=1,
                    **{self._cache: step.past_key_values},
                )
        return [self._reply(tokens, stop) for tokens in written]

    def _has_ended(self, tokens: list[int], stop: tuple[str, ...]) -> bool:
        if not self._ends.isdisjoint(tokens[-_LOOK_EVERY:]):
            return True
        return bool(stop) and any(text in self.tokenizer.decode(tokens) for text in stop)

    def _reply(self, tokens: list[int], stop: tuple[str, ...]) -> Reply:
        end = next((i for i, token in enumerate(tokens) if token in self._ends), None)
        kept = tokens if end is None else tokens[:end]
        text = self.tokenizer.decode(kept, skip_special_tokens=True)
        cuts = [text.index(mark) for mark in stop if mark in text]
        if cuts:
            text = text[: min(cuts)]
        return Reply(text=text, tokens=len(kept), truncated=end is None and not cuts)

    def _log_likelihoods(
        self, prompts: Sequence[Sequence[int]], continuations: Sequence[Sequence[Sequence[int]]]
    ) -> list[list[float]]:
        torch = require("torch")
        if all(len(option) == 1 for options in continuations for option in options):
            ids, mask = self._left_padded(prompts)
            with torch.inference_mode():
                positions = (mask.cumsum(1) - 1).clamp(min=0)
                logits = self._model(
                    input_ids=ids,
                    attention_mask=mask,
                    position_ids=positions,
                    use_cache=False,
                    logits_to_keep=1,
                ).logits[:, -1]
                table = torch.log_softmax(logits.float(), -1)
                return [
                    [float(value) for value in row[[option[0] for option in options]].tolist()]
                    for row, options in zip(table, continuations, strict=True)
                ]
        found: list[list[float]] = []
        for prompt, options in zip(prompts, continuations, strict=True):
            longest = max(len(option) for option in options)
            ids, mask = self._left_padded([[*prompt, *option] for option in options])
            with torch.inference_mode():
                positions = (mask.cumsum(1) - 1).clamp(min=0)
                logits = self._model(
                    input_ids=ids,
                    attention_mask=mask,
                    position_ids=positions,
                    use_cache=False,
                    logits_to_keep=longest + 1,
                ).logits[:, :-1]
                table = torch.log_softmax(logits.float(), -1)
            sums: list[float] = []
            for row, option in zip(table, options, strict=True):
                wanted = torch.tensor(list(option), device=self._device)
                sums.append(float(row[-len(option) :].gather(1, wanted[:, None]).sum()))
            found.append(sums)
        return found

    def _left_padded(self, prompts: Sequence[Sequence[int]]) -> tuple[Any, Any]:
        torch = require("torch")
        width = max(len(prompt) for prompt in prompts)
        ids = torch.full((len(prompts), width), self._pad, dtype=torch.long)
        mask = torch.zeros((len(prompts), width), dtype=torch.long)
        for row, prompt in enumerate(prompts):
            ids[row, width - len(prompt) :] = torch.tensor(list(prompt), dtype=torch.long)
            mask[row, width - len(prompt) :] = 1
        return ids.to(self._device), mask.to(self._device)

    def _in_memory(self, work: Callable[[], T]) -> T:
        torch = require("torch")
        try:
            return work()
        except torch.OutOfMemoryError:
            pass  # the traceback holds the batch's tensors; they go when this block is left
        torch.get_device_module(self._device).empty_cache()
        raise OutOfMemoryError


def _configured_ends(model: Any) -> frozenset[int]:
    ends = getattr(model.generation_config, "eos_token_id", None)
    if ends is None:
        return frozenset()
    return frozenset(ends) if isinstance(ends, list) else frozenset({int(ends)})
