"""The status of a search: a few numbers and conditions, of one size however long the search runs."""

from typing import Annotated, Literal

from pydantic import Field

from autosel_runtime.api.common import Digest, Model, Name, Uri
from autosel_runtime.api.search import Recipe

Time = Annotated[
    str, Field(max_length=40, pattern=r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)$")
]
Text = Annotated[str, Field(max_length=1024)]
Reason = Annotated[
    str, Field(min_length=1, max_length=128, pattern=r"^[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?$")
]
ObjectName = Annotated[str, Field(min_length=1, max_length=63, pattern=r"^[a-z0-9]([a-z0-9-]*[a-z0-9])?$")]
Count = Annotated[int, Field(ge=0, le=1_000_000)]

NOW = "2026-01-01T12:00:00Z"


class Condition(Model):
    """One aspect of the state, in the form that all Kubernetes tools read."""

    type: Annotated[str, Field(min_length=1, max_length=63, pattern=r"^[A-Z][A-Za-z0-9]*$")] = Field(
        description="Ready, Reconciling, Stalled, Succeeded, Suspended or StorageAvailable.",
        examples=["Ready"],
    )
    status: Literal["True", "False", "Unknown"] = Field(description="Whether it holds.", examples=["True"])
    observed_generation: int | None = Field(
        default=None, ge=0, le=2**53, description="Generation that it was computed for.", examples=[1]
    )
    last_transition_time: Time = Field(description="When the status last changed.", examples=[NOW])
    reason: Reason = Field(description="Why, in one word for programs.", examples=["Searching"])
    message: Text = Field(default="", description="Why, for people.", examples=["trial t00003 is training"])


class StepRecord(Model):
    """The newest Job of one step and what came of it; what is recorded here outlives the Job."""

    name: Name = Field(description="Step; with its owner for a step of the search.", examples=["train"])
    attempt: int = Field(ge=1, le=10_000, description="Number of the Job, from 1.", examples=[1])
    restarts: int = Field(
        default=0,
        ge=0,
        le=10_000,
        description="Jobs up to this one that the infrastructure ended; they are no attempts of the step.",
        examples=[0],
    )
    state: Literal["Waiting", "Running", "Succeeded", "Failed"] = Field(
        description="Where the Job stands.", examples=["Succeeded"]
    )
    exit_code: int | None = Field(default=None, ge=-255, le=255, description="Exit code.", examples=[0])
    reason: Reason | None = Field(default=None, description="Why it failed or waits.", examples=["OOMKilled"])
    message: Text = Field(default="", description="The same for people.", examples=["the node was preempted"])
    started_at: Time | None = Field(default=None, description="When the Job began.", examples=[NOW])
    finished_at: Time | None = Field(default=None, description="When it ended.", examples=[NOW])
    summary: Annotated[str, Field(max_length=4096)] = Field(
        default="",
        description="The step's own account: JSON as it was written, since the API server would rewrite its numbers.",
        examples=['{"samples":45000}'],
    )


class SearchProgress(Model):
    """Counts of trials."""

    evaluations: Count = Field(default=0, description="Evaluations paid from the budget.", examples=[12])
    max: Count = Field(default=0, description="Evaluations of the budget.", examples=[40])
    running: Count = Field(default=0, description="Trials that run.", examples=[3])
    pending: Count = Field(default=0, description="Trials that wait.", examples=[1])
    failed: Count = Field(default=0, description="Trials that failed.", examples=[1])
    invalid: Count = Field(default=0, description="Recipes that cannot be trained.", examples=[0])
    reused: Count = Field(default=0, description="Trials answered by an earlier score.", examples=[2])
    stage: Text = Field(default="", description="What happens now.", examples=["scoring the pool, 40 %"])


