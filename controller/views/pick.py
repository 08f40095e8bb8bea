"""Which step somebody means: by trial and step, or the one that says most now."""

from collections.abc import Mapping

from autosel_runtime.errors import NoInputError, UsageError
from controller.reconcile.model import StepResult
from controller.reconcile.names import suggest_name, trial_name
from controller.views.snapshot import Snapshot, trial_views


def pick_step(snapshot: Snapshot, *, trial: str | None, step: str | None) -> tuple[str, list[str]]:
    """Return the step that is meant, and others that run as well and could be meant.

    A step that runs comes before one that has ended, a newer one before an older one. UsageError for a trial that does
    not exist, NoInputError for a step that has not begun.
    """
    owner = None if trial is None else _trial(snapshot, trial)
    found = {
        name: result
        for name, result in snapshot.observed.steps.items()
        if (owner is None or _owner(name) in _owners(owner)) and (step is None or _is_step(name, step))
    }
    if not found:
        wanted = " and ".join(
            part for part in (f"trial {owner}" if owner else "", f"step {step!r}" if step else "") if part
        )
        known = ", ".join(sorted(snapshot.observed.steps)[:20]) or "none"
        raise NoInputError(
            f"{snapshot.full_name} has no step for {wanted or 'now'} yet; steps that have begun: {known}"
        )
    chosen = max(found, key=lambda name: _age(found, name, step))
    others = [name for name, result in found.items() if result.state == "running" and name != chosen]
    return chosen, sorted(others)


def _trial(snapshot: Snapshot, text: str) -> str:
    known = [view.trial.name for view in trial_views(snapshot)]
    name = trial_name(int(text)) if text.isascii() and text.isdecimal() else text
    name = name.removeprefix(f"{snapshot.name}-") if name not in known else name
    if name not in known:
        raise UsageError(f"there is no trial {text!r}; there are: {', '.join(known) or 'none yet'}")
    return name


def _owners(trial: str) -> tuple[str, ...]:
    """Return the owners of a trial's steps: itself, and the suggestion that it came from."""
    number = trial.removeprefix("t")
    return (trial, suggest_name(int(number))) if number.isdecimal() else (trial,)


def _owner(name: str) -> str:
    return name.partition(".")[0]


def _is_step(name: str, step: str) -> bool:
    suffix = name.partition(".")[2]
    return step in (name, suffix, suffix.split("-")[0])


def _age(steps: Mapping[str, StepResult], name: str, step: str | None) -> tuple[bool, bool, float, str]:
    result = steps[name]
    return result.state == "running", name.partition(".")[2] == step, result.started_at, name
