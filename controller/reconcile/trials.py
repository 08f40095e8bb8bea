"""One trial: which of its steps has what outcome, and which step comes next."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from controller.reconcile import keys
from controller.reconcile.chains import ChainView, Link, Prepared, view_scores, view_step
from controller.reconcile.model import StepRequest, Trial, TrialPhase
from controller.reconcile.retry import ENVIRONMENT, INVALID_INPUT


@dataclass(frozen=True, kw_only=True)
class TrialView:
    """A trial and how far it is. ``next`` is the step to start now; ``wait`` the seconds until a retry is due.
    ``tasks`` has the scores that fitted into the step's summary; those left out lie at prefix ``evaluation``.
    ``failed_step``: the step whose sentence ``message`` is. ``blocked``: it failed for a reason that is not the
    recipe's. ``dropped``: the model is no longer in the store. ``twin``: the earlier trial of the same subset, whose
    outcome this one takes over."""

    trial: Trial
    phase: TrialPhase
    started: bool
    score: float | None = None
    stderr: float | None = None
    tasks: Mapping[str, Any] = field(default_factory=dict[str, Any])
    tasks_left_out: int = 0
    evaluation: str | None = None
    subset: str | None = None
    subset_digest: str | None = None
    size: int | None = None
    model: str | None = None
    next: StepRequest | None = None
    wait: float | None = None
    message: str = ""
    failed_step: str | None = None
    blocked: bool = False
    dropped: bool = False
    twin: str | None = None

    @property
    def terminal(self) -> bool:
        """Nothing more will be done for the search half."""
        return self.phase not in ("pending", "running")


def view_trial(trial: Trial, prepared: Prepared, unions: Mapping[str, str]) -> TrialView:
    """Walk the chain materialize, train, evaluate of one trial as far as outcomes exist.

    ``unions`` maps the recipe digests of earlier trials to the prefixes of their subsets.
    """
    spec, account = prepared.spec, prepared.account
    if trial.role == "untuned":
        return _view_evaluation(trial, prepared, model=None, subset=None, size=None, digest=None)

    subset = keys.subset_prefix(prepared.signals, trial.recipe, spec.search.seed, unions)
    materialize = view_step(
        Link(
            step="materialize",
            suffix="materialize",
            output=subset,
            inputs={
                "pool": prepared.pool,
                "signals": prepared.signals,
                "unions": dict(unions),
                "recipe": trial.recipe.model_dump(mode="json"),
                "subset_digest": trial.subset_digest,
            },
        ),
        trial.name,
        prepared,
    )
    if not materialize.summaries:
        return _unfinished(trial, materialize)
    realised = materialize.summaries[0]
    subset_digest, size = str(realised["subset_digest"]), int(realised["size"])

    model = keys.model_prefix(spec, account, subset_digest, str(account["model_digest"]))
    train = view_step(train_link(prepared, subset, model), trial.name, prepared)
    if not train.summaries:
        return _unfinished(trial, train, subset=subset, subset_digest=subset_digest, size=size)
    return _view_evaluation(trial, prepared, model=model, subset=subset, size=size, digest=subset_digest)


def train_link(prepared: Prepared, subset: str, model: str) -> Link:
    """Return the step that tunes the search's model on a subset; ``model`` is the prefix of the result."""
    inputs = {"subset": subset, "model": prepared.spec.model.uri}
    return Link(step="train", suffix="train", output=model, inputs=inputs)


def _view_evaluation(
    trial: Trial,
    prepared: Prepared,
    *,
    model: str | None,
    subset: str | None,
    size: int | None,
    digest: str | None,
) -> TrialView:
    link = evaluation_link(prepared, model=model, group="objective", half="search", suffix="evaluate")
    train = None if subset is None or model is None else train_link(prepared, subset, model)
    evaluate = view_scores(link, train, trial.name, prepared)
    if not evaluate.summaries:
        return _unfinished(trial, evaluate, subset=subset, subset_digest=digest, size=size, model=model)
    summary = evaluate.summaries[0]
    return TrialView(
        trial=trial,
        phase="succeeded",
        started=True,
        score=float(summary["objective"]["mean"]),
        stderr=float(summary["objective"]["stderr"]),
        tasks=summary["tasks"],
        tasks_left_out=int(summary.get("tasks_left_out", 0)),
        evaluation=link.output,
        subset=subset,
        subset_digest=digest,
        size=size,
        model=model,
    )


def evaluation_link(
    prepared: Prepared,
    *,
    model: str | None,
    group: str,
    half: str,
    suffix: str,
    base_model: str | None = None,
    base_digest: str | None = None,
) -> Link:
    """Return the evaluate step of a tuned model (its prefix) or, without one, of the starting weights.

    ``base_model`` and ``base_digest`` replace the search's own model, for transfer.
    """
    identity = model or base_digest or str(prepared.account["model_digest"])
    return Link(
        step="evaluate",
        suffix=suffix,
        inputs={
            "model": model,
            "base_model": base_model or prepared.spec.model.uri,
            "group": group,
            "half": half,
        },
        output=keys.evaluation_prefix(
            prepared.spec, prepared.account, model=identity, group=group, half=half
        ),
    )


def _unfinished(
    trial: Trial,
    chain: ChainView,
    *,
    subset: str | None = None,
    subset_digest: str | None = None,
    size: int | None = None,
    model: str | None = None,
) -> TrialView:
    phase: TrialPhase = "running" if chain.started or subset else "pending"
    message = ""
    if chain.failed is not None:
        phase = "invalid" if chain.failed.exit_code == INVALID_INPUT else "failed"
        message = chain.failed.reason
    return TrialView(
        trial=trial,
        phase=phase,
        started=chain.started or subset is not None,
        subset=subset,
        subset_digest=subset_digest,
        size=size,
        model=model,
        next=chain.next,
        wait=chain.wait,
        message=message,
        failed_step=chain.failed_step,
        blocked=chain.failed is not None and chain.failed.exit_code in ENVIRONMENT,
    )
