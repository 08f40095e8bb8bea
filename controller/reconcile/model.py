"""What reconcile sees and what it decides; plain frozen data, the same on one machine and in a cluster."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from autosel_runtime.api.recipe_search import RecipeSearch
from autosel_runtime.api.resources import StepName
from autosel_runtime.api.search import Recipe

StepState = Literal["running", "succeeded", "failed"]
Role = Literal["search", "untuned", "full_pool", "random_subset"]
TrialPhase = Literal["pending", "running", "succeeded", "reused", "failed", "invalid"]


@dataclass(frozen=True, kw_only=True)
class StepResult:
    """The newest attempt of a step.

    ``attempt`` counts from 1. ``summary`` is the step's own account, empty unless it succeeded; ``reason`` is one
    sentence unless it did. Times are seconds since the epoch of the machine that ran the step and are only shown or
    used for back-off, never compared between machines.
    """

    attempt: int
    state: StepState
    exit_code: int | None = None
    reason: str = ""
    summary: Mapping[str, Any] = field(default_factory=dict[str, Any])
    started_at: float = 0.0
    finished_at: float | None = None
    progress: Mapping[str, Any] | None = None


@dataclass(frozen=True, kw_only=True)
class Trial:
    """One recipe to try: the durable intent, written before any of its steps starts.

    Baselines have no ordinal. ``subset_digest`` and ``size`` are known from the suggestion; None for a baseline.
    """

    name: str
    role: Role
    recipe: Recipe
    recipe_digest: str
    ordinal: int | None = None
    subset_digest: str | None = None
    size: int | None = None
    state_vector: Mapping[str, float] = field(default_factory=dict[str, float])
    origin: str = "baseline"
    phase: int = 0
    parent: int | None = None
    mean: float | None = None
    deviation: float | None = None
    rationale: str = ""


@dataclass(frozen=True, kw_only=True)
class Observed:
    """Everything reconcile may look at.

    ``steps`` maps step names (``prepare``, ``t00001.train``) to their newest attempt; a recorded outcome stays in it
    after the process or Job is gone. ``warnings`` are those of suggestions whose outcomes are not kept.
    """

    search: RecipeSearch
    uid: str
    started_at: float
    trials: tuple[Trial, ...]
    steps: Mapping[str, StepResult]
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class StepRequest:
    """A step to start: ``name`` and ``attempt`` identify it, ``inputs`` and ``output`` go into its document."""

    name: str
    step: StepName
    attempt: int
    inputs: Mapping[str, Any]
    output: str
    trial: str | None = None


@dataclass(frozen=True, kw_only=True)
class Condition:
    """A condition in the sense of Kubernetes, without its times."""

    type: str
    status: Literal["True", "False", "Unknown"]
    reason: str
    message: str = ""


@dataclass(frozen=True, kw_only=True)
class Cause:
    """The failed step that a search has stopped for. ``alone``: no other had to fail; else it was the last of many."""

    step: str
    alone: bool = True


@dataclass(frozen=True, kw_only=True)
class SearchState:
    """The summary that becomes the status; its size does not grow with the search."""

    conditions: tuple[Condition, ...]
    evaluations: int
    running: int
    failed: int
    invalid: int
    reused: int
    best: str | None
    best_score: float | None
    best_stderr: float | None
    gain: Mapping[str, Any] | None
    accelerator_seconds: float
    finished: bool
    stalled: bool
    message: str
    cause: Cause | None = None
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What to do now: create trials first, then start and stop steps, then write the status.

    ``requeue_after`` is the number of seconds after which to look again even if nothing happens; None waits for an
    event.
    """

    create: tuple[Trial, ...]
    start: tuple[StepRequest, ...]
    stop: tuple[str, ...]
    state: SearchState
    requeue_after: float | None
