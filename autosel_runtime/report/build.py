"""From the records of a search to its report; pure, and the same for the same input."""

from collections.abc import Mapping

import yaml
from pydantic import JsonValue

from autosel_runtime.api.recipe_search import RecipeSearch
from autosel_runtime.api.search import Recipe
from autosel_runtime.errors import DataError
from autosel_runtime.report.changes import changes
from autosel_runtime.report.cost import budget_use, total_cost
from autosel_runtime.report.distributions import histograms, source_mix
from autosel_runtime.report.formats import plural, points, sentence
from autosel_runtime.report.headline import headline, missing_items, overlap_warnings, warnings
from autosel_runtime.report.inputs import ItemScores, ReportInputs, TrialInput
from autosel_runtime.report.model import (
    Digests,
    Gain,
    HalfScores,
    Incumbent,
    Report,
    SearchInfo,
    Step,
    Task,
    Transfer,
    Trial,
)
from autosel_runtime.report.scores import (
    BASELINE_ORDER,
    ItemStatistics,
    Statistics,
    best,
    gain,
    half_scores,
    incumbent_curve,
    normal_estimate,
)
from autosel_runtime.report.words import recipe_words, step_words


def build_report(search: RecipeSearch, inputs: ReportInputs, statistics: Statistics | None = None) -> Report:
    """Return the report of ``search`` as far as it has come.

    ``statistics`` replaces the estimates of ``autosel_runtime.evaluate.statistics``.

    DataError when the inputs name a trial that does not exist, or a mask without columns.
    """
    source = ItemStatistics() if statistics is None else statistics
    if inputs.mask is not None and inputs.columns is None:
        raise DataError("a report with a mask needs the columns of its pool")
    rows = None if inputs.columns is None else inputs.columns.rows
    info = _search_info(search, inputs)
    recipes = {trial.ordinal: trial.recipe for trial in inputs.trials if trial.role == "search"}
    trials = tuple(
        sorted(
            (_trial(trial, recipes, rows, info.confidence) for trial in inputs.trials),
            key=lambda trial: (trial.role != "search", trial.ordinal, trial.name),
        )
    )
    by_name = {trial.name: trial for trial in trials}
    _check_names(inputs, by_name)
    chosen = by_name[inputs.chosen.trial] if inputs.chosen is not None else best(trials)

    weights = {task.name: task.weight for task in info.tasks}
    shown = [chosen] if chosen is not None else []
    shown += [trial for role in BASELINE_ORDER for trial in trials if trial.role == role]
    report_half = _halves(shown, inputs.items, weights, info.confidence, source)
    gains, notes = _gains(chosen, shown, inputs.items, weights, info.confidence, source)
    incumbent = None if chosen is None else _incumbent(chosen, trials, inputs, report_half)
    budget = budget_use(search, inputs, trials)
    return Report(
        search=info,
        budget=budget,
        pool_rows=rows,
        headline=headline(info, budget, chosen, gains, report_half),
        incumbent=incumbent,
        trials=trials,
        curve=incumbent_curve(trials),
        report_half=report_half,
        gains=gains,
        out_of_domain=_halves(
            shown,
            inputs.out_of_domain,
            {task.name: 1.0 for task in info.out_of_domain},
            info.confidence,
            source,
        ),
        transfer=tuple(
            Transfer(model=model, scores=_halves(shown, items, weights, info.confidence, source))
            for model, items in inputs.transfer.items()
        ),
        signals=() if inputs.columns is None else histograms(inputs.columns, inputs.mask),
        sources=() if inputs.columns is None else source_mix(inputs.columns, inputs.mask),
        overlap=inputs.overlap,
        cost=total_cost(inputs),
        versions=dict(sorted(inputs.versions.items())),
        digests=inputs.digests if chosen is None else _digests(inputs.digests, chosen),
        warnings=(
            *inputs.warnings,
            *warnings(trials, incumbent, gains, report_half),
            *notes,
            *overlap_warnings(search.spec, inputs.overlap, inputs.overlap_left_out),
        ),
    )


def recipe_yaml(recipe: Recipe) -> str:
    """Return the recipe as the YAML that a recipe file holds."""
    return yaml.safe_dump(recipe.model_dump(mode="json", by_alias=True), sort_keys=False, allow_unicode=True)


def _search_info(search: RecipeSearch, inputs: ReportInputs) -> SearchInfo:
    spec, progress = search.spec, inputs.progress
    return SearchInfo(
        name=search.metadata.name,
        namespace=search.metadata.namespace,
        state=progress.state,
        message=progress.message,
        started=progress.started,
        finished=progress.finished,
        model=spec.model.uri,
        method=spec.training.method,
        seed=spec.search.seed,
        proposer=spec.search.proposer,
        ranker=spec.search.ranker,
        confidence=spec.evaluation.confidence,
        search_fraction=spec.evaluation.search_fraction,
        tasks=tuple(Task(name=task.name, weight=task.weight) for task in spec.evaluation.tasks),
        out_of_domain=tuple(Task(name=task.name, weight=0.0) for task in spec.evaluation.out_of_domain),
    )


