"""materialize: execute a recipe and write its subset: mask, ids, training file, trace, state vector."""

import time

from autosel_runtime.api.search import Recipe
from autosel_runtime.errors import DataError
from autosel_runtime.recipe.execute import execute
from autosel_runtime.recipe.mask import subset_digest
from autosel_runtime.steps.catalog import catalog_of, hooks_of
from autosel_runtime.steps.context import StepContext, StepOutput
from autosel_runtime.steps.data import SubsetMasks, open_columns, open_pool, recorded_names
from autosel_runtime.steps.kept import fresh
from autosel_runtime.steps.subset import write_subset
from autosel_runtime.steps.summary import recorded_state


def materialize(context: StepContext) -> StepOutput:
    """Execute the recipe of the inputs and check that the subset is the one that was proposed."""
    started = time.monotonic()
    pool = open_pool(context)
    columns = open_columns(context, pool)
    recipe = Recipe.model_validate(context.input("recipe"))
    execution = execute(
        recipe,
        columns,
        seed=context.spec.search.seed,
        catalog=catalog_of(context.spec),
        unions=SubsetMasks(context, context.input("unions")),
        hooks=hooks_of(context.spec),
    )
    found = subset_digest(pool.ids().to_pylist(), execution.mask)
    wanted = context.input("subset_digest")
    if wanted is not None and wanted != found:
        raise DataError(f"the recipe gave subset {found}, but {wanted} was proposed")
    return StepOutput(
        files=dict(write_subset(pool, execution, fresh(context.work / "subset"))),
        summary={
            "subset_digest": found,
            "size": execution.size,
            "state": recorded_state(execution.state, recorded_names(context.spec, pool)),
            "seconds": round(time.monotonic() - started, 2),
        },
    )
