"""materialize: execute a recipe and write its subset: mask, ids, training file, trace, state vector."""

import io
import time
from collections.abc import Iterator
from dataclasses import asdict

import numpy as np
import orjson

from autosel_runtime.api.search import Recipe
from autosel_runtime.errors import DataError
from autosel_runtime.pool.pool import Pool
from autosel_runtime.recipe.execute import execute
from autosel_runtime.recipe.mask import rows_of, subset_digest
from autosel_runtime.recipe.model import Execution
from autosel_runtime.steps.catalog import catalog_of, hooks_of
from autosel_runtime.steps.context import StepContext, StepOutput
from autosel_runtime.steps.data import SubsetMasks, open_columns, open_pool, recorded_names
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
        files=subset_files(pool, execution),
        summary={
            "subset_digest": found,
            "size": execution.size,
            "state": recorded_state(execution.state, recorded_names(context.spec, pool)),
            "seconds": round(time.monotonic() - started, 2),
        },
    )


def subset_files(pool: Pool, execution: Execution) -> dict[str, bytes]:
    """Return the files of a subset by name."""
    rows = rows_of(execution.mask, pool.rows)
    ids = pool.ids()
    mask = io.BytesIO()
    np.save(mask, execution.mask, allow_pickle=False)
    return {
        "mask.npy": mask.getvalue(),
        "ids.txt": "".join(f"{ids[int(row)]}\n" for row in rows).encode(),
        "train.jsonl": b"".join(training_lines(pool, rows)),
        "trace.json": orjson.dumps([asdict(step) for step in execution.trace], option=orjson.OPT_INDENT_2),
        "state.json": orjson.dumps(dict(execution.state), option=orjson.OPT_INDENT_2 | orjson.OPT_SORT_KEYS),
    }


def training_lines(pool: Pool, rows: np.ndarray) -> Iterator[bytes]:
    """Yield the training file, one sample a line, in pool order."""
    for sample in pool.samples(rows):
        yield (
            orjson.dumps({"id": sample.id, "messages": [message.as_dict() for message in sample.messages]})
            + b"\n"
        )