def _trial(
    trial: TrialInput, recipes: Mapping[int, Recipe | None], rows: int | None, confidence: float
) -> Trial:
    recipe = trial.recipe
    parent = None if trial.parent is None else recipes.get(trial.parent)
    return Trial(
        name=trial.name,
        ordinal=trial.ordinal,
        role=trial.role,
        state=trial.state,
        origin=trial.origin,
        phase=trial.phase,
        parent=trial.parent,
        steps=() if recipe is None else _steps(recipe, trial),
        words="The model as it is, without training." if recipe is None else recipe_words(recipe),
        changes=() if recipe is None or parent is None else changes(parent, recipe),
        rationale=trial.rationale,
        recipe_digest=trial.recipe_digest,
        subset_digest=trial.subset_digest,
        size=trial.size,
        retain=None if trial.size is None or not rows else trial.size / rows,
        state_vector=dict(trial.state_vector),
        score=None if trial.score is None else normal_estimate(trial.score, trial.stderr, confidence),
        tasks={
            name: normal_estimate(task.score, task.stderr, confidence, task.items)
            for name, task in trial.tasks.items()
        },
        prediction_mean=trial.mean,
        prediction_deviation=trial.deviation,
        message=trial.message,
        model=trial.model,
        model_dropped=trial.model_dropped,
        use=trial.use,
        started=trial.started,
        finished=trial.finished,
    )


def _steps(recipe: Recipe, trial: TrialInput) -> tuple[Step, ...]:
    traces = trial.trace if len(trial.trace) == len(recipe.steps) else [None] * len(recipe.steps)
    steps: list[Step] = []
    for step, trace in zip(recipe.steps, traces, strict=True):
        params: dict[str, JsonValue] = step.model_dump(mode="json")["params"]
        steps.append(
            Step(
                operator=step.operator,
                params=params,
                words=step_words(step),
                kept=None if trace is None else trace.kept,
                dropped=None if trace is None else trace.dropped,
            )
        )
    return tuple(steps)


def _check_names(inputs: ReportInputs, trials: Mapping[str, Trial]) -> None:
    named = {
        *inputs.items,
        *inputs.out_of_domain,
        *(name for items in inputs.transfer.values() for name in items),
    }
    if inputs.chosen is not None:
        named.add(inputs.chosen.trial)
    for name in sorted(named - trials.keys()):
        raise DataError(
            f"trial {name!r} is not among the trials of the report: {', '.join(trials) or 'none'}"
        )


def _halves(
    shown: list[Trial],
    items: Mapping[str, ItemScores],
    weights: Mapping[str, float],
    confidence: float,
    statistics: Statistics,
) -> tuple[HalfScores, ...]:
    return tuple(
        half_scores(trial, items[trial.name], weights, confidence, statistics)
        for trial in shown
        if items.get(trial.name)
    )


def _gains(
    chosen: Trial | None,
    shown: list[Trial],
    items: Mapping[str, ItemScores],
    weights: Mapping[str, float],
    confidence: float,
    statistics: Statistics,
) -> tuple[tuple[Gain, ...], list[str]]:
    if chosen is None or not items.get(chosen.name):
        return (), []
    gains: list[Gain] = []
    notes: list[str] = []
    first = items[chosen.name]
    for baseline in shown[1:]:
        second = items.get(baseline.name)
        if not second:
            continue
        found = gain(baseline, first, second, weights, confidence, statistics)
        note = missing_items(baseline.name, first, second)
        gains += [found] if found is not None else []
        notes += [note] if note is not None else []
    return tuple(gains), notes


def _incumbent(
    chosen: Trial, trials: tuple[Trial, ...], inputs: ReportInputs, report_half: tuple[HalfScores, ...]
) -> Incumbent:
    recipe = next(trial.recipe for trial in inputs.trials if trial.name == chosen.name)
    scored = sum(trial.role == "search" and trial.score is not None for trial in trials)
    score = None if chosen.score is None else chosen.score.value
    why = f"Highest search-half score, {points(score)}, of {plural(scored, 'scored trial')}."
    unseen = next((half.overall for half in report_half if half.trial == chosen.name), None)
    return Incumbent(
        trial=chosen.name,
        why=sentence(inputs.chosen.why) if inputs.chosen is not None else why,
        recipe_yaml="" if recipe is None else recipe_yaml(recipe),
        optimism=None if score is None or unseen is None else score - unseen.value,
    )


def _digests(given: Digests, chosen: Trial) -> Digests:
    return given.model_copy(
        update={
            "recipe": given.recipe or chosen.recipe_digest,
            "subset": given.subset or chosen.subset_digest,
        }
    )
