"""More scores for the end of a run: other models, other tasks. Found in the store by content, or made here.

What is made lies where the search's own final steps would put it, so that neither does the other's work again.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from pydantic import ValidationError

from autosel_runtime.api.evaluation import EvaluationSpec, Task
from autosel_runtime.api.recipe_search import RecipeSearchSpec
from autosel_runtime.checkpoint import model_digest, require
from autosel_runtime.errors import ConfigError, DataError, NoInputError
from autosel_runtime.evaluate.results import ITEMS_FILE, item_scores, read_items
from autosel_runtime.report.inputs import ItemScores
from autosel_runtime.report.model import Estimate, Gain, HalfScores, Role
from autosel_runtime.report.scores import BASELINE_ORDER, ItemStatistics
from autosel_runtime.steps.context import StepContext
from autosel_runtime.steps.prepare import load_tasks, tasks_digest
from autosel_runtime.steps.run import run_step
from autosel_runtime.store.publish import find
from controller.local.report import load_run
from controller.local.steps import threads_of
from controller.reconcile import keys
from controller.reconcile.chains import Link, Prepared
from controller.reconcile.names import step_name
from controller.reconcile.search import overview
from controller.reconcile.trials import TrialView, evaluation_link, train_link

Tell = Callable[[str], None]

_WORDS: Mapping[Role, str] = {
    "search": "the chosen subset",
    "full_pool": "the full pool",
    "random_subset": "a random subset",
}
_HOW: Mapping[Role, str] = {
    "untuned": " as it is",
    **{role: f" tuned on {words}" for role, words in _WORDS.items()},
}


@dataclass(frozen=True, kw_only=True)
class Finals:
    """A run with a chosen trial: its baselines by role, and the access to its store."""

    prepared: Prepared
    context: StepContext
    chosen: TrialView
    baselines: Mapping[Role, TrialView]


@dataclass(frozen=True, kw_only=True)
class Scores:
    """Scores of one model, or of one group of tasks: ``halves`` by variant, baselines first, and what the chosen
    variant gains over each baseline, paired by item."""

    label: str
    tasks: tuple[str, ...]
    halves: tuple[HalfScores, ...]
    gains: tuple[Gain, ...]

    def difference(self, task: str | None = None) -> Estimate | None:
        """Return the gain over the most telling baseline: overall, or on one task."""
        if not self.gains:
            return None
        return self.gains[0].difference if task is None else self.gains[0].tasks[task]


def open_finals(folder: Path, *, warn: Tell) -> Finals:
    """Open a run folder that has a trial to choose; ``warn`` is told when the choice may still change."""
    observed, context = load_run(folder)
    view = overview(observed, 0.0)
    chosen = next((one for one in view.trials if one.trial.name == view.state.best), None)
    if view.prepared is None or chosen is None:
        raise DataError(f"{folder} has no finished trial yet: {view.state.message}")
    if not view.state.finished:
        warn(
            f"the search has not ended ({view.state.message}): {chosen.trial.name} is the best trial so far and "
            "may not be the one that is chosen"
        )
    baselines: dict[Role, TrialView] = {
        one.trial.role: one
        for one in view.baselines
        if one.phase == "succeeded" and (one.trial.role != "random_subset" or one.size == chosen.size)
    }
    return Finals(prepared=view.prepared, context=context, chosen=chosen, baselines=baselines)


def own_scores(finals: Finals) -> Scores | None:
    """Return the report-half scores of the search's own model as far as the store has them all."""
    links: dict[Role, Link] = {
        role: evaluation_link(
            finals.prepared, model=view.model, group="objective", half="report", suffix="evaluate-report"
        )
        for role, view in _variants(finals, ("untuned", "full_pool")).items()
    }
    if any(find(finals.context.store, link.output) is None for link in links.values()):
        return None
    spec = finals.prepared.spec
    return _scores(finals, spec.model.uri, links, spec.evaluation.tasks)


def transfer_scores(finals: Finals, model: Path, *, label: str, tell: Tell) -> Scores:
    """Tune ``model`` on the chosen subset and on the full pool; score it so and untuned on the report half."""
    spec, account = finals.prepared.spec, finals.prepared.account
    identity = model_digest(model)
    links: dict[Role, Link] = {}
    if "full_pool" not in finals.baselines:
        tell("the run has no finished full-pool baseline, so there is none to compare with")
    variants: dict[Role, TrialView | None] = {"untuned": None, **_variants(finals, ("full_pool",))}
    for role, view in variants.items():
        tuned: str | None = None
        if view is not None and view.subset is not None and view.subset_digest is not None:
            tuned = keys.model_prefix(spec, account, view.subset_digest, identity)
            train = Link(
                step="train",
                suffix="train-transfer",
                output=tuned,
                inputs={"subset": view.subset, "model": str(model)},
            )
            train = replace(train, inputs={**train.inputs, "again": True})
            _perform(finals, train, f"tuning {label} on {_WORDS[role]}", spec, tell)
        links[role] = evaluation_link(
            finals.prepared,
            model=tuned,
            group="objective",
            half="report",
            suffix="evaluate-transfer",
            base_model=str(model),
            base_digest=identity,
        )
        _perform(finals, links[role], f"scoring {label}{_HOW[role]}", spec, tell)
    return _scores(finals, label, links, spec.evaluation.tasks)


