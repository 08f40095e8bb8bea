"""Fine-tune a model on a subset: the train step.

Works in one process on a CPU or one accelerator, and under torchrun with one process a device (DDP, or DeepSpeed
with ``spec.deepspeed``); the global batch stays the same, and only rank 0 writes.
"""

import os
import shutil
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from autosel_runtime.api.training import TrainingSpec
from autosel_runtime.chat import turn_end_tokens
from autosel_runtime.checkpoint import (
    Device,
    Dtype,
    first_line,
    load_model,
    load_tokenizer,
    pick_device,
    require,
    stored_dtype,
    versions,
)
from autosel_runtime.errors import ConfigError, NoInputError, OutputError
from autosel_runtime.train.loop import Fit, fit
from autosel_runtime.train.order import BatchPlan, draw, largest_divisor, plan_batches, sample_order
from autosel_runtime.train.samples import TokenizedSamples, count_samples, tokenize_samples


@dataclass(frozen=True, kw_only=True)
class TrainingResult:
    """What a training run did.

    ``steps`` optimizer steps, ``epochs`` passes over the subset, ``samples`` in the subset, ``tokens`` and
    ``answer_tokens`` read over the whole run without padding, ``cut_samples`` longer than allowed,
    ``seconds`` of training alone, ``final_loss`` nats per answer token, mean over the last tenth of the
    logged steps, ``peak_memory_bytes`` of the device (of the process on a CPU).
    """

    steps: int
    epochs: float
    samples: int
    tokens: int
    answer_tokens: int
    cut_samples: int
    seconds: float
    tokens_per_second: float
    final_loss: float
    peak_memory_bytes: int
    device: str
    dtype: str
    devices: int
    micro_batch: int
    versions: Mapping[str, str]


