"""Execute a recipe: fold its operators over a mask, say what each dropped and why, and describe the result."""

import hashlib
import time
from collections.abc import Mapping, Sequence

from autosel_runtime.api.search import Recipe, RecipeStep
from autosel_runtime.digest import digest
from autosel_runtime.errors import AutoselError, DataError, ExtensionError
from autosel_runtime.recipe import mask as masks
from autosel_runtime.recipe.catalog import CATALOG, canonical_step, parse_step
from autosel_runtime.recipe.columns import Columns
from autosel_runtime.recipe.hooks import (
    ErrorEvent,
    Hook,
    RecipeEvent,
    StepEvent,
    tell_error,
    tell_recipe,
    tell_step,
)
from autosel_runtime.recipe.model import Execution, Mask, StepTrace
from autosel_runtime.recipe.operator import Catalog, Operator, Outcome, Params
from autosel_runtime.recipe.prefix_cache import PrefixCache
from autosel_runtime.recipe.prepared import PreparedColumns, prepare
from autosel_runtime.recipe.selection import mix
from autosel_runtime.recipe.spans import SPAN, span_rows
from autosel_runtime.recipe.state import state_vector
from autosel_runtime.recipe.union import UnionParams, trial_key

EXAMPLES = 8
NO_REASON = "no reason given"


def execute(
    recipe: Recipe,
    columns: Columns,
    *,
    seed: int,
    catalog: Catalog = CATALOG,
    unions: Mapping[str, Mask] | None = None,
    start: Mask | None = None,
    hooks: Sequence[Hook] = (),
    cache: PrefixCache | None = None,
    threads: int | None = None,
    drift: bool = True,
) -> Execution:
    """Realise a recipe over a pool.

    ``columns``: of the pool; pass ``prepare(columns)`` to share the pool's constants between executions.
    ``unions``: mask by trial ordinal (as text) or recipe digest; None takes those of prepared columns.
    ``start``: rows to begin with, the whole pool when None. ``threads`` never changes the result. ``drift`` False
    leaves distribution_drift out of the state.

    The result depends on the recipe's canonical form, the columns, ``seed``, ``start`` and the united masks, and
    on nothing else. DataError names the step that is invalid, lacks its signal or leaves no row.
    """
    steps = [parse_step(step, index, catalog) for index, step in enumerate(recipe.steps)]
    whole = Recipe(steps=[canonical_step(operator, params) for operator, params in steps])
    prepared = prepare(columns, threads=threads, subsets=unions)
    if cache is not None:
        prepared = cache.bind(prepared)
    n = prepared.rows
    mask = masks.full(n) if start is None else start.copy()
    masks.check(mask, n, "the start mask")
    key = _first_key(seed, start)
    tell_recipe(hooks, "before_recipe", RecipeEvent(recipe=whole, seed=seed, rows=n))
    trace: list[StepTrace] = []
    for index, (operator, params) in enumerate(steps):
        tell_step(hooks, "before_step", StepEvent(recipe=whole, index=index, rows=n, mask=mask))
        key = _next_key(key, whole.steps[index], params, prepared)
        entry = None if cache is None else cache.get(key)
        if entry is None:
            try:
                entry = _run(operator, params, whole.steps[index], mask, prepared, mix(seed, index))
            except AutoselError as error:
                message = f"step {index + 1} ({operator.name}): {error}"
                said = tell_error(hooks, ErrorEvent(recipe=whole, index=index, rows=n, message=message))
                raise _reworded(error, "; ".join([message, *said])) from error
            if cache is not None:
                cache.put(key, entry)
        mask, step = entry
        trace.append(step)
        tell_step(hooks, "after_step", StepEvent(recipe=whole, index=index, rows=n, mask=mask, trace=step))
    execution = Execution(
        mask=mask if mask.flags.writeable else mask.copy(),
        size=masks.count(mask),
        trace=tuple(trace),
        state=state_vector(mask, prepared, drift=drift),
    )
    tell_recipe(hooks, "after_recipe", RecipeEvent(recipe=whole, seed=seed, rows=n, execution=execution))
    return execution


