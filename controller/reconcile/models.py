"""Tuned models that are needed no more.

A search drops a model by naming it in the inputs of a step that runs anyhow and has access to the store: the next
suggestion while it goes on, the report at its end. What such a step lists depends on the trials alone, so that nothing
has to be remembered, and a step that is repeated drops the same. A model that is needed after all is trained again: see
``chains.view_scores``.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace

from controller.reconcile.chains import Prepared
from controller.reconcile.names import step_name
from controller.reconcile.trials import TrialView

# Trials whose models stay while the search goes on. The choice follows the surrogate's mean, which mostly but not
# always agrees with the best score; a choice beyond these costs one more training.
BEST = 3
DONE = ("succeeded", "failed", "invalid")


def unneeded_models(
    prepared: Prepared,
    trials: Sequence[TrialView],
    baselines: Iterable[TrialView],
    *,
    seen_until: int,
    chosen: int | None = None,
) -> list[str]:
    """Return the prefixes of the models that are needed no more, in order.

    Only trials up to ``seen_until`` count: later ones may still run. Of these the best by score keep theirs, and so do
    the ``chosen`` one and all that were chosen before, which are known by their scores on the report half. A model that
    any other trial or baseline has, too, stays.
    """
    if prepared.spec.training.keep_models == "all":
        return []
    seen = [view for view in trials if (view.trial.ordinal or 0) <= seen_until and view.phase in DONE]
    scored = [view for view in seen if view.score is not None]
    best = sorted(scored, key=lambda view: (-(view.score or 0.0), view.trial.ordinal or 0))[:BEST]
    loose = {view.trial.name for view in seen} - {view.trial.name for view in best}

    def keeps(view: TrialView) -> bool:
        final = step_name(view.trial.name, "evaluate-report") in prepared.steps
        if final or (chosen is not None and view.trial.ordinal == chosen):
            return True
        # A trial that reuses another one's outcome has no model of its own.
        return view.phase != "reused" and view.trial.name not in loose

    needed = {view.model for view in (*trials, *baselines) if keeps(view)}
    return sorted({view.model for view in seen if view.model is not None} - needed)


def with_drops(
    trials: Sequence[TrialView],
    baselines: Sequence[TrialView],
    prepared: Prepared,
    *,
    chosen: int | None,
    finished: bool,
) -> list[TrialView]:
    """Return the trials with ``dropped`` on those whose model a finished step was told to drop.

    None has it when the store refused to delete any: a model that may still be there does not count as dropped.
    """
    if any(result.summary.get("drop_refused") for result in prepared.steps.values()):
        return list(trials)
    newest = max((view.trial.ordinal or 0 for view in trials), default=0)
    # While the search goes on, the newest trial was proposed by the last step that dropped any.
    seen = newest if finished else max(0, newest - prepared.spec.parallelism)
    gone = unneeded_models(prepared, trials, baselines, seen_until=seen, chosen=chosen if finished else None)
    return [replace(view, dropped=True) if view.model in gone else view for view in trials]
