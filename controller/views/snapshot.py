"""One search as it stands at one moment, whether a run folder or a cluster holds it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from controller.kube.podstate import Waiting
from controller.reconcile.model import Observed, StepResult
from controller.reconcile.search import Overview, overview
from controller.reconcile.trials import TrialView

State = Literal["new", "running", "suspended", "finished", "failed"]
STOPPED = 70


@dataclass(frozen=True, kw_only=True)
class Snapshot:
    """A search, its trials and steps.

    ``namespace`` is None for a run folder. ``waits`` says why steps that exist do nothing. ``message`` is what happens
    now, or why nothing does. ``conditions`` are as Kubernetes shows them. ``behind``: the newest change of the spec was
    not looked at yet, so the rest may speak of the one before. ``store`` is where the operator has the results.
    """

    name: str
    namespace: str | None
    observed: Observed
    view: Overview
    state: State
    message: str
    now: float
    waits: Mapping[str, Waiting] = field(default_factory=dict[str, Waiting])
    conditions: Sequence[Mapping[str, Any]] = ()
    behind: bool = False
    store: str | None = None

    @property
    def ended(self) -> bool:
        """Whether nothing more happens by itself."""
        return self.state in ("finished", "failed")

    @property
    def full_name(self) -> str:
        """Namespace and name."""
        return self.name if self.namespace is None else f"{self.namespace}/{self.name}"

    @property
    def exit_code(self) -> int:
        """0, or that of the step that stopped the search."""
        if self.state != "failed":
            return 0
        codes = [
            step.exit_code
            for step in self.observed.steps.values()
            if step.state == "failed" and step.reason == self.message
        ]
        return next((code for code in codes if code is not None and 64 <= code <= 78), STOPPED)


def view_of(observed: Observed, now: float) -> Overview:
    """Return where the search stands."""
    return overview(observed, now)


def trial_views(snapshot: Snapshot) -> list[TrialView]:
    """Return the search's trials in order, then the baselines by name; also before the pool is prepared."""
    if snapshot.view.prepared is not None:
        return [*snapshot.view.trials, *snapshot.view.baselines]
    trials = sorted(snapshot.observed.trials, key=lambda trial: (trial.ordinal is None, trial.name))
    return [TrialView(trial=trial, phase="pending", started=False) for trial in trials]


def steps_of(snapshot: Snapshot, trial: str) -> dict[str, StepResult]:
    """Return the steps of a trial by their name there, in the order in which they began."""
    own = {
        name.partition(".")[2]: step
        for name, step in snapshot.observed.steps.items()
        if name.partition(".")[0] == trial
    }
    return dict(sorted(own.items(), key=lambda item: (item[1].started_at, item[0])))


def running_steps(snapshot: Snapshot) -> dict[str, StepResult]:
    """Return the steps that have begun and not ended, by name."""
    return {name: step for name, step in sorted(snapshot.observed.steps.items()) if step.state == "running"}
