"""train: fine-tune the starting model on one subset."""

import time

from autosel_runtime.api.training import TrainingSpec
from autosel_runtime.steps.context import StepContext, StepOutput, files_of
from autosel_runtime.steps.device import device_count
from autosel_runtime.steps.kept import fresh
from autosel_runtime.train.train import train as fine_tune


def train(context: StepContext) -> StepOutput:
    """Train on the subset of the inputs and publish the adapter or the model."""
    started = time.monotonic()
    subset = context.fetch(context.input("subset"), ["train.jsonl"])
    out = fresh(context.work / "model")
    result = fine_tune(
        model=context.model(context.input("model")),
        samples=subset / "train.jsonl",
        out=out,
        spec=_settings(context),
        chat_template=context.spec.model.chat_template,
        revision=context.spec.model.revision,
    )
    seconds = time.monotonic() - started
    return StepOutput(
        files=files_of(out),
        summary={
            "seconds": round(seconds, 2),
            "tokens": result.tokens,
            "steps": result.steps,
            "samples": result.samples,
            "final_loss": round(result.final_loss, 6),
            "tokens_per_second": round(result.tokens_per_second, 1),
            "device": result.device,
            "accelerator_seconds": round(seconds * device_count(), 2),
        },
    )


def _settings(context: StepContext) -> TrainingSpec:
    """Return the training settings with the DeepSpeed configuration where it lies on this machine."""
    settings = context.spec.training
    if settings.deepspeed is None:
        return settings
    return settings.model_copy(update={"deepspeed": str(context.file(settings.deepspeed))})
