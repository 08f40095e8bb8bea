"""Reconcile: from what is to what to do next. Pure, idempotent, the same on one machine and in a cluster."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from autosel_runtime.api.search import Recipe
from autosel_runtime.digest import digest
from controller.reconcile import keys
from controller.reconcile.budget import exhausted, too_many_failures, usage
from controller.reconcile.chains import Link, Prepared, view_step
from controller.reconcile.finish import Finish, final_prefixes, finish
from controller.reconcile.model import Observed, Plan, Role, SearchState, StepRequest, Trial
from controller.reconcile.models import with_drops
from controller.reconcile.names import baseline_name
from controller.reconcile.status import Outlook, search_state, stopped
from controller.reconcile.suggestion import Draft, suggest
from controller.reconcile.trials import TrialView, view_trial
from controller.reconcile.warnings import warnings_of


@dataclass(frozen=True, kw_only=True)
class Overview:
    """Where a search stands: what to do next, and the trials and baselines, in order, that this was decided from."""

    plan: Plan
    prepared: Prepared | None
    trials: Sequence[TrialView]
    baselines: Sequence[TrialView]

    @property
    def state(self) -> SearchState:
        """The search in a few numbers."""
        return self.plan.state

    @property
    def chosen(self) -> int | None:
        """The ordinal of the chosen trial, or of the best one so far."""
        best = self._best
        return best.trial.ordinal if best else None

    @property
    def finals(self) -> Mapping[str, Mapping[str, str]]:
        """The prefixes of the final scores by trial and kind."""
        if self.prepared is None:
            return {}
        rows = [
            view for view in [self._best, *self.baselines] if view is not None and view.phase == "succeeded"
        ]
        return {view.trial.name: final_prefixes(view, self.prepared) for view in rows}

    @property
    def _best(self) -> TrialView | None:
        return next((view for view in self.trials if view.trial.name == self.state.best), None)


def reconcile(observed: Observed, now: float) -> Plan:
    """Return what to do next. ``now`` is the shell's clock in seconds since the epoch.

    Doing the plan and calling again with what then is gives the next plan; calling again without doing it gives the
    same plan. Nothing is remembered between calls.
    """
    return overview(observed, now).plan


def overview(observed: Observed, now: float) -> Overview:
    """Return where the search stands and what to do next."""
    prepared, draft = _set_up(observed, now)
    views: list[TrialView] = []
    baselines: list[TrialView] = []
    if prepared is not None:
        views = _search_views(observed, prepared)
        baselines = _baseline_views(observed, prepared)
        draft = _run(observed, prepared, views, baselines, now)
    used = usage(views, observed.steps)
    start, stop = draft.start, ()
    if observed.search.spec.suspend:
        start = ()
        if observed.search.spec.suspend_policy == "Stop":
            stop = tuple(sorted(name for name, step in observed.steps.items() if step.state == "running"))
    state = search_state(observed, views, baselines, used, draft.outlook)
    create = () if observed.search.spec.suspend else draft.create
    wait = min(draft.waits) if draft.waits and not observed.search.spec.suspend else None
    plan = Plan(create=create, start=start, stop=stop, state=state, requeue_after=wait)
    if prepared is not None:
        views = with_drops(views, baselines, prepared, chosen=draft.outlook.chosen, finished=state.finished)
    return Overview(plan=plan, prepared=prepared, trials=views, baselines=baselines)


def _set_up(observed: Observed, now: float) -> tuple[Prepared | None, Draft]:
    """Run prepare, then score; return what the trials stand on once both are done."""
    spec = observed.search.spec
    bare = Prepared(spec=spec, account={}, pool="", signals="", steps=observed.steps, now=now)
    prepare = view_step(
        Link(step="prepare", suffix="prepare", inputs={}, output=keys.prepare_prefix(observed.uid)),
        "setup",
        bare,
    )
    if not prepare.summaries:
        return None, Draft(
            start=(prepare.next,) if prepare.next else (),
            waits=(prepare.wait,) if prepare.wait else (),
            outlook=stopped(
                "preparing the pool", prepare.failed.reason if prepare.failed else None, prepare.failed_step
            ),
        )
    account = prepare.summaries[0]
    pool, signals = str(account["pool"]), keys.signals_prefix(spec, account)
    score = view_step(
        Link(step="score", suffix="score", inputs={"pool": pool, "prepare": account}, output=signals),
        "setup",
        bare,
    )
    if not score.summaries:
        return None, Draft(
            start=(score.next,) if score.next else (),
            waits=(score.wait,) if score.wait else (),
            outlook=stopped(
                "computing signals", score.failed.reason if score.failed else None, score.failed_step
            ),
        )
    return replace(bare, account=account, pool=pool, signals=signals), Draft(
        outlook=Outlook(stage="searching")
    )


def _search_views(observed: Observed, prepared: Prepared) -> list[TrialView]:
    """View the search's trials in order; a trial whose subset an earlier one has takes over that one's outcome."""
    views: list[TrialView] = []
    subsets: dict[str, str] = {}
    by_subset: dict[str, TrialView] = {}
    trials = sorted((t for t in observed.trials if t.role == "search"), key=lambda t: t.ordinal or 0)
    for trial in trials:
        twin = by_subset.get(trial.subset_digest or "")
        view = _reuse(trial, twin) if twin else view_trial(trial, prepared, subsets_of(trial.recipe, subsets))
        views.append(view)
        if view.subset is not None:
            subsets[trial.recipe_digest] = subsets[str(trial.ordinal)] = view.subset
        if trial.subset_digest and twin is None:
            by_subset[trial.subset_digest] = view
    return views


def _baseline_views(observed: Observed, prepared: Prepared) -> list[TrialView]:
    """View the baselines by name: what is made of them must not depend on the order in which a shell lists them."""
    trials = sorted((t for t in observed.trials if t.role != "search"), key=lambda t: t.name)
    return [view_trial(trial, prepared, {}) for trial in trials]


def subsets_of(recipe: Recipe, subsets: Mapping[str, str]) -> dict[str, str]:
    """Return the prefixes of the subsets that a recipe's unions refer to."""
    wanted = {str(step.params.get("trial")) for step in recipe.steps if step.operator == "union"}
    return {name: prefix for name, prefix in subsets.items() if name in wanted}