class BestTrial(Model):
    """The incumbent."""

    trial: ObjectName = Field(description="Trial name.", examples=["quickstart-t00007"])
    score: float = Field(ge=0.0, le=1.0, description="Objective on the search half.", examples=[0.5914])
    stderr: float | None = Field(
        default=None, ge=0.0, le=1.0, description="Standard error of the score.", examples=[0.011]
    )
    recipe_digest: Digest = Field(description="Recipe identity.", examples=["sha256:" + "0" * 64])
    recipe: Recipe | None = Field(
        default=None, description="The recipe.", examples=[{"steps": [{"operator": "ifd_filter"}]}]
    )
    gain: float | None = Field(
        default=None,
        ge=-1.0,
        le=1.0,
        description="Score on the report half minus the full pool's, once the search has ended.",
        examples=[0.021],
    )
    gain_low: float | None = Field(
        default=None, ge=-1.0, le=1.0, description="Lower end of the gain's interval.", examples=[0.004]
    )
    gain_high: float | None = Field(
        default=None, ge=-1.0, le=1.0, description="Upper end of the gain's interval.", examples=[0.038]
    )


class Usage(Model):
    """What the search has used."""

    accelerator_seconds: float = Field(
        default=0.0,
        ge=0.0,
        le=1e12,
        description="Accelerator-seconds of train and evaluate steps.",
        examples=[81234.0],
    )


class ResultSummary(Model):
    """One-line texts for ``kubectl get``."""

    evaluations: Annotated[str, Field(max_length=32)] = Field(
        default="", description="Evaluations done and allowed.", examples=["12/40"]
    )
    best: Annotated[str, Field(max_length=32)] = Field(
        default="", description="Best score in percent.", examples=["59.14"]
    )
    gain: Annotated[str, Field(max_length=64)] = Field(
        default="", description="Gain in points and its interval.", examples=["+2.1 [+0.4, +3.8]"]
    )


class StoreLocation(Model):
    """Where the store of a search is, for those who read its results; how one gets in is not told."""

    uri: Uri = Field(
        description="s3://bucket/prefix, or a folder that the pods see.", examples=["s3://ml-data/autosel"]
    )
    endpoint: Uri | None = Field(
        default=None,
        description="S3 endpoint; the provider's own when left out.",
        examples=["https://s3.example.com"],
    )
    region: Annotated[str, Field(min_length=1, max_length=64)] | None = Field(
        default=None, description="S3 region.", examples=["eu-central-1"]
    )
    path_style: bool = Field(
        default=False, description="Bucket in the path, not in the host.", examples=[True]
    )


class RecipeSearchStatus(Model):
    """Written by the controller only."""

    observed_generation: int | None = Field(
        default=None,
        ge=0,
        le=2**53,
        description="Generation of the spec that this status answers.",
        examples=[1],
    )
    conditions: Annotated[list[Condition], Field(max_length=16)] = Field(
        default_factory=list[Condition],
        description="Ready, Reconciling, Stalled, Succeeded, Suspended.",
        examples=[[{"type": "Ready", "status": "True", "lastTransitionTime": NOW, "reason": "Searching"}]],
    )
    progress: SearchProgress | None = Field(
        default=None, description="Counts of trials.", examples=[{"evaluations": 12, "max": 40}]
    )
    best: BestTrial | None = Field(
        default=None,
        description="The incumbent.",
        examples=[{"trial": "quickstart-t00007", "score": 0.59, "recipeDigest": "sha256:" + "0" * 64}],
    )
    usage: Usage | None = Field(
        default=None, description="What was used.", examples=[{"acceleratorSeconds": 81234.0}]
    )
    summary: ResultSummary | None = Field(
        default=None, description="Texts for the printer columns.", examples=[{"evaluations": "12/40"}]
    )
    steps: Annotated[list[StepRecord], Field(max_length=16)] = Field(
        default_factory=list[StepRecord],
        description="Steps of the search itself: prepare, score, and the newest suggestion, choice and report.",
        examples=[[{"name": "setup.score", "attempt": 1, "state": "Running"}]],
    )
    warnings: Annotated[list[Text], Field(max_length=16)] = Field(
        default_factory=list[str],
        description="What suggestions warned of, each text once.",
        examples=[["seedRecipes[0] is not tried: it keeps 12 samples, fewer than minSamples (100)"]],
    )
    store: StoreLocation | None = Field(
        default=None,
        description="The store with the results: the search's own, or the operator's.",
        examples=[{"uri": "s3://ml-data/autosel"}],
    )
    start_time: Time | None = Field(default=None, description="When the search began.", examples=[NOW])
    completion_time: Time | None = Field(default=None, description="When it ended.", examples=[NOW])