def _run(
    operator: Operator, params: Params, shown: RecipeStep, mask: Mask, columns: PreparedColumns, seed: int
) -> tuple[Mask, StepTrace]:
    """Apply one operator; its outcome is checked, never trusted."""
    missing = [name for name in operator.needs(params, columns.names) if name not in columns.names]
    if missing:
        listed = ", ".join(sorted(columns.names)) or "none"
        raise DataError(f"needs {', '.join(missing)}, which the pool does not have; there are: {listed}")
    began = time.perf_counter()
    given = mask.view()
    given.setflags(write=False)
    outcome = operator.apply(given, columns, params, seed)
    result = _checked_mask(operator, outcome, mask, columns.rows)
    if not result.any():
        had = masks.count(mask)
        counts = ", ".join(f"{masks.count(m):,} {r}" for r, m in outcome.reasons.items() if m.any())
        raise DataError(f"no row of {had:,} is left" + (f" ({counts})" if counts else ""))
    dropped = masks.without(mask, result)
    reasons = _checked_reasons(operator, outcome, dropped, columns.rows)
    return result, StepTrace(
        operator=operator.name,
        params=dict(shown.params),
        kept=masks.count(result),
        dropped=masks.count(dropped),
        reasons={reason: masks.count(rows) for reason, rows in reasons.items()},
        examples={reason: _first_rows(rows, columns.rows) for reason, rows in reasons.items()},
        seconds=time.perf_counter() - began,
        notes=dict(outcome.notes),
    )


def _checked_mask(operator: Operator, outcome: object, mask: Mask, n: int) -> Mask:
    """Return the rows that an operator keeps; ExtensionError when they are none that it may keep."""
    if not isinstance(outcome, Outcome):
        kind = type(outcome).__name__
        raise ExtensionError(f"operator {operator.name} returned {kind}; apply() must return an Outcome")
    result = outcome.mask
    _check(result, n, f"the result of {operator.name}")
    if not operator.adds and not masks.is_subset(result, mask):
        extra = masks.count(masks.without(result, mask))
        raise ExtensionError(f"operator {operator.name} returned {extra:,} rows that were not in its input")
    return result


def _check(mask: Mask, n: int, what: str) -> None:
    """Check a mask that an operator made: a wrong one is a fault of its code, not of the recipe."""
    try:
        masks.check(mask, n, what)
    except DataError as error:
        raise ExtensionError(str(error)) from error


def _checked_reasons(operator: Operator, outcome: Outcome, dropped: Mask, n: int) -> dict[str, Mask]:
    """Return the reasons that apply, each row under one; ExtensionError if a reason names a row that was kept or two
    reasons name one row."""
    left = dropped
    reasons: dict[str, Mask] = {}
    for reason, rows in outcome.reasons.items():
        _check(rows, n, f"reason {reason!r} of {operator.name}")
        if not masks.is_subset(rows, left):
            raise ExtensionError(
                f"operator {operator.name} gives reason {reason!r} for rows that it kept, "
                "that it never had or that have another reason"
            )
        left = masks.without(left, rows)
        if rows.any():
            reasons[reason] = rows
    if left.any():
        reasons[NO_REASON] = left
    return reasons


def _first_rows(mask: Mask, n: int) -> tuple[int, ...]:
    """Return the first rows of the mask, at most ``EXAMPLES``."""
    found: list[int] = []
    for low in range(0, n, SPAN):
        if mask[low // 8 : (low + SPAN) // 8].any():
            found += span_rows(mask, low, min(low + SPAN, n))[: EXAMPLES - len(found)].tolist()
        if len(found) >= EXAMPLES:
            break
    return tuple(found)


def _reworded(error: AutoselError, message: str) -> AutoselError:
    """Return the same kind of error with another message."""
    if isinstance(error, ExtensionError):
        return type(error)(message, trace=error.trace)
    return type(error)(message)


def _first_key(seed: int, start: Mask | None) -> str:
    return digest({"seed": seed, "start": None if start is None else _content(start)})


def _next_key(key: str, step: RecipeStep, params: Params, columns: PreparedColumns) -> str:
    """Return the digest of everything that the result after one more step depends on."""
    united = None
    if isinstance(params, UnionParams):
        other = columns.subsets.get(trial_key(params.trial))
        united = None if other is None else _content(other)
    return digest({"before": key, "step": step.model_dump(), "united": united})


def _content(mask: Mask) -> str:
    return hashlib.sha256(mask.tobytes()).hexdigest()
