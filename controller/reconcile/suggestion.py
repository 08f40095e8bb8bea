"""The next trial: asked of a suggest step, whose answer becomes the durable intent."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from autosel_runtime.api.search import Recipe
from controller.reconcile import keys
from controller.reconcile.budget import Usage
from controller.reconcile.chains import Link, Prepared, view_step
from controller.reconcile.history import records
from controller.reconcile.model import Observed, StepRequest, Trial
from controller.reconcile.models import unneeded_models
from controller.reconcile.names import first_free, suggest_name, trial_name
from controller.reconcile.status import Outlook, stopped
from controller.reconcile.trials import TrialView


@dataclass(frozen=True, kw_only=True)
class Draft:
    """Actions collected on the way to a plan."""

    create: tuple[Trial, ...] = ()
    start: tuple[StepRequest, ...] = ()
    waits: tuple[float, ...] = ()
    outlook: Outlook


def suggest(
    observed: Observed,
    prepared: Prepared,
    views: Sequence[TrialView],
    baselines: Sequence[TrialView],
    used: Usage,
) -> Draft | None:
    """Ask for the next trial, or turn the answer into one.

    Trial k is proposed from the outcomes of trials up to k - parallelism, with the later ones pending, so the
    proposals do not depend on which of them finishes first. A trial that was deleted by hand is proposed again, from
    the same history, so it comes back as it was and its steps find their results in the store.
    """
    spec = observed.search.spec
    ordinal = first_free(view.trial.ordinal or 0 for view in views)
    views = [view for view in views if (view.trial.ordinal or 0) < ordinal]
    seen_until = max(0, ordinal - spec.parallelism)
    if used.active >= spec.parallelism or any(not view.terminal for view in views[:seen_until]):
        return None
    inputs: dict[str, Any] = {"history": records(views, seen_until=seen_until), "ordinal": ordinal}
    output = keys.prefix(
        "suggestions", {"signals": prepared.signals, "search": spec.search.model_dump(mode="json"), **inputs}
    )
    more = {
        "pool": prepared.pool,
        "signals": prepared.signals,
        "drop": unneeded_models(prepared, views, baselines, seen_until=seen_until),
    }
    link = Link(step="suggest", suffix="suggest", output=output, inputs={**inputs, **more})
    chain = view_step(link, suggest_name(ordinal), prepared)
    if chain.failed:
        return Draft(outlook=stopped("searching", chain.failed.reason, chain.failed_step))
    if not chain.summaries:
        return Draft(
            start=(chain.next,) if chain.next else (),
            waits=(chain.wait,) if chain.wait else (),
            outlook=Outlook(stage="searching"),
        )
    proposals = chain.summaries[0]["proposals"]
    if not proposals:
        return Draft(outlook=Outlook(stage="searching", stop_reason=str(chain.summaries[0]["exhausted"])))
    return Draft(create=(_trial(proposals[0], ordinal),), outlook=Outlook(stage="searching"))


def _trial(proposal: Mapping[str, Any], ordinal: int) -> Trial:
    return Trial(
        name=trial_name(ordinal),
        role="search",
        ordinal=ordinal,
        recipe=Recipe.model_validate(proposal["recipe"]),
        recipe_digest=proposal["recipe_digest"],
        subset_digest=proposal["subset_digest"],
        size=proposal["size"],
        state_vector=proposal["state_vector"],
        origin=proposal["origin"],
        phase=proposal["phase"],
        parent=proposal["parent"],
        mean=proposal["mean"],
        deviation=proposal["deviation"],
        rationale=proposal["rationale"],
    )
