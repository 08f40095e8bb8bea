"""RecipeTrial: one recipe to train and score. The durable intent, written before any of its steps starts."""

from typing import Annotated, Literal

from pydantic import ConfigDict, Field

from autosel_runtime.api.common import API_VERSION, Digest, Model, Name, Seed
from autosel_runtime.api.search import Recipe
from autosel_runtime.api.status import NOW, Condition, ObjectName, StepRecord, Text

DIGEST = "sha256:" + "0" * 64

TrialRole = Literal["search", "untuned", "full_pool", "random_subset"]
TrialState = Literal["Pending", "Running", "Succeeded", "Failed", "Invalid", "Reused"]
Score = Annotated[float, Field(ge=0.0, le=1.0)]
Quantity = Annotated[float, Field(ge=-1e12, le=1e12)]


class TrialMetadata(Model):
    """The part of object metadata that autosel reads."""

    model_config = ConfigDict(extra="ignore")

    name: ObjectName = Field(description="Search name and ordinal.", examples=["quickstart-t00007"])
    namespace: Annotated[str, Field(max_length=63)] | None = Field(
        default=None, description="Namespace, in a cluster.", examples=["ml"]
    )
    uid: Annotated[str, Field(max_length=64)] | None = Field(
        default=None, description="Set by the API server.", examples=["6f1c2d7e"]
    )


class Prediction(Model):
    """What the surrogate expected before the trial ran."""

    mean: Quantity = Field(description="Expected score.", examples=[0.58])
    deviation: Annotated[float, Field(ge=0.0, le=1e12)] = Field(
        description="Standard deviation of the expectation.", examples=[0.02]
    )


class RecipeTrialSpec(Model):
    """What to try and why. Immutable."""

    search_ref: Annotated[str, Field(min_length=1, max_length=40)] = Field(
        description="Name of the RecipeSearch.", examples=["quickstart"]
    )
    role: TrialRole = Field(
        default="search", description="A trial of the search, or one of the baselines.", examples=["search"]
    )
    ordinal: int | None = Field(
        default=None,
        ge=0,
        le=99_999,
        description="Position in the search; none for a baseline.",
        examples=[7],
    )
    recipe: Recipe = Field(
        description="The recipe.",
        examples=[{"steps": [{"operator": "ifd_filter", "params": {"fraction": 0.5}}]}],
    )
    recipe_digest: Digest = Field(description="Recipe identity.", examples=[DIGEST])
    subset_digest: Digest | None = Field(
        default=None, description="Identity of the realised subset, when known.", examples=[DIGEST]
    )
    size: int | None = Field(
        default=None, ge=0, le=10**12, description="Samples of the realised subset.", examples=[45000]
    )
    origin: Literal["seed", "warmup", "edit", "random", "llm", "reseed", "baseline"] = Field(
        default="baseline", description="Where the recipe came from.", examples=["edit"]
    )
    phase: int = Field(
        default=0, ge=0, le=99_999, description="Reseeds before it was proposed.", examples=[1]
    )
    parent: int | None = Field(
        default=None,
        ge=0,
        le=99_999,
        description="Ordinal of the trial whose recipe was edited.",
        examples=[3],
    )
    seed: Seed = Field(default=0, description="Seed of the proposal.", examples=[42])
    prediction: Prediction | None = Field(
        default=None,
        description="The surrogate's expectation; none while it knows nothing.",
        examples=[{"mean": 0.58, "deviation": 0.02}],
    )
    state_vector: Annotated[dict[Annotated[str, Field(max_length=128)], Quantity], Field(max_length=256)] = (
        Field(
            default_factory=dict[str, float],
            description="Summary of the realised subset.",
            examples=[{"retain": 0.5}],
        )
    )
    rationale: Text = Field(
        default="", description="Why it was proposed.", examples=["lower the IFD fraction"]
    )


class TaskScore(Model):
    """The score of one benchmark."""

    name: Name = Field(description="Task.", examples=["gsm8k"])
    score: Score = Field(description="Score on the search half.", examples=[0.61])
    stderr: Score | None = Field(default=None, description="Its standard error.", examples=[0.013])
    items: Annotated[int, Field(ge=0, le=10**9)] | None = Field(
        default=None, description="Items scored.", examples=[660]
    )


class RecipeTrialStatus(Model):
    """Written by the controller only."""

    observed_generation: int | None = Field(
        default=None, ge=0, le=2**53, description="Generation that this status answers.", examples=[1]
    )
    state: TrialState = Field(
        default="Pending", description="Where the trial stands.", examples=["Succeeded"]
    )
    conditions: Annotated[list[Condition], Field(max_length=16)] = Field(
        default_factory=list[Condition],
        description="Ready, Reconciling, Stalled, Succeeded.",
        examples=[[{"type": "Succeeded", "status": "True", "lastTransitionTime": NOW, "reason": "Scored"}]],
    )
    steps: Annotated[list[StepRecord], Field(max_length=64)] = Field(
        default_factory=list[StepRecord],
        description="Newest attempt of each step.",
        examples=[[{"name": "train", "attempt": 1, "state": "Running"}]],
    )
    score: Score | None = Field(default=None, description="Objective on the search half.", examples=[0.59])
    stderr: Score | None = Field(default=None, description="Its standard error.", examples=[0.011])
    task_scores: Annotated[list[TaskScore], Field(max_length=128)] = Field(
        default_factory=list[TaskScore],
        description="Scores by task.",
        examples=[[{"name": "gsm8k", "score": 0.61}]],
    )
    report_score: Score | None = Field(
        default=None,
        description="Objective on the report half; for the chosen trial and the baselines.",
        examples=[0.58],
    )
    report_stderr: Score | None = Field(default=None, description="Its standard error.", examples=[0.011])
    model: Text = Field(
        default="",
        description="Where the tuned model lies in the store; see modelDropped.",
        examples=["models/0f3a9d5c1b7e24680f3a9d5c"],
    )
    model_dropped: bool = Field(
        default=False,
        description="The model was deleted, as spec.training.keepModels of the search asks for.",
        examples=[True],
    )
    message: Text = Field(default="", description="What happened, for people.", examples=["scored 0.59"])


class RecipeTrial(Model):
    """One recipe to train and score; made by the controller, never by hand."""

    api_version: Literal["autosel.dev/v1alpha1"] = Field(
        default=API_VERSION, description="API version.", examples=[API_VERSION]
    )
    kind: Literal["RecipeTrial"] = Field(default="RecipeTrial", description="Kind.", examples=["RecipeTrial"])
    metadata: TrialMetadata = Field(
        description="Name and namespace.", examples=[{"name": "quickstart-t00007"}]
    )
    spec: RecipeTrialSpec = Field(
        description="What to try.",
        examples=[{"searchRef": "quickstart", "recipe": {"steps": []}, "recipeDigest": DIGEST}],
    )
    status: RecipeTrialStatus | None = Field(
        default=None, description="What came of it.", examples=[{"state": "Running"}]
    )
