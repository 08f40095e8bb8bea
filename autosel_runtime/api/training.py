"""The model and how each trial fine-tunes it."""

from typing import Annotated, Any, Literal

from pydantic import Field

from autosel_runtime.api.common import Model, Seed, ShortText
from autosel_runtime.api.uris import InputUri


class ModelRef(Model):
    """The model that every trial starts from."""

    uri: InputUri = Field(
        description="Folder in Hugging Face layout (relative paths start at the document's folder, s3://bucket/folder/ "
        "is read from object storage), or a hub id.",
        examples=["models/smollm2-135m"],
    )
    revision: Annotated[str, Field(min_length=1, max_length=128)] | None = Field(
        default=None, description="Hub revision.", examples=["main"]
    )
    chat_template: Annotated[str, Field(max_length=65_536)] | None = Field(
        default=None,
        description="Jinja chat template that replaces the tokenizer's own.",
        examples=["{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}"],
    )


class LoraSettings(Model):
    """Low-rank adapters."""

    rank: int = Field(default=16, ge=1, le=1024, description="Rank.", examples=[16])
    alpha: int = Field(
        default=32, ge=1, le=4096, description="Scale; alpha over rank multiplies the update.", examples=[32]
    )
    dropout: float = Field(default=0.0, ge=0.0, lt=1.0, description="Dropout.", examples=[0.05])
    target_modules: Annotated[list[ShortText], Field(min_length=1, max_length=32)] | None = Field(
        default=None,
        description="Modules that get adapters; all linear layers when left out.",
        examples=[["q_proj", "v_proj"]],
    )


class TrainingSpec(Model):
    """Fine-tuning, the same for every trial: only the data differs."""

    method: Literal["full", "lora"] = Field(
        default="lora", description="All weights or adapters.", examples=["full"]
    )
    lora: LoraSettings = Field(
        default=LoraSettings(), description="Settings of method lora.", examples=[{"rank": 8}]
    )
    epochs: float = Field(
        default=3.0, gt=0.0, le=100.0, description="Passes over the subset; see maxSteps.", examples=[3.0]
    )
    max_steps: int | None = Field(
        default=None,
        ge=1,
        le=10_000_000,
        description="Optimizer steps of every trial, whatever its subset's size; replaces epochs.",
        examples=[400],
    )
    learning_rate: float = Field(
        default=2e-5, gt=0.0, le=1.0, description="Peak learning rate.", examples=[2e-5]
    )
    scheduler: Literal["cosine", "linear", "constant"] = Field(
        default="cosine", description="Learning-rate schedule after warm-up.", examples=["cosine"]
    )
    warmup_fraction: float = Field(
        default=0.1, ge=0.0, le=1.0, description="Share of the steps with rising rate.", examples=[0.1]
    )
    weight_decay: float = Field(
        default=0.0, ge=0.0, le=1.0, description="AdamW weight decay.", examples=[0.0]
    )
    max_grad_norm: float = Field(
        default=1.0, gt=0.0, le=1000.0, description="Gradient clipping.", examples=[1.0]
    )
    global_batch: int = Field(
        default=32,
        ge=1,
        le=65_536,
        description="Samples of an optimizer step over all devices.",
        examples=[256],
    )
    micro_batch: int = Field(
        default=8, ge=1, le=4096, description="Samples of a forward pass on one device.", examples=[8]
    )
    max_tokens: int = Field(
        default=2048,
        ge=16,
        le=131_072,
        description="Longest sample; longer ones are cut on the left of the chat.",
        examples=[2048],
    )
    loss_on: Literal["last_answer", "all_answers"] = Field(
        default="all_answers", description="Which assistant turns are learnt.", examples=["all_answers"]
    )
    dtype: Literal["auto", "float32", "bfloat16"] = Field(
        default="auto", description="auto is bfloat16 on accelerators, float32 on CPU.", examples=["auto"]
    )
    gradient_checkpointing: bool = Field(
        default=False, description="Recompute activations to save memory.", examples=[False]
    )
    seed: Seed = Field(default=17, description="Seed of order, dropout and new weights.", examples=[17])
    deepspeed: Annotated[str, Field(min_length=1, max_length=1024)] | None = Field(
        default=None, description="DeepSpeed configuration file.", examples=["ds_zero2.json"]
    )
    keep_models: Literal["best", "all"] = Field(
        default="best",
        description="Which tuned models stay in the store. best: those of the three best trials so far, of the chosen "
        "trial and of the baselines; the others are deleted once they are scored, and one that is needed after all is "
        "trained again. all: every one. It changes no result.",
        examples=["all"],
    )

    def content(self) -> dict[str, Any]:
        """Return all that decides what a training gives: two settings with the same content give the same model."""
        return self.model_dump(mode="json", exclude={"keep_models"})
