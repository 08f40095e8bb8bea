"""Everything about a search on one page, as data: what it is, how it stands, what it waits for."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from autosel_runtime.progress import format_seconds, plural
from autosel_runtime.report.words import recipe_words
from controller.local.words import progress_words
from controller.reconcile.search import reconcile
from controller.views.rows import Row, Totals, rows, totals
from controller.views.snapshot import Snapshot, State, running_steps


@dataclass(frozen=True, kw_only=True)
class Pod:
    """A pod of a step that runs. ``waits`` is empty when its container runs."""

    name: str
    node: str
    waits: str


@dataclass(frozen=True, kw_only=True)
class Step:
    """A step that has begun and not ended."""

    name: str
    attempt: int
    since: str
    waits: str
    progress: str
    pods: tuple[Pod, ...]


@dataclass(frozen=True, kw_only=True)
class Happening:
    """An event of the search, of a trial, a Job or a pod."""

    time: str
    type: str
    reason: str
    object: str
    message: str
    count: int


@dataclass(frozen=True, kw_only=True)
class Description:
    """A search described. ``next`` says what comes next and what it waits for; scores are fractions."""

    name: str
    namespace: str | None
    state: State
    message: str
    spec: Mapping[str, str]
    conditions: Sequence[Mapping[str, str]]
    totals: Totals
    limits: Sequence[str]
    best: Row | None
    best_recipe: str
    baselines: Sequence[Row]
    steps: Sequence[Step]
    next: str
    events: Sequence[Happening] = field(default_factory=tuple[Happening, ...])


def description(
    snapshot: Snapshot,
    *,
    pods: Mapping[str, Sequence[Pod]] | None = None,
    events: Sequence[Happening] = (),
) -> Description:
    """Describe a search. ``pods`` are those of running steps by step name."""
    every = rows(snapshot)
    best = next((row for row in every if row.best), None)
    trial = next(
        (one for one in snapshot.observed.trials if best is not None and one.name == best.name), None
    )
    return Description(
        name=snapshot.name,
        namespace=snapshot.namespace,
        state=snapshot.state,
        message=snapshot.message,
        spec=_spec_words(snapshot),
        conditions=[
            {key: str(entry.get(key, "")) for key in ("type", "status", "reason", "message")}
            for entry in snapshot.conditions
        ],
        totals=totals(snapshot),
        limits=_limits(snapshot),
        best=best,
        best_recipe="" if trial is None else recipe_words(trial.recipe),
        baselines=[row for row in every if row.role != "search"],
        steps=_steps(snapshot, pods or {}),
        next=next_words(snapshot),
        events=tuple(events),
    )


def next_words(snapshot: Snapshot) -> str:
    """Say what comes next and what it waits for."""
    spec = snapshot.observed.search.spec
    if snapshot.state == "new":
        return snapshot.message
    if snapshot.behind:
        return "the operator looks at the newest change of the spec"
    if snapshot.state == "finished":
        return "nothing: the search has finished; a raised spec.budget.evaluations makes it go on"
    running = running_steps(snapshot)
    if snapshot.state == "failed":
        again = "suspend and resume the search" if snapshot.namespace else "run the search again"
        return f"nothing by itself: mend what the message says, then {again}"
    if spec.suspend:
        drain = f"the end of {_some(list(running))}, then " if running else ""
        resume = f": autosel resume {snapshot.name}" if snapshot.namespace else " in its document"
        return f"{drain}spec.suspend to be false{resume}"
    waiting = sorted(name for name in running if name in snapshot.waits)
    if waiting:
        why = snapshot.waits[waiting[0]]
        return f"{_some(waiting)} to start ({why.reason}: {why.message})"
    if running:
        return f"the end of {_some(list(running))}"
    plan = reconcile(snapshot.observed, snapshot.now)
    if plan.requeue_after is not None:
        return f"a pause of {format_seconds(plan.requeue_after)} before a step that failed is tried again"
    if plan.start:
        return f"the start of {_some([request.name for request in plan.start])}"
    return f"the operator to act: {plan.state.message}"


def _spec_words(snapshot: Snapshot) -> dict[str, str]:
    spec = snapshot.observed.search.spec
    sources = [f"{source.name} ({source.uri})" for source in spec.pool.sources]
    accelerator = spec.steps.train.accelerator
    words = {
        "pool": _some(sources),
        "model": f"{spec.model.uri}, tuned by {spec.training.method}",
        "objective": _some([f"{task.name} x {task.weight:g}" for task in spec.evaluation.tasks]),
        "search": f"{spec.search.proposer} proposals ranked by {spec.search.ranker}, seed {spec.search.seed}",
        "parallelism": f"{plural(spec.parallelism, 'trial')} at once",
        "training": f"{accelerator.count} {accelerator.kind} a trial"
        if accelerator.kind != "none"
        else "no accelerator",
        "store": spec.storage.uri or snapshot.store or "the default one",
    }
    if spec.scheduling.queue_name is not None:
        words["queue"] = spec.scheduling.queue_name
    return words


def _limits(snapshot: Snapshot) -> list[str]:
    budget = snapshot.observed.search.spec.budget
    limits = [plural(budget.evaluations, "evaluation")]
    if budget.accelerator_seconds is not None:
        limits.append(f"{budget.accelerator_seconds / 3600:.3g} accelerator hours")
    if budget.deadline_seconds is not None:
        spent = max(0.0, snapshot.now - snapshot.observed.started_at)
        left = format_seconds(max(0.0, budget.deadline_seconds - spent))
        limits.append(f"{format_seconds(budget.deadline_seconds)} of time ({left} left)")
    return limits


def _steps(snapshot: Snapshot, pods: Mapping[str, Sequence[Pod]]) -> list[Step]:
    found: list[Step] = []
    for name, step in running_steps(snapshot).items():
        why = snapshot.waits.get(name)
        found.append(
            Step(
                name=name,
                attempt=step.attempt,
                since=format_seconds(max(0.0, snapshot.now - step.started_at)),
                waits="" if why is None else f"{why.reason}: {why.message}",
                progress=progress_words(step),
                pods=tuple(pods.get(name, ())),
            )
        )
    return found


def _some(names: list[str]) -> str:
    shown = names[:4]
    more = f" and {len(names) - len(shown)} more" if len(names) > len(shown) else ""
    return ", ".join(shown) + more
