"""How the search proposes, ranks and stops."""

from typing import Annotated, Any, Literal

from pydantic import Field

from autosel_runtime.api.common import FreeObject, Model, Name, Seed, ShortText
from autosel_runtime.api.uris import WebAddress


class RecipeStep(Model):
    """One operator with its parameters; the operator's own schema checks them."""

    operator: Name = Field(description="Operator name.", examples=["ifd_filter"])
    params: FreeObject = Field(
        default_factory=dict[str, Any],
        description="Parameters; see the operator reference.",
        examples=[{"fraction": 0.5}],
    )


class Recipe(Model):
    """An ordered list of steps; the empty recipe keeps the whole pool."""

    steps: Annotated[list[RecipeStep], Field(max_length=16)] = Field(
        description="Steps in order of execution.",
        examples=[[{"operator": "ifd_filter", "params": {"fraction": 0.5}}]],
    )


class SecretKeyRef(Model):
    """A key of a Secret in the search's namespace; on one machine, an environment variable."""

    name: Annotated[str, Field(min_length=1, max_length=253)] = Field(
        description="Secret name.", examples=["llm-credentials"]
    )
    key: Annotated[str, Field(min_length=1, max_length=253)] = Field(
        description="Key in the Secret; on one machine the environment variable to read.",
        examples=["OPENAI_API_KEY"],
    )


class LlmEndpoint(Model):
    """An OpenAI-compatible endpoint for proposals. The search is complete without one."""

    base_url: WebAddress = Field(description="Base address.", examples=["http://vllm.ml.svc:8000/v1"])
    model: Annotated[str, Field(min_length=1, max_length=256)] = Field(
        description="Model name.", examples=["deepseek-r1"]
    )
    api_key: SecretKeyRef | None = Field(
        default=None,
        description="Where the key lies; none for an open endpoint.",
        examples=[{"name": "llm-credentials", "key": "OPENAI_API_KEY"}],
    )
    temperature: float = Field(
        default=0.6, ge=0.0, le=2.0, description="Sampling temperature.", examples=[0.6]
    )
    timeout_seconds: int = Field(
        default=60, ge=1, le=1200, description="Longest wait for one answer.", examples=[60]
    )
    max_calls: int = Field(default=4, ge=1, le=100, description="Most calls for one proposal.", examples=[4])


class SearchSettings(Model):
    """The search policy; the defaults follow the paper."""

    seed: Seed = Field(default=42, description="Seed of every random choice of the search.", examples=[42])
    warmup: int = Field(
        default=3,
        ge=1,
        le=64,
        description="Probes in the low, middle and high retention zones.",
        examples=[3],
    )
    candidates: int = Field(
        default=32,
        ge=1,
        le=256,
        description="Candidates that are materialised and ranked for each trial; the paper uses 5.",
        examples=[32],
    )
    patience: int = Field(
        default=4, ge=1, le=1000, description="Trials without improvement before reseeding.", examples=[4]
    )
    max_steps: int = Field(default=6, ge=1, le=16, description="Most steps of a recipe.", examples=[6])
    min_samples: int = Field(
        default=16,
        ge=1,
        le=1_000_000_000,
        description="A recipe that leaves fewer samples is not tried.",
        examples=[500],
    )
    proposer: Literal["local_edits", "random", "llm"] = Field(
        default="local_edits",
        description="Where candidates come from; llm falls back to local_edits.",
        examples=["local_edits"],
    )
    ranker: Literal["expected_improvement", "ucb", "random"] = Field(
        default="expected_improvement", description="How candidates are ordered.", examples=["ucb"]
    )
    min_improvement: float = Field(
        default=0.0,
        ge=0.0,
        le=1.0,
        description="Least gain in score (0..1) that counts as improvement.",
        examples=[0.002],
    )
    operators: Annotated[list[Name], Field(min_length=1, max_length=64)] | None = Field(
        default=None,
        description="Operators that may be proposed; when left out all whose signals exist but source_mix, which "
        "has to be named.",
        examples=[["ifd_filter", "semantic_dedup", "random_subset"]],
    )
    seed_recipes: Annotated[list[Recipe], Field(max_length=32)] = Field(
        default_factory=list[Recipe],
        description="Recipes to try first; they count as warm-up probes.",
        examples=[[{"steps": [{"operator": "random_subset", "params": {"fraction": 0.5}}]}]],
    )
    extensions: Annotated[list[ShortText], Field(max_length=16)] = Field(
        default_factory=list[str],
        description="Importable modules with operators, signals and hooks.",
        examples=[["my_team.recipes"]],
    )
    llm: LlmEndpoint | None = Field(
        default=None,
        description="Endpoint of the llm proposer.",
        examples=[{"baseUrl": "http://localhost:8000/v1", "model": "qwen3"}],
    )


class Budget(Model):
    """When the search ends. Raising a budget makes a finished search go on."""

    evaluations: int = Field(
        default=15,
        ge=1,
        le=1000,
        description="Full evaluations: distinct subsets trained and scored.",
        examples=[15],
    )
    accelerator_seconds: int | None = Field(
        default=None,
        ge=1,
        le=10_000_000_000,
        description="Most accelerator-seconds of train and evaluate steps.",
        examples=[1000000],
    )
    deadline_seconds: int | None = Field(
        default=None,
        ge=1,
        le=31_536_000,
        description="Longest time from the start; running trials are finished.",
        examples=[604800],
    )


class FailurePolicy(Model):
    """What is tried again and when the search gives up."""

    retries: int = Field(
        default=3,
        ge=0,
        le=100,
        description="New attempts of a step after a transient or infrastructure failure.",
        examples=[3],
    )
    max_failed_trials: int = Field(
        default=10, ge=1, le=1000, description="Failed or invalid trials that stop the search.", examples=[10]
    )
    max_consecutive_failures: int = Field(
        default=4, ge=1, le=1000, description="The same, one directly after another.", examples=[4]
    )
    step_deadline_seconds: int = Field(
        default=86_400, ge=10, le=31_536_000, description="Longest run of one step.", examples=[86400]
    )
