"""RecipeSearch: the one document that describes a search."""

from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import ConfigDict, Field

from autosel_runtime.api.common import API_VERSION, LabelKey, Labels, Model
from autosel_runtime.api.evaluation import Baselines, EvaluationSpec
from autosel_runtime.api.findings import Finding, Ruled, repeated_names
from autosel_runtime.api.pool import PoolSpec, Target
from autosel_runtime.api.resources import Scheduling, StepsSpec, StorageSpec
from autosel_runtime.api.search import Budget, FailurePolicy, SearchSettings
from autosel_runtime.api.signals import SignalsSpec
from autosel_runtime.api.status import RecipeSearchStatus
from autosel_runtime.api.training import ModelRef, TrainingSpec

ResourceName = Annotated[str, Field(min_length=1, max_length=40, pattern=r"^[a-z0-9]([a-z0-9-]*[a-z0-9])?$")]

Annotations = Annotated[dict[LabelKey, Annotated[str, Field(max_length=262_144)]], Field(max_length=256)]


class Metadata(Model):
    """The part of Kubernetes object metadata that autosel reads; other fields are kept out of the model."""

    model_config = ConfigDict(extra="ignore")

    name: ResourceName = Field(description="Name of the search.", examples=["quickstart"])
    namespace: Annotated[str, Field(max_length=63)] | None = Field(
        default=None, description="Namespace, in a cluster.", examples=["ml"]
    )
    uid: Annotated[str, Field(max_length=64)] | None = Field(
        default=None, description="Set by the API server.", examples=["6f1c..."]
    )
    generation: int = Field(default=1, ge=0, le=2**53, description="Set by the API server.", examples=[1])
    labels: Labels = Field(default_factory=dict[str, str], description="Labels.", examples=[{"team": "nlp"}])
    annotations: Annotations = Field(
        default_factory=dict[str, str], description="Annotations.", examples=[{}]
    )


class RecipeSearchSpec(Ruled):
    """What to search for, with what, and for how long."""

    pool: PoolSpec = Field(
        description="The fixed pool.",
        examples=[{"sources": [{"name": "alpaca", "uri": "alpaca.jsonl"}]}],
    )
    model: ModelRef = Field(description="The model that is tuned.", examples=[{"uri": "models/smollm2"}])
    targets: Annotated[list[Target], Field(max_length=64)] = Field(
        default_factory=list[Target],
        description="Query samples by benchmark.",
        examples=[[{"name": "gsm8k", "uri": "targets/gsm8k.jsonl"}]],
    )
    signals: SignalsSpec = Field(
        default=SignalsSpec(),
        description="Per-sample signals.",
        examples=[{"minhash": {"ngram": 5}}],
    )
    search: SearchSettings = Field(
        default=SearchSettings(), description="Search policy.", examples=[{"seed": 42}]
    )
    training: TrainingSpec = Field(
        default=TrainingSpec(),
        description="Fine-tuning of every trial.",
        examples=[{"method": "lora"}],
    )
    evaluation: EvaluationSpec = Field(
        description="Objective and reported benchmarks.",
        examples=[{"tasks": [{"name": "gsm8k", "uri": "gsm8k.jsonl"}]}],
    )
    baselines: Baselines = Field(
        default=Baselines(), description="Reference rows.", examples=[{"untuned": True}]
    )
    budget: Budget = Field(default=Budget(), description="When to stop.", examples=[{"evaluations": 15}])
    parallelism: int = Field(default=1, ge=1, le=256, description="Trials that run at once.", examples=[4])
    failure_policy: FailurePolicy = Field(
        default=FailurePolicy(), description="Retries and limits.", examples=[{"retries": 3}]
    )
    steps: StepsSpec = Field(
        default=StepsSpec(), description="Resources by step.", examples=[{"train": {"cpu": "8"}}]
    )
    scheduling: Scheduling = Field(
        default=Scheduling(), description="Queueing and placement.", examples=[{"queueName": "ml"}]
    )
    storage: StorageSpec = Field(
        default=StorageSpec(),
        description="Where data lies.",
        examples=[{"uri": "s3://ml-data/autosel"}],
    )
    suspend: bool = Field(default=False, description="Start nothing new while true.", examples=[False])
    suspend_policy: Literal["Drain", "Stop"] = Field(
        default="Drain", description="Let running steps finish, or stop them.", examples=["Drain"]
    )
    readiness: Literal["Accepted", "Finished"] = Field(
        default="Accepted", description="When condition Ready turns true.", examples=["Finished"]
    )

    def disagreements(self) -> Iterator[Finding]:
        """What two sections say against each other."""
        if self.parallelism > self.budget.evaluations:
            yield Finding(
                field=("parallelism",),
                message="parallelism must not exceed budget.evaluations",
                reads=(("budget", "evaluations"),),
            )
        if self.search.proposer == "llm" and self.search.llm is None:
            yield Finding(
                field=("search", "proposer"),
                message="search.proposer llm needs search.llm",
                reads=(("search", "llm"),),
            )
        yield from repeated_names(("targets",), [target.name for target in self.targets], "target names")


# Fields of the spec that a running search obeys when they change; all others are fixed at its start.
MUTABLE_FIELDS = frozenset(
    {
        "budget",
        "parallelism",
        "failure_policy",
        "suspend",
        "suspend_policy",
        "readiness",
        "steps",
        "scheduling",
    }
)


def mutability(field: str) -> str:
    """Return the sentence about changes of a field of the spec, named as in documents, and of all below it."""
    names = {info.alias or name: name for name, info in RecipeSearchSpec.model_fields.items()}
    return "May be changed." if names[field] in MUTABLE_FIELDS else "Immutable."


class RecipeSearch(Model):
    """A search for the best data recipe."""

    api_version: Literal["autosel.dev/v1alpha1"] = Field(
        default=API_VERSION, description="API version.", examples=[API_VERSION]
    )
    kind: Literal["RecipeSearch"] = Field(
        default="RecipeSearch", description="Kind.", examples=["RecipeSearch"]
    )
    metadata: Metadata = Field(description="Name and namespace.", examples=[{"name": "quickstart"}])
    spec: RecipeSearchSpec = Field(description="The search.", examples=[{"parallelism": 2}])
    status: RecipeSearchStatus | None = Field(
        default=None,
        description="Written by the controller.",
        examples=[{"summary": {"evaluations": "12/40"}}],
    )
