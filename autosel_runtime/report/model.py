"""The versioned contract of ``autosel report RUN --json``: everything a reader of a search needs, as data.

Keys are snake_case. Scores are fractions in 0..1, seconds are wall seconds, digests are ``sha256:<hex>`` and
times are ISO 8601 in UTC. A number that is not known is null, never zero. Fields are only ever added under one
``schema``; a change of meaning gets a new one.
"""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue

SCHEMA = "autosel.dev/report/v1"

SearchState = Literal["running", "suspended", "finished", "failed"]
Role = Literal["search", "untuned", "full_pool", "random_subset"]
TrialState = Literal["pending", "running", "succeeded", "failed", "invalid", "reused"]
Origin = Literal["seed", "warmup", "edit", "random", "llm", "reseed", "baseline"]


class Part(BaseModel):
    """Base of every part of the report: frozen and strict about its fields."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)


class Estimate(Part):
    """A mean with its uncertainty. The interval has the level of ``search.confidence``."""

    value: float = Field(description="The estimate.")
    stderr: float | None = Field(default=None, description="Standard error; null with fewer than two items.")
    low: float | None = Field(default=None, description="Lower end of the interval.")
    high: float | None = Field(default=None, description="Upper end of the interval.")
    items: int | None = Field(default=None, description="Benchmark items behind the estimate.")


class Task(Part):
    """One benchmark of the objective or outside it."""

    name: str = Field(description="Task name.")
    weight: float = Field(description="Weight in the objective; 0 for an out-of-domain task.")


class SearchInfo(Part):
    """Which search this is and how it was set up."""

    name: str = Field(description="Name of the RecipeSearch.")
    namespace: str | None = Field(default=None, description="Kubernetes namespace.")
    state: SearchState = Field(description="State when the report was written.")
    message: str = Field(default="", description="Why the search is in that state.")
    started: str | None = Field(default=None, description="Start, ISO 8601.")
    finished: str | None = Field(default=None, description="End, ISO 8601.")
    model: str = Field(description="The model that is tuned.")
    method: str = Field(description="Fine-tuning method: full or lora.")
    seed: int = Field(description="Seed of the search.")
    proposer: str = Field(description="Where candidates come from.")
    ranker: str = Field(description="How candidates are ordered.")
    confidence: float = Field(description="Level of all intervals in this report.")
    search_fraction: float = Field(description="Share of each task's items that the search saw.")
    tasks: tuple[Task, ...] = Field(description="Benchmarks of the objective.")
    out_of_domain: tuple[Task, ...] = Field(default=(), description="Benchmarks that are only reported.")


class BudgetUse(Part):
    """What was spent and what was allowed. A null limit means none was set."""

    evaluations: int = Field(description="Distinct subsets trained and scored by the search.")
    evaluations_limit: int = Field(description="Most evaluations.")
    accelerator_seconds: float | None = Field(
        default=None, description="Accelerator seconds of train and evaluate."
    )
    accelerator_seconds_limit: int | None = Field(default=None, description="Most accelerator seconds.")
    seconds: float | None = Field(default=None, description="Wall seconds since the start.")
    deadline_seconds: int | None = Field(default=None, description="Most wall seconds.")


class Step(Part):
    """One recipe step, as data and in words."""

    operator: str = Field(description="Operator name.")
    params: dict[str, JsonValue] = Field(description="Parameters.")
    words: str = Field(description="The step in plain English.")
    kept: int | None = Field(default=None, description="Samples after the step, when its trace is known.")
    dropped: int | None = Field(
        default=None, description="Samples the step dropped, when its trace is known."
    )


class StepUse(Part):
    """Time and tokens of one kind of step."""

    step: str = Field(description="prepare, score, suggest, materialize, train, evaluate or report.")
    runs: int = Field(default=1, description="Runs of the step, retries included.")
    seconds: float = Field(description="Wall seconds, summed over the runs.")
    accelerator_seconds: float | None = Field(default=None, description="Wall seconds times accelerators.")
    tokens: int | None = Field(default=None, description="Tokens that went through a model.")


class Trial(Part):
    """One trial: a recipe with what became of it, or a baseline."""

    name: str = Field(description="Name of the RecipeTrial.")
    ordinal: int = Field(description="Number of the trial in the search; baselines have their own.")
    role: Role = Field(description="search, or which baseline it is.")
    state: TrialState = Field(description="reused: same subset as an earlier trial, whose score it shares.")
    origin: Origin = Field(description="Where the recipe came from.")
    phase: int = Field(description="Reseeds before it was proposed.")
    parent: int | None = Field(default=None, description="Ordinal of the trial whose recipe was edited.")
    steps: tuple[Step, ...] = Field(default=(), description="The recipe; empty keeps the whole pool.")
    words: str = Field(description="The recipe in plain English.")
    changes: tuple[str, ...] = Field(
        default=(), description="The edits that made it from its parent, in words."
    )
    rationale: str = Field(default="", description="Why the proposer suggested it.")
    recipe_digest: str | None = Field(default=None, description="Identity of the recipe.")
    subset_digest: str | None = Field(default=None, description="Identity of the realised subset.")
    size: int | None = Field(default=None, description="Samples in the subset.")
    retain: float | None = Field(default=None, description="Share of the pool in the subset.")
    state_vector: dict[str, float] = Field(default_factory=dict, description="Summary of the subset.")
    score: Estimate | None = Field(default=None, description="Objective on the search half.")
    tasks: dict[str, Estimate] = Field(default_factory=dict, description="Search-half score by task.")
    prediction_mean: float | None = Field(
        default=None, description="The surrogate's mean before the trial ran."
    )
    prediction_deviation: float | None = Field(
        default=None, description="The surrogate's standard deviation."
    )
    message: str = Field(default="", description="Why it failed, is invalid, or whose score it shares.")
    model: str | None = Field(default=None, description="Where the tuned model lies in the store.")
    model_dropped: bool = Field(
        default=False, description="The model was deleted as no longer needed (training.keepModels)."
    )
    use: tuple[StepUse, ...] = Field(default=(), description="Time and tokens by step.")
    started: str | None = Field(default=None, description="Start, ISO 8601.")
    finished: str | None = Field(default=None, description="End, ISO 8601.")


class CurvePoint(Part):
    """The incumbent after one more evaluation."""

    evaluation: int = Field(description="Evaluations so far, from 1.")
    trial: str = Field(description="The trial just evaluated.")
    incumbent: str = Field(description="The incumbent after it.")
    score: Estimate = Field(description="Search-half score of the incumbent.")


class Incumbent(Part):
    """The chosen recipe."""

    trial: str = Field(description="Name of the trial.")
    why: str = Field(description="Why it was chosen, in one sentence.")
    recipe_yaml: str = Field(description="The recipe, ready for a recipe file.")
    optimism: float | None = Field(
        default=None,
        description="Search-half minus report-half score; choosing the best of many makes it lean above zero.",
    )


class HalfScores(Part):
    """Scores of one trial on items that the search never saw."""

    trial: str = Field(description="Name of the trial.")
    role: Role = Field(description="Its role.")
    overall: Estimate | None = Field(default=None, description="Weighted mean over the tasks.")
    tasks: dict[str, Estimate] = Field(description="Score by task.")


class Gain(Part):
    """The incumbent minus one baseline, paired by item on the report half."""

    baseline: str = Field(description="Name of the baseline trial.")
    role: Role = Field(description="Which baseline.")
    difference: Estimate = Field(description="Weighted mean of the tasks' paired differences.")
    conclusive: bool = Field(description="True when the interval excludes zero.")
    tasks: dict[str, Estimate] = Field(description="Paired difference by task.")


class Transfer(Part):
    """The chosen subset and the baselines, trained into another model."""

    model: str = Field(description="The model.")
    scores: tuple[HalfScores, ...] = Field(description="Report-half scores, one entry a trial.")


class Histogram(Part):
    """One signal over the pool and over the chosen subset, on shared edges.

    ``pool`` and ``subset`` count rows by bin; the first and last bins also hold the rows beyond them, so that
    counts and ``missing`` add up to the rows.
    """

    signal: str = Field(description="Name of the signal.")
    edges: tuple[float, ...] = Field(description="Bin edges, one more than bins; empty without values.")
    pool: tuple[int, ...] = Field(description="Pool rows by bin.")
    subset: tuple[int, ...] = Field(description="Chosen rows by bin.")
    pool_missing: int = Field(description="Pool rows without a value.")
    subset_missing: int = Field(description="Chosen rows without a value.")
    pool_mean: float | None = Field(default=None, description="Mean over the pool.")
    subset_mean: float | None = Field(default=None, description="Mean over the chosen rows.")
    shift: float | None = Field(
        default=None,
        description="Difference of the means in pool standard deviations; null when those are zero.",
    )


class SourceShare(Part):
    """One source before and after selection."""

    source: str = Field(description="Source name.")
    pool_rows: int = Field(description="Rows in the pool.")
    subset_rows: int = Field(description="Rows in the chosen subset.")
    pool_share: float = Field(description="Share of the pool.")
    subset_share: float | None = Field(
        default=None, description="Share of the chosen subset; null when there is none."
    )


class Overlap(Part):
    """One task whose questions are in the training data already, word for word."""

    task: str = Field(description="Task name.")
    items: int = Field(description="Items of the task, both halves.")
    in_pool: int = Field(description="Of these, items whose question stands in a sample of the pool.")
    in_targets: int = Field(description="Of these, items whose question stands in a query of a target.")


class Digests(Part):
    """What the results hang on."""

    pool: str | None = Field(default=None, description="Digest of the pool's ids.")
    signals: str | None = Field(default=None, description="Fingerprint of the signals.")
    recipe: str | None = Field(default=None, description="Digest of the chosen recipe.")
    subset: str | None = Field(default=None, description="Digest of the chosen subset.")
    training: str | None = Field(default=None, description="Digest of model and training settings.")
    evaluation: str | None = Field(default=None, description="Digest of tasks and evaluation settings.")


class Report(Part):
    """A whole search, finished or not."""

    schema_name: Literal["autosel.dev/report/v1"] = Field(
        default=SCHEMA, alias="schema", description="Version of this contract."
    )
    search: SearchInfo = Field(description="Which search.")
    budget: BudgetUse = Field(description="Budget spent and allowed.")
    pool_rows: int | None = Field(default=None, description="Rows of the pool.")
    headline: str = Field(description="What was found, in one honest sentence.")
    incumbent: Incumbent | None = Field(
        default=None, description="The chosen recipe, when a trial succeeded."
    )
    trials: tuple[Trial, ...] = Field(description="All trials, by ordinal; baselines last.")
    curve: tuple[CurvePoint, ...] = Field(default=(), description="The incumbent over evaluations.")
    report_half: tuple[HalfScores, ...] = Field(
        default=(), description="Incumbent and baselines on unseen items."
    )
    gains: tuple[Gain, ...] = Field(default=(), description="Incumbent against each baseline.")
    out_of_domain: tuple[HalfScores, ...] = Field(default=(), description="Scores outside the objective.")
    transfer: tuple[Transfer, ...] = Field(default=(), description="Scores of other models.")
    signals: tuple[Histogram, ...] = Field(
        default=(), description="Signals of the pool and the chosen subset."
    )
    sources: tuple[SourceShare, ...] = Field(default=(), description="Source mix before and after.")
    overlap: tuple[Overlap, ...] = Field(
        default=(),
        description="Tasks whose questions also stand in the pool or the targets, the largest share first.",
    )
    cost: tuple[StepUse, ...] = Field(
        default=(), description="Time and tokens by kind of step, over the whole search."
    )
    versions: dict[str, str] = Field(default_factory=dict, description="Versions of the software used.")
    digests: Digests = Field(default=Digests(), description="Digests.")
    warnings: tuple[str, ...] = Field(
        default=(), description="What a reader should know before trusting the numbers."
    )


def report_json(report: Report) -> str:
    """Return the report as indented JSON text with keys in the order of the contract, ending in a newline."""
    return report.model_dump_json(by_alias=True, indent=2) + "\n"


def parse_report(text: str | bytes) -> Report:
    """Return the report in JSON ``text``; pydantic's ValidationError names the field that does not fit."""
    return Report.model_validate_json(text)
