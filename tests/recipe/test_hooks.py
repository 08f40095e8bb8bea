"""Hooks that try to change what they watch."""

import contextlib
from dataclasses import replace

import pytest

from autosel_runtime.api.search import Recipe, RecipeStep
from autosel_runtime.errors import DataError
from autosel_runtime.recipe.execute import execute
from autosel_runtime.recipe.hooks import Hook
from autosel_runtime.recipe.prefix_cache import PrefixCache
from tests.recipe.pools import make_pool

STEPS = [
    {"operator": "random_subset", "params": {"fraction": 0.8}},
    {"operator": "mona_filter", "params": {"fraction": 0.5}},
]


def deface(event):
    """Write into everything that an event leads to, numpy arrays included."""

    def attempt(change):
        with contextlib.suppress(TypeError, ValueError, AttributeError):
            change()

    for step in event.recipe.steps:
        step.params.clear()
        step.params["fraction"] = 0.1
    event.recipe.steps.clear()
    execution = getattr(event, "execution", None)
    for found in (event, execution):
        mask = getattr(found, "mask", None)
        if mask is not None:
            attempt(lambda mask=mask: mask.setflags(write=True))
            attempt(lambda mask=mask: mask.fill(0))
    trace = [] if execution is None else list(execution.trace)
    if getattr(event, "trace", None) is not None:
        trace.append(event.trace)
    for one in trace:
        for mapping in (one.params, one.reasons, one.examples, one.notes):
            mapping.clear()
        object.__setattr__(one, "kept", -1)
    if execution is not None:
        execution.state.clear()
        object.__setattr__(execution, "size", -1)
    object.__setattr__(event, "rows", -1)


@pytest.mark.parametrize("name", ["before_recipe", "before_step", "after_step", "after_recipe", "on_error"])
def test_a_hostile_hook_changes_neither_the_execution_nor_what_the_next_hook_sees(name):
    pool, heard = make_pool(5, 60), []
    recipe = Recipe.model_validate({"steps": STEPS})
    given = recipe.model_copy(deep=True)
    plain = execute(recipe, pool.columns, seed=1)

    def listen(event):
        assert event.rows == 60
        assert event.recipe == canonical
        found = getattr(event, "execution", None) or event
        if name != "on_error" and hasattr(found, "mask"):
            assert found.mask.any()
        heard.append(name)

    canonical = Recipe(
        steps=[RecipeStep(operator=step.operator, params=dict(step.params)) for step in plain.trace]
    )
    hooks = [Hook(name="hostile", **{name: deface}), Hook(name="ear", **{name: listen})]
    if name == "on_error":
        canonical = bad = Recipe.model_validate({"steps": [{"operator": "union", "params": {"trial": 1}}]})
        with pytest.raises(DataError, match="trial 1 has no known subset"):
            execute(bad, pool.columns, seed=1, hooks=hooks)
        assert heard
        return
    cache = PrefixCache()
    for _ in range(2):  # the second time from the cache
        done = execute(recipe, pool.columns, seed=1, hooks=hooks, cache=cache)
        assert done.mask.tolist() == plain.mask.tolist()
        assert (done.size, dict(done.state)) == (plain.size, dict(plain.state))
        assert [replace(one, seconds=0) for one in done.trace] == [
            replace(one, seconds=0) for one in plain.trace
        ]
    assert recipe == given
    assert heard
    small = Recipe.model_validate({"steps": [{"operator": "random_subset", "params": {"fraction": 0.1}}]})
    assert execute(small, pool.columns, seed=1, cache=cache).size == 6
