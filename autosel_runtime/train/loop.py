"""One training run with transformers' Trainer: order, batches and loss are ours, the rest is the Trainer's.

The loss of an optimizer step is

    L = − Σ_{answer tokens of the step} log p(token | what stands before it) / (number of those tokens)

over all its micro-batches and devices. Only the positions that predict an answer token go through the output
layer: with a vocabulary of 150,000 that layer's logits are most of the memory.

Samples are padded on the right and no attention mask is passed: in a causal model a token never sees what
follows it, so padding changes nothing and the fast causal attention kernels stay in use.
"""

import math
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from autosel_runtime.api.training import TrainingSpec
from autosel_runtime.checkpoint import require
from autosel_runtime.errors import DataError
from autosel_runtime.progress import Progress
from autosel_runtime.train.order import BatchPlan
from autosel_runtime.train.samples import TokenizedSamples

IGNORED = -100


@dataclass(frozen=True, kw_only=True)
class Fit:
    """A finished run: the Trainer (for saving) and the loss of every logged step."""

    trainer: Any
    losses: tuple[float, ...]


def collate(samples: TokenizedSamples, rows: list[int], *, multiple: int) -> Mapping[str, Any]:
    """Return the padded micro-batch of ``rows``.

    ``input_ids`` and ``labels`` int64 [B, T] (labels -100 where nothing is learnt), ``positions`` int64 [k]:
    places b·T + t whose next token is learnt. T is the longest sample, rounded up to ``multiple``.
    """
    torch = require("torch")
    width = int(max(samples.starts[row + 1] - samples.starts[row] for row in rows))
    width = -(-width // multiple) * multiple
    ids = np.zeros((len(rows), width), dtype=np.int64)
    labels = np.full((len(rows), width), IGNORED, dtype=np.int64)
    for place, row in enumerate(rows):
        start, end = samples.starts[row], samples.starts[row + 1]
        ids[place, : end - start] = samples.ids[start:end]
        labels[place, : end - start] = np.where(samples.learnt[start:end], samples.ids[start:end], IGNORED)
    positions = np.flatnonzero(labels[:, 1:].reshape(-1) != IGNORED)
    positions += positions // (width - 1)  # from rows of T - 1 places to rows of T
    return {
        "input_ids": torch.from_numpy(ids),
        "labels": torch.from_numpy(labels),
        "positions": torch.from_numpy(positions),
    }


def fit(
    model: Any,
    samples: TokenizedSamples,
    order: NDArray[np.int64],
    plan: BatchPlan,
    spec: TrainingSpec,
    *,
    seed: int,
    bfloat16: bool,
    accelerator: bool,
    folder: Path,
) -> Fit:
    """Train ``model`` in place on the samples in ``order`` [S·G] and return the run. DataError when the loss stops
    being a number."""
    torch, transformers = require("torch"), require("transformers")
    arguments = _arguments(spec, plan, seed=seed, bfloat16=bfloat16, accelerator=accelerator, folder=folder)
    losses: list[float] = []
    step_tokens = samples.lengths[order].reshape(plan.steps, plan.global_batch).sum(axis=1)
    picked = _PickedPositions(model.get_output_embeddings())

    class Rows(torch.utils.data.Dataset):  # pyright: ignore
        def __len__(self) -> int:
            return len(order)

        def __getitem__(self, place: int) -> int:
            return int(order[place])

    class AnswerTrainer(transformers.Trainer):  # pyright: ignore
        def _get_train_sampler(self, train_dataset: Any = None) -> Any:
            return torch.utils.data.SequentialSampler(train_dataset or self.train_dataset)

        def compute_loss(
            self, model: Any, inputs: Any, return_outputs: bool = False, num_items_in_batch: Any = None
        ) -> Any:
            positions, labels = inputs["positions"], inputs["labels"]
            with picked.at(positions):
                logits = model(input_ids=inputs["input_ids"], use_cache=False).logits
            targets = labels.reshape(-1)[positions + 1]
            total = torch.nn.functional.cross_entropy(logits[0].float(), targets, reduction="sum")
            loss = total / num_items_in_batch * self.accelerator.num_processes
            return (loss, None) if return_outputs else loss

    class Report(transformers.TrainerCallback):  # pyright: ignore
        def on_step_end(self, _args: Any, state: Any, _control: Any, **_: Any) -> None:
            if state.is_world_process_zero:
                progress.label = f"train, step {state.global_step:,}/{plan.steps:,}"
                progress.advance(int(step_tokens[state.global_step - 1]))

        def on_log(self, _args: Any, state: Any, _control: Any, logs: Any = None, **_: Any) -> None:
            if logs is None or "loss" not in logs:
                return
            loss = float(logs["loss"])
            if not math.isfinite(loss):
                raise DataError(_broken(f"the loss became NaN at step {state.global_step}"))
            losses.append(loss)

    with (
        warnings.catch_warnings(),
        Progress("train", total=int(step_tokens.sum()), unit="tokens") as progress,
    ):
        warnings.simplefilter("ignore")
        trainer = AnswerTrainer(
            model=model,
            args=arguments,
            train_dataset=Rows(),
            data_collator=lambda rows: dict(collate(samples, rows, multiple=8 if accelerator else 1)),
            callbacks=[Report()],
        )
        # Our loss is divided by the step's tokens already, whatever the model's own forward takes.
        trainer.model_accepts_loss_kwargs = True
        trainer.loss_is_scaled_for_ga = True
        for unwanted in (transformers.trainer_callback.PrinterCallback,):
            trainer.remove_callback(unwanted)
        try:
            trainer.train()
        finally:
            picked.remove()
    _require_finite(torch, model, plan.steps)
    return Fit(trainer=trainer, losses=tuple(losses))


class _PickedPositions:
    """Lets only chosen positions through the output layer, while ``at`` is open."""

    def __init__(self, head: Any) -> None:
        self._positions: Any = None
        self._handle = head.register_forward_pre_hook(self._pick)

    def at(self, positions: Any) -> "_PickedPositions":
        self._positions = positions
        return self

    def __enter__(self) -> None:
        return None

    def __exit__(self, *_: object) -> None:
        self._positions = None

    def remove(self) -> None:
        self._handle.remove()

    def _pick(self, _: Any, arguments: tuple[Any, ...]) -> tuple[Any, ...] | None:
        if self._positions is None:
            return None
        hidden = arguments[0]
        rows = hidden.reshape(-1, hidden.shape[-1]).index_select(0, self._positions)
        return (rows.unsqueeze(0), *arguments[1:])


def _arguments(
    spec: TrainingSpec, plan: BatchPlan, *, seed: int, bfloat16: bool, accelerator: bool, folder: Path
) -> Any:
    transformers = require("transformers")
    schedule = {"cosine": "cosine", "linear": "linear", "constant": "constant_with_warmup"}[spec.scheduler]
    arguments = transformers.TrainingArguments(
        output_dir=str(folder),
        per_device_train_batch_size=plan.micro_batch,
        gradient_accumulation_steps=plan.accumulation,
        max_steps=plan.steps,
        learning_rate=spec.learning_rate,
        lr_scheduler_type=schedule,
        warmup_steps=math.ceil(spec.warmup_fraction * plan.steps - 1e-9),
        weight_decay=spec.weight_decay,
        max_grad_norm=spec.max_grad_norm,
        bf16=bfloat16,
        seed=seed,
        data_seed=seed,
        deepspeed=spec.deepspeed,
        ddp_find_unused_parameters=False,
        average_tokens_across_devices=True,
        use_cpu=not accelerator,
        dataloader_pin_memory=accelerator,
        remove_unused_columns=False,
        save_strategy="no",
        eval_strategy="no",
        report_to=[],
        push_to_hub=False,
        disable_tqdm=True,
        # Reading the loss waits for the accelerator, so not at every step there.
        logging_steps=max(1, min(10, plan.steps // 10)) if accelerator else 1,
        logging_nan_inf_filter=False,
        log_level="error",
        log_level_replica="error",
    )
    # Several visible devices in one process mean torchrun was not used; DataParallel would change the batch.
    if arguments.n_gpu > 1:
        arguments._n_gpu = 1
    return arguments


def _require_finite(torch: Any, model: Any, steps: int) -> None:
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.requires_grad and not bool(torch.isfinite(parameter).all()):
                raise DataError(_broken(f"a weight became NaN at step {steps}"))


def _broken(what: str) -> str:
    return f"{what}; lower training.learningRate (or look for broken samples in the subset)"
