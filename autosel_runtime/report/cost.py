"""What a search cost, by step, and what it spent of its budget."""

from math import fsum

from autosel_runtime.api.recipe_search import RecipeSearch
from autosel_runtime.report.inputs import ReportInputs
from autosel_runtime.report.model import BudgetUse, StepUse, Trial

STEP_ORDER = ("prepare", "score", "suggest", "materialize", "train", "evaluate", "report")


def budget_use(search: RecipeSearch, inputs: ReportInputs, trials: tuple[Trial, ...]) -> BudgetUse:
    """Return what was spent beside its limits."""
    budget = search.spec.budget
    spent = [
        use.accelerator_seconds
        for trial in trials
        if trial.role == "search"
        for use in trial.use
        if use.step in ("train", "evaluate") and use.accelerator_seconds is not None
    ]
    return BudgetUse(
        evaluations=sum(trial.role == "search" and trial.state == "succeeded" for trial in trials),
        evaluations_limit=budget.evaluations,
        accelerator_seconds=fsum(spent) if spent else None,
        accelerator_seconds_limit=budget.accelerator_seconds,
        seconds=inputs.progress.seconds,
        deadline_seconds=budget.deadline_seconds,
    )


def total_cost(inputs: ReportInputs) -> tuple[StepUse, ...]:
    """Return the sums over all trials and the search itself, by step, in the order of the steps."""
    uses = [*inputs.progress.use, *(use for trial in inputs.trials for use in trial.use)]
    names = sorted({use.step for use in uses}, key=lambda name: (*STEP_ORDER, name).index(name))
    total: list[StepUse] = []
    for name in names:
        same = [use for use in uses if use.step == name]
        accelerator = [use.accelerator_seconds for use in same if use.accelerator_seconds is not None]
        tokens = [use.tokens for use in same if use.tokens is not None]
        total.append(
            StepUse(
                step=name,
                runs=sum(use.runs for use in same),
                seconds=fsum(use.seconds for use in same),
                accelerator_seconds=fsum(accelerator) if accelerator else None,
                tokens=sum(tokens) if tokens else None,
            )
        )
    return tuple(total)