def out_of_domain_scores(finals: Finals, tasks: Sequence[Task] | None, *, tell: Tell) -> Scores:
    """Score the chosen model and the baselines on ``tasks``, those of the specification when None."""
    prepared = finals.prepared if tasks is None else _with_tasks(finals, tasks)
    wanted = prepared.spec.evaluation.out_of_domain
    if not wanted:
        raise ConfigError(
            "the search has no spec.evaluation.outOfDomain; give a list of tasks: --tasks FILE.yaml"
        )
    links: dict[Role, Link] = {}
    for role, view in _variants(finals, ("untuned", "full_pool", "random_subset")).items():
        link = evaluation_link(
            prepared, model=view.model, group="out_of_domain", half="all", suffix="evaluate-ood"
        )
        train = None
        if view.subset is not None and view.model is not None:
            train = train_link(prepared, view.subset, view.model)
        _perform(finals, link, f"scoring {prepared.spec.model.uri}{_HOW[role]}", prepared.spec, tell, train)
        links[role] = link
    return _scores(finals, prepared.spec.model.uri, links, wanted)


def _variants(finals: Finals, roles: Sequence[Role]) -> dict[Role, TrialView]:
    found: dict[Role, TrialView] = {
        role: finals.baselines[role] for role in roles if role in finals.baselines
    }
    found["search"] = finals.chosen
    return found


def _with_tasks(finals: Finals, tasks: Sequence[Task]) -> Prepared:
    """Return the run as if its specification had these out-of-domain tasks."""
    spec = finals.prepared.spec
    content = spec.evaluation.model_dump(by_alias=True)
    content["outOfDomain"] = [task.model_dump(by_alias=True) for task in tasks]
    try:
        evaluation = EvaluationSpec.model_validate(content)
    except ValidationError as error:
        message = str(error.errors()[0]["msg"]).removeprefix("Value error, ")
        raise DataError(f"the tasks do not go with those of the search: {message}") from error
    changed = spec.model_copy(update={"evaluation": evaluation})
    loaded = load_tasks(evaluation, finals.context.base, bring=finals.context.inputs.bring)
    account = {**finals.prepared.account, "tasks_digest": tasks_digest(evaluation, loaded)}
    return replace(finals.prepared, spec=changed, account=account)


def _perform(
    finals: Finals,
    link: Link,
    what: str,
    spec: RecipeSearchSpec,
    tell: Tell,
    train: Link | None = None,
) -> None:
    """Run a step here, unless the store has its result. ``train`` makes its model if that is no longer there."""
    store = finals.context.store
    if find(store, link.output) is not None:
        return
    tell(what)
    # As a step of the search would: the sums of a model depend on the number of threads.
    cpu = spec.steps.train.cpu if link.step == "train" else spec.steps.evaluate.cpu
    require("torch").set_num_threads(threads_of(cpu))
    summary = run_step(
        finals.context.document.model_copy(
            update={
                "step": link.step,
                "name": step_name("by-hand", link.suffix),
                "search": spec,
                "inputs": dict(link.inputs),
                "output": link.output,
            }
        )
    )
    if "missing" in summary and train is not None:
        again = replace(train, inputs={**train.inputs, "again": True})
        _perform(finals, again, "training the model again, which is no longer in the store", spec, tell)
        _perform(finals, link, what, spec, tell)


def _scores(finals: Finals, label: str, links: Mapping[Role, Link], tasks: Sequence[Task]) -> Scores:
    weights = {task.name: task.weight for task in tasks}
    confidence = finals.prepared.spec.evaluation.confidence
    statistics = ItemStatistics()
    names = {role: view.trial.name for role, view in finals.baselines.items()}
    names["search"] = finals.chosen.trial.name
    items: dict[Role, ItemScores] = {role: _items(finals, link) for role, link in links.items()}
    halves = tuple(
        HalfScores(
            trial=names.get(role, role),
            role=role,
            overall=statistics.mean(scored, weights, confidence),
            tasks={name: statistics.mean({name: scored[name]}, {name: 1.0}, confidence) for name in weights},
        )
        for role, scored in items.items()
    )
    gains = [
        _gain(names.get(role, role), role, items["search"], items[role], weights, confidence)
        for role in BASELINE_ORDER
        if role in items
    ]
    return Scores(label=label, tasks=tuple(weights), halves=halves, gains=tuple(gains))


def _gain(
    name: str,
    role: Role,
    first: ItemScores,
    second: ItemScores,
    weights: Mapping[str, float],
    confidence: float,
) -> Gain:
    paired = ItemStatistics().paired
    difference = paired(first, second, weights, confidence)
    low, high = difference.low, difference.high
    return Gain(
        baseline=name,
        role=role,
        difference=difference,
        conclusive=low is not None and high is not None and (low > 0 or high < 0),
        tasks={
            task: paired({task: first[task]}, {task: second[task]}, {task: 1.0}, confidence)
            for task in weights
        },
    )


def _items(finals: Finals, link: Link) -> ItemScores:
    if find(finals.context.store, link.output) is None:
        raise NoInputError(f"{link.output} is not in the store")
    return item_scores(read_items(finals.context.fetch(link.output, [ITEMS_FILE]) / ITEMS_FILE))
