"""What was found, in one sentence that claims no more than the interval allows, and what to know before trusting it."""

from collections.abc import Sequence

from autosel_runtime.api.recipe_search import RecipeSearchSpec
from autosel_runtime.report.formats import THIN, count, interval, percent, plural, points, with_interval
from autosel_runtime.report.inputs import ItemScores
from autosel_runtime.report.model import BudgetUse, Gain, HalfScores, Incumbent, Overlap, SearchInfo, Trial
from autosel_runtime.report.scores import BASELINE_ORDER, ROLE_WORDS

# Below this many items an interval from the normal approximation is rough.
FEW_ITEMS = 100
# Tasks that are named in the warnings; the report's data has all.
MOST_TASKS = 5


def headline(
    search: SearchInfo,
    budget: BudgetUse,
    chosen: Trial | None,
    gains: Sequence[Gain],
    report_half: Sequence[HalfScores],
) -> str:
    """Return the sentence that opens the report."""
    spent = f"{count(budget.evaluations)} of {plural(budget.evaluations_limit, 'evaluation')}"
    if chosen is None or chosen.score is None:
        if search.state == "failed":
            return f"The search failed before any trial succeeded ({spent})."
        if search.state == "finished":
            return f"The search ended without a single trial that succeeded ({spent})."
        return f"No trial has succeeded yet ({spent})."
    level = f"{100 * search.confidence:g}{THIN}%"
    gain = primary_gain(gains)
    if gain is not None:
        return _comparison(chosen, gain, level)
    seen = next((half.overall for half in report_half if half.trial == chosen.name), None)
    if seen is not None:
        return (
            f"The best recipe keeps {_kept(chosen)} and scores {with_interval(seen)} on items the search never saw; "
            "there is no baseline to compare it with."
        )
    later = "" if search.state in ("finished", "failed") else "; unseen items are scored when the search ends"
    return (
        f"After {spent} the best recipe keeps {_kept(chosen)} and scores {with_interval(chosen.score)} "
        f"on the search half{later}."
    )


def primary_gain(gains: Sequence[Gain]) -> Gain | None:
    """Return the comparison that matters most: the full pool, else a random subset, else the untuned model."""
    by_role = {gain.role: gain for gain in gains}
    return next((by_role[role] for role in BASELINE_ORDER if role in by_role), None)


def warnings(
    trials: Sequence[Trial],
    incumbent: Incumbent | None,
    gains: Sequence[Gain],
    report_half: Sequence[HalfScores],
) -> list[str]:
    """Return what a reader should know before trusting the numbers, one sentence each."""
    found: list[str] = []
    tried = [trial for trial in trials if trial.role == "search"]
    lost = [trial for trial in tried if trial.state in ("failed", "invalid")]
    if lost:
        found.append(f"{plural(len(lost), 'trial')} of {len(tried)} failed or could not be trained.")
    if incumbent is None:
        return found
    scored = sum(trial.state == "succeeded" for trial in tried)
    if scored == 1:
        found.append("Only one trial succeeded, so nothing was compared within the search.")
    if report_half and not gains:
        found.append("No baseline was scored, so nothing shows that selecting data helped.")
    primary = primary_gain(gains)
    for gain in gains:
        if gain is not primary and not gain.conclusive:
            found.append(
                f"The gain over {ROLE_WORDS[gain.role]} is {with_interval(gain.difference, signed=True)} points: "
                "the interval includes zero."
            )
    chosen = next((half for half in report_half if half.role == "search"), None)
    few = (
        []
        if chosen is None
        else [
            f"{task} ({score.items})"
            for task, score in chosen.tasks.items()
            if (score.items or 0) < FEW_ITEMS
        ]
    )
    if few:
        found.append(f"Few items on the report half, so wide intervals: {', '.join(few)}.")
    if incumbent.optimism is not None and incumbent.optimism > 0.01:
        found.append(
            f"The chosen recipe scores {points(incumbent.optimism)} points less on the report half than on the search "
            "half; the best of many noisy scores looks better than it is."
        )
    return found


def overlap_warnings(search: RecipeSearchSpec, overlap: Sequence[Overlap], left_out: int) -> list[str]:
    """Return which scores may be too high because the questions are known, and which tasks nobody looked at."""
    found = [
        f"{overlap_words(one.task, one.items, one.in_pool, one.in_targets)}; {_score_of(one)}"
        for one in overlap[:MOST_TASKS]
    ]
    more = len(overlap[MOST_TASKS:]) + left_out
    if more:
        found.append(f"{plural(more, 'more task')} have items that also stand in the pool or the targets.")
    tasks = (*search.evaluation.tasks, *search.evaluation.out_of_domain)
    unseen = [task.name for task in tasks if task.lm_eval is not None]
    if unseen:
        names = ", ".join(unseen[:MOST_TASKS]) + (", ..." if len(unseen) > MOST_TASKS else "")
        found.append(f"Items of lm-evaluation-harness were not looked for in the pool: {names}.")
    return found


def overlap_words(task: str, items: int, in_pool: int, in_targets: int) -> str:
    """Say how many items of a task are in the training data: ``3 of 200 items of task swap also stand in the pool``."""
    if not in_pool:
        return f"{count(in_targets)} of {plural(items, 'item')} of task {task} also stand in the targets"
    words = f"{count(in_pool)} of {plural(items, 'item')} of task {task} also stand in the pool"
    return f"{words}, {count(in_targets)} in the targets" if in_targets else words


def _score_of(overlap: Overlap) -> str:
    if overlap.in_pool:
        return "its score may say what was learnt by heart."
    return "samples like its own questions may be preferred, which new questions would not profit from."


def missing_items(name: str, first: ItemScores, second: ItemScores) -> str | None:
    """Return a warning when baseline ``name`` was scored on other items than the incumbent, else None."""
    total = sum(len(items) for items in first.values())
    shared = sum(len(first[task].keys() & second.get(task, {}).keys()) for task in first)
    other = sum(len(items) for items in second.values())
    if shared == total == other:
        return None
    return (
        f"Baseline {name} shares {count(shared)} items with the incumbent, which has {count(total)}; "
        f"it has {count(other)}. Only shared items are compared."
    )


def _comparison(chosen: Trial, gain: Gain, level: str) -> str:
    against, difference = ROLE_WORDS[gain.role], gain.difference
    size = points(abs(difference.value))
    ends = interval(difference, signed=True)
    bounds = f" ({level} interval {ends})" if ends else ""
    if gain.conclusive and difference.value > 0:
        return (
            f"Training on {_kept(chosen)} beats {against} by {size} points "
            f"on items the search never saw{bounds}."
        )
    if gain.conclusive:
        return (
            f"No recipe found beats {against}: the best one is {size} points behind "
            f"on items the search never saw{bounds}."
        )
    side = "above" if difference.value >= 0 else "below"
    zero = (
        f"the {level} interval, {ends}, includes zero" if ends else "there are too few items for an interval"
    )
    return f"No proven gain: the best recipe is {size} points {side} {against} on unseen items, and {zero}."


def _kept(chosen: Trial) -> str:
    if chosen.retain is None:
        return "its subset" if chosen.size is None else plural(chosen.size, "sample")
    if chosen.retain >= 1:
        return "the whole pool"
    return f"{percent(chosen.retain)} of the pool"