def train(
    *,
    model: Path | str,
    samples: Path,
    out: Path,
    spec: TrainingSpec,
    chat_template: str | None = None,
    seed_offset: int = 0,
    revision: str | None = None,
) -> TrainingResult:
    """Fine-tune ``model`` on ``samples`` (train.jsonl) and leave the adapter or the model in folder ``out``.

    ``out`` gets safetensors, the tokenizer with its chat template, and ``training.json``; it appears whole or
    not at all. ``seed_offset`` is added to ``spec.seed`` (repeats of one trial).

    Raises NoInputError (no model, no samples), DataError (empty or broken subset, loss that became NaN),
    ConfigError (template, batch, adapter or memory settings that cannot work), OutputError.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise OutputError(f"{out}: exists already and is not an empty folder")
    if spec.deepspeed is not None:
        if not Path(spec.deepspeed).is_file():
            raise NoInputError(f"{spec.deepspeed}: no such DeepSpeed configuration (training.deepspeed)")
        require("deepspeed")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    tokenizer = load_tokenizer(model, chat_template=chat_template, revision=revision)
    count = count_samples(samples)
    device = pick_device()
    dtype = _dtype(spec, device)
    plan = plan_batches(
        samples=count,
        epochs=spec.epochs,
        max_steps=spec.max_steps,
        global_batch=spec.global_batch,
        micro_batch=spec.micro_batch,
        devices=int(os.environ.get("WORLD_SIZE", "1")),
    )
    # What is drawn is known before a token is: only that part of a large subset is tokenised.
    drawn = draw(count, plan, seed=spec.seed + seed_offset)
    rows, places = np.unique(drawn, return_inverse=True)
    tokenized = tokenize_samples(
        samples, tokenizer, rows=rows, max_tokens=spec.max_tokens, loss_on=spec.loss_on
    )
    order = sample_order(places.reshape(-1), tokenized.lengths, plan)
    partial = out.with_name(f".{out.name}.partial")
    if _is_writer():
        shutil.rmtree(partial, ignore_errors=True)
        _make(partial)
    try:
        done, plan, seconds, peak = _fit_in_memory(
            lambda: _prepare(model, spec, dtype, seed=spec.seed + seed_offset, revision=revision),
            tokenized,
            order,
            plan,
            spec,
            seed=spec.seed + seed_offset,
            device=device,
            dtype=dtype,
            folder=partial,
        )
    except BaseException:
        if _is_writer():
            shutil.rmtree(partial, ignore_errors=True)
        raise
    lengths, answers = tokenized.lengths[order], tokenized.answer_lengths[order]
    tail = done.losses[-max(1, len(done.losses) // 10) :]
    result = TrainingResult(
        steps=plan.steps,
        epochs=round(len(order) / count, 4),
        samples=count,
        tokens=int(lengths.sum()),
        answer_tokens=int(answers.sum()),
        cut_samples=tokenized.cut,
        seconds=round(seconds, 3),
        tokens_per_second=round(float(lengths.sum()) / max(seconds, 1e-9), 1),
        final_loss=sum(tail) / len(tail),
        peak_memory_bytes=peak,
        device=device.description,
        dtype=dtype,
        devices=plan.devices,
        micro_batch=plan.micro_batch,
        versions=versions(),
    )
    stored_as = stored_dtype(model, revision=revision)
    _save(done, tokenizer, spec, result, stored_as=stored_as, partial=partial, out=out)
    return result


def _prepare(model: Path | str, spec: TrainingSpec, dtype: Dtype, *, seed: int, revision: str | None) -> Any:
    """Load the model for training: float32 weights for full tuning (bfloat16 steps would round small updates
    away), the base in ``dtype`` under float32 adapters for LoRA."""
    transformers = require("transformers")
    transformers.set_seed(seed)
    loaded = load_model(model, dtype="float32" if spec.method == "full" else dtype, revision=revision)
    loaded.config.use_cache = False
    if spec.gradient_checkpointing:
        loaded.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
    if spec.method == "full":
        return loaded
    peft = require("peft")
    settings = peft.LoraConfig(
        task_type="CAUSAL_LM",
        r=spec.lora.rank,
        lora_alpha=spec.lora.alpha,
        lora_dropout=spec.lora.dropout,
        target_modules=spec.lora.target_modules or "all-linear",
    )
    try:
        return peft.get_peft_model(loaded, settings)
    except ValueError as error:
        raise ConfigError(f"training.lora.targetModules: {first_line(error)}") from error


def _fit_in_memory(
    prepare: Any,
    samples: TokenizedSamples,
    order: NDArray[np.int64],
    plan: BatchPlan,
    spec: TrainingSpec,
    *,
    seed: int,
    device: Device,
    dtype: Dtype,
    folder: Path,
) -> tuple[Fit, BatchPlan, float, int]:
    """Train; when the accelerator's memory is too small, start again with a smaller micro-batch.

    The global batch stays, so the result is the same. Several devices cannot agree on a retry in the middle of
    a collective, so there the first failure is final.
    """
    torch = require("torch")
    while True:
        model = prepare()
        if device.accelerator:
            torch.get_device_module(device.name).reset_peak_memory_stats()
        started = time.monotonic()
        try:
            done = fit(
                model,
                samples,
                order,
                plan,
                spec,
                seed=seed,
                bfloat16=dtype == "bfloat16",
                accelerator=device.accelerator,
                folder=folder,
            )
            return done, plan, time.monotonic() - started, _peak_memory(device)
        except torch.OutOfMemoryError:
            if plan.devices > 1 or plan.micro_batch == 1:
                raise ConfigError(
                    f"out of memory on {device.description} with training.microBatch {plan.micro_batch} and "
                    f"maxTokens {spec.max_tokens}; lower them, set gradientCheckpointing or use method: lora"
                ) from None
        del model
        torch.get_device_module(device.name).empty_cache()
        micro = largest_divisor(plan.global_batch // plan.devices, plan.micro_batch // 2)
        plan = BatchPlan(
            steps=plan.steps,
            global_batch=plan.global_batch,
            devices=plan.devices,
            micro_batch=micro,
            accumulation=plan.global_batch // plan.devices // micro,
        )


def _save(
    done: Fit,
    tokenizer: Any,
    spec: TrainingSpec,
    result: TrainingResult,
    *,
    stored_as: Dtype,
    partial: Path,
    out: Path,
) -> None:
    """Write the adapter, or the whole model in the dtype it came in, and move it into place."""
    trainer = done.trainer
    kind = str(trainer.accelerator.distributed_type).rsplit(".", 1)[-1]
    sharded = kind in ("DEEPSPEED", "FSDP")
    state = trainer.accelerator.get_state_dict(trainer.model_wrapped) if sharded else None  # collective
    if _is_writer():
        saved = trainer.accelerator.unwrap_model(trainer.model_wrapped)
        saved.config.use_cache = True
        if spec.method == "full":
            ends = turn_end_tokens(tokenizer)
            saved.generation_config.eos_token_id = list(ends)
            stored = getattr(require("torch"), stored_as)
            if state is None:
                saved.to(stored)
            else:
                state = {k: v.to(stored) if v.is_floating_point() else v for k, v in state.items()}
        saved.save_pretrained(str(partial), state_dict=state)
        tokenizer.save_pretrained(str(partial))
        (partial / "README.md").unlink(missing_ok=True)  # peft's empty model card
        document = {"result": asdict(result), "training": spec.model_dump(mode="json", by_alias=True)}
        (partial / "training.json").write_bytes(orjson.dumps(document, option=orjson.OPT_INDENT_2))
        try:
            partial.replace(out)
        except OSError as error:
            raise OutputError(f"{out}: cannot be written: {error.strerror}") from error
    trainer.accelerator.wait_for_everyone()


def _dtype(spec: TrainingSpec, device: Device) -> Dtype:
    if spec.dtype != "auto":
        return spec.dtype
    return "bfloat16" if device.accelerator else "float32"


def _peak_memory(device: Device) -> int:
    if device.accelerator:
        return int(require("torch").get_device_module(device.name).max_memory_allocated())
    import resource
    import sys

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def _is_writer() -> bool:
    return int(os.environ.get("RANK", "0")) == 0


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True)
    except OSError as error:
        raise OutputError(f"{folder}: cannot be created: {error.strerror}") from error
