"""What a report is built from: plain records that a step reads from the store."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from autosel_runtime.api.search import Recipe
from autosel_runtime.recipe.columns import Columns
from autosel_runtime.recipe.model import Mask, StepTrace
from autosel_runtime.report.model import Digests, Origin, Overlap, Role, SearchState, StepUse, TrialState

# task -> item id -> score in 0..1
ItemScores = Mapping[str, Mapping[str, float]]


@dataclass(frozen=True, kw_only=True)
class TaskScore:
    """A task's mean score in 0..1 on some items, with its standard error (None below two items)."""

    score: float
    stderr: float | None
    items: int


@dataclass(frozen=True, kw_only=True)
class TrialInput:
    """One trial or baseline as it stands.

    ``recipe`` is None for the untuned model. ``score`` and ``stderr`` are the objective on the search half in
    0..1; ``tasks`` the search-half scores by task. ``mean`` and ``deviation`` are the surrogate's prediction.
    ``trace`` is that of the recipe's execution, when it is known. ``model`` is the prefix of the tuned model in
    the store, ``model_dropped`` says that it was dropped from there.
    """

    name: str
    ordinal: int
    role: Role
    state: TrialState
    origin: Origin
    phase: int = 0
    parent: int | None = None
    recipe: Recipe | None = None
    recipe_digest: str | None = None
    subset_digest: str | None = None
    size: int | None = None
    state_vector: Mapping[str, float] = field(default_factory=dict[str, float])
    score: float | None = None
    stderr: float | None = None
    tasks: Mapping[str, TaskScore] = field(default_factory=dict[str, TaskScore])
    mean: float | None = None
    deviation: float | None = None
    rationale: str = ""
    message: str = ""
    model: str | None = None
    model_dropped: bool = False
    trace: tuple[StepTrace, ...] = ()
    use: tuple[StepUse, ...] = ()
    started: str | None = None
    finished: str | None = None


@dataclass(frozen=True, kw_only=True)
class SearchProgress:
    """Where the search stands. ``use`` holds the steps that belong to no trial: prepare, score, suggest, report."""

    state: SearchState
    message: str = ""
    started: str | None = None
    finished: str | None = None
    seconds: float | None = None
    use: tuple[StepUse, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Chosen:
    """The incumbent as the search named it, and why."""

    trial: str
    why: str


@dataclass(frozen=True, kw_only=True)
class ReportInputs:
    """Everything a report is built from.

    ``items`` holds the report-half scores by trial name, for the incumbent and the baselines; ``out_of_domain``
    the same on tasks outside the objective; ``transfer`` the report-half scores by model, then by trial name.
    ``columns`` and ``mask`` (the chosen subset, packed bits over pool rows) give the histograms and the source
    mix. ``overlap`` names tasks whose questions stand in the training data; ``overlap_left_out`` more did not fit.
    Without ``chosen`` the succeeded trial with the best search-half score is the incumbent.
    """

    progress: SearchProgress
    trials: tuple[TrialInput, ...]
    chosen: Chosen | None = None
    items: Mapping[str, ItemScores] = field(default_factory=dict[str, ItemScores])
    out_of_domain: Mapping[str, ItemScores] = field(default_factory=dict[str, ItemScores])
    transfer: Mapping[str, Mapping[str, ItemScores]] = field(
        default_factory=dict[str, Mapping[str, ItemScores]]
    )
    columns: Columns | None = None
    mask: Mask | None = None
    overlap: tuple[Overlap, ...] = ()
    overlap_left_out: int = 0
    digests: Digests = field(default_factory=lambda: Digests())
    versions: Mapping[str, str] = field(default_factory=dict[str, str])
    warnings: tuple[str, ...] = ()