def _reuse(trial: Trial, twin: TrialView) -> TrialView:
    phase = "reused" if twin.phase == "succeeded" else twin.phase
    return replace(
        twin,
        trial=trial,
        phase=phase,
        next=None,
        wait=None,
        message=f"same subset as {twin.trial.name}",
        twin=twin.trial.name,
    )


def _run(
    observed: Observed,
    prepared: Prepared,
    views: Sequence[TrialView],
    baselines: Sequence[TrialView],
    now: float,
) -> Draft:
    spec = observed.search.spec
    blocked = next((view for view in [*views, *baselines] if view.blocked), None)
    if blocked is not None:
        return Draft(outlook=stopped("searching", blocked.message, blocked.failed_step))
    used = usage(views, observed.steps)
    failures = too_many_failures(spec, used)
    create = list(_early_baselines(observed))
    start, waits = _trial_steps([*views, *baselines], spec.parallelism)
    if failures:
        return Draft(
            start=tuple(start) if used.active else (),
            waits=tuple(waits),
            outlook=_too_many(failures, views),
        )

    stop_reason = exhausted(spec, used, seconds=now - observed.started_at)
    suggestion = None if stop_reason else suggest(observed, prepared, views, baselines, used)
    if suggestion is not None:
        create += suggestion.create
        start += suggestion.start
        waits += suggestion.waits
        if suggestion.outlook.failed:
            return replace(suggestion, create=tuple(create), start=tuple(start))
        stop_reason = suggestion.outlook.stop_reason
    if stop_reason is None or used.active or create:
        return Draft(
            create=tuple(create),
            start=tuple(start),
            waits=tuple(waits),
            outlook=Outlook(stage="searching", stop_reason=stop_reason),
        )
    if used.evaluations == 0:
        return Draft(outlook=Outlook(stage="searching", failed=f"no trial succeeded ({stop_reason})"))
    return _finishing(finish(views, baselines, prepared, warnings_of(observed)), start, waits, stop_reason)


def _finishing(end: Finish, start: list[StepRequest], waits: list[float], stop_reason: str) -> Draft:
    outlook = replace(
        stopped(end.message, end.failed, end.failed_step),
        stop_reason=stop_reason,
        chosen=end.chosen,
        report=end.done.summary if end.done else None,
    )
    return Draft(create=end.create, start=(*start, *end.start), waits=(*waits, *end.waits), outlook=outlook)


def _early_baselines(observed: Observed) -> list[Trial]:
    have = {trial.name for trial in observed.trials}
    wanted = observed.search.spec.baselines
    empty = Recipe(steps=[])
    both: list[tuple[Role, bool]] = [("untuned", wanted.untuned), ("full_pool", wanted.full_pool)]
    return [
        Trial(
            name=baseline_name(role),
            role=role,
            recipe=empty,
            recipe_digest=digest(empty.model_dump(mode="json")),
        )
        for role, on in both
        if on and baseline_name(role) not in have
    ]


def _trial_steps(views: Sequence[TrialView], parallelism: int) -> tuple[list[StepRequest], list[float]]:
    """Start the next step of the trials that hold a slot; trials that have begun keep theirs."""
    open_views = [view for view in views if not view.terminal and view.twin is None]
    held = sorted(open_views, key=lambda view: not view.started)[:parallelism]
    return ([view.next for view in held if view.next], [view.wait for view in held if view.wait is not None])


def _too_many(failures: str, views: Sequence[TrialView]) -> Outlook:
    failed = (view for view in reversed(views) if view.phase in ("failed", "invalid"))
    last = next(failed, None)
    sentence = f"{failures}; the last one: {last.message if last else ''}"
    return stopped("searching", sentence, last.failed_step if last else None, alone=False)
