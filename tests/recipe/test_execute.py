"""Execution: chains, traces, prefix cache, hooks, distrust of operators."""

from dataclasses import asdict

import numpy as np
import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autosel_runtime.api.search import Recipe
from autosel_runtime.errors import ConfigError, DataError, ExtensionError
from autosel_runtime.recipe import mask as masks
from autosel_runtime.recipe.catalog import CATALOG
from autosel_runtime.recipe.execute import execute
from autosel_runtime.recipe.hooks import Hook, HookError
from autosel_runtime.recipe.operator import Operator, Outcome, Params, make_catalog
from autosel_runtime.recipe.prefix_cache import PrefixCache
from autosel_runtime.recipe.prepared import prepare
from tests.recipe.pools import make_pool, pools, small_spans

STEPS = [
    {"operator": "random_subset", "params": {"fraction": 0.8}},
    {"operator": "random_subset", "params": {"fraction": 0.5, "strategy": "uniform"}},
    {"operator": "mona_filter", "params": {"fraction": 0.5}},
    {"operator": "mona_filter", "params": {"top_k": 9, "exact_size": True}},
    {"operator": "ifd_filter", "params": {"fraction": 0.6, "missing": "keep"}},
    {"operator": "quality_filter", "params": {"fraction": 0.7, "direction": "lowest", "missing": "keep"}},
    {"operator": "semantic_dedup", "params": {"strategy": "exact"}},
    {"operator": "semantic_dedup", "params": {"threshold": 0.7}},
    {"operator": "union", "params": {"trial": 1}},
]
recipes = st.lists(st.sampled_from(STEPS), max_size=5).map(
    lambda steps: Recipe.model_validate({"steps": steps})
)


def outcome(*args, **kwargs):
    """What an execution tells, times left out; or its error."""
    try:
        done = execute(*args, **kwargs)
    except DataError as error:
        return str(error)
    trace = [{k: v for k, v in asdict(step).items() if k != "seconds"} for step in done.trace]
    return done.mask.tolist(), done.size, trace, dict(done.state)


@settings(deadline=None, max_examples=12)
@given(pools, st.lists(recipes, min_size=2, max_size=4), st.integers(0, 3))
def test_the_prefix_cache_changes_nothing(pool, many, seed):
    unions = {"1": pool.mask}
    cache, tiny = PrefixCache(), PrefixCache(max_bytes=1)
    for recipe in [*many, *many]:
        plain = outcome(recipe, pool.columns, seed=seed, unions=unions)
        assert outcome(recipe, pool.columns, seed=seed, unions=unions, cache=cache) == plain
        assert outcome(recipe, pool.columns, seed=seed, unions=unions, cache=tiny) == plain


@settings(deadline=None, max_examples=20)
@given(pools, recipes, st.sampled_from([2, 4]))
def test_threads_change_nothing(pool, recipe, threads):
    unions = {"1": pool.mask}
    with small_spans(sample=5):
        many = outcome(recipe, pool.columns, seed=3, unions=unions, threads=threads)
        one = outcome(recipe, pool.columns, seed=3, unions=unions)
    assert many == one


@settings(deadline=None, max_examples=30)
@given(pools, recipes)
def test_a_recipe_without_union_only_shrinks(pool, recipe):
    recipe = Recipe(steps=[step for step in recipe.steps if step.operator != "union"])
    found = outcome(recipe, pool.columns, seed=3, start=pool.mask)
    if isinstance(found, str):
        return
    mask, size, trace, state = found
    assert masks.is_subset(np.array(mask, dtype=np.uint8), pool.mask)
    left = len(pool.rows)
    for step in trace:
        assert step["dropped"] == sum(step["reasons"].values())
        assert set(step["examples"]) == set(step["reasons"])
        left -= step["dropped"]
        assert step["kept"] == left
    assert size == left == round(state["retain_ratio"] * pool.columns.rows)


def test_executions_share_prefixes():
    pool, cache = make_pool(5, 60), PrefixCache()
    first = Recipe.model_validate({"steps": [STEPS[0], STEPS[2], STEPS[6]]})
    second = Recipe.model_validate({"steps": [STEPS[0], STEPS[2], STEPS[7]]})
    execute(first, pool.columns, seed=1, cache=cache)
    assert (cache.hits, cache.misses) == (0, 3)
    execute(second, pool.columns, seed=1, cache=cache)
    assert (cache.hits, cache.misses) == (2, 4)
    execute(first, pool.columns, seed=2, cache=cache)
    assert cache.hits == 2, "another seed is another result"


def test_the_cache_knows_the_content_of_a_union_and_its_pool():
    pool, cache = make_pool(5, 60), PrefixCache()
    recipe = Recipe.model_validate({"steps": [STEPS[2], STEPS[8]]})
    few, all_rows = masks.from_rows(np.array([1]), 60), masks.full(60)
    a = execute(recipe, pool.columns, seed=1, cache=cache, unions={"1": few})
    b = execute(recipe, pool.columns, seed=1, cache=cache, unions={"1": all_rows})
    assert (a.size < 60, b.size) == (True, 60)
    with pytest.raises(ConfigError, match="another pool"):
        execute(recipe, make_pool(6, 60).columns, seed=1, cache=cache, unions={"1": few})


def test_a_result_may_be_written_without_harm_to_the_cache():
    pool, cache = make_pool(5, 60), PrefixCache()
    recipe = Recipe.model_validate({"steps": [STEPS[2]]})
    first = execute(recipe, pool.columns, seed=1, cache=cache)
    size = first.size
    first.mask[:] = 0
    again = execute(recipe, pool.columns, seed=1, cache=cache)
    assert again.size == masks.count(again.mask) == size


def test_subsets_of_prepared_columns_are_known_to_unions():
    pool = make_pool(5, 60)
    few = masks.from_rows(np.array([1, 2]), 60)
    prepared = prepare(pool.columns, subsets={"1": few})
    recipe = Recipe.model_validate({"steps": [{"operator": "ifd_filter", "params": {"top_k": 3}}, STEPS[8]]})
    found = execute(recipe, prepared, seed=1, cache=PrefixCache())
    assert masks.is_subset(few, found.mask)
    with pytest.raises(DataError, match="no known subset"):
        execute(recipe, prepared, seed=1, unions={})


def test_seed_and_position_decide_a_draw():
    pool = make_pool(5, 60)
    draw = {"operator": "random_subset", "params": {"size": 20}}
    fixed = {"operator": "random_subset", "params": {"size": 20, "seed": 4}}
    rows = lambda steps, seed: execute(  # noqa: E731
        Recipe.model_validate({"steps": steps}), pool.columns, seed=seed
    ).mask.tolist()
    assert rows([draw], 1) == rows([draw], 1)
    assert rows([draw], 1) != rows([draw], 2)
    assert rows([fixed], 1) == rows([fixed], 2)
    everything = {"operator": "random_subset", "params": {"fraction": 1.0}}
    assert rows([draw], 1) != rows([everything, draw], 1)
    assert rows([fixed], 1) == rows([everything, fixed], 1)


def test_the_empty_recipe_keeps_the_pool_and_the_trace_is_plain_data():
    pool = make_pool(5, 60)
    done = execute(Recipe(steps=[]), pool.columns, seed=1)
    assert (done.size, done.trace) == (60, ())
    done = execute(Recipe.model_validate({"steps": STEPS[:1]}), pool.columns, seed=1)
    line = orjson.loads(orjson.dumps(asdict(done.trace[0])))
    assert line["params"] == {"fraction": 0.8, "strategy": "proportional"}
    assert line["reasons"] == {"not drawn": 12}
    assert len(line["examples"]["not drawn"]) == 8


def test_errors_name_the_step():
    pool = make_pool(5, 60)
    bad = Recipe.model_validate(
        {"steps": [STEPS[0], {"operator": "score_filter", "params": {"signal": "words", "threshold": 1e9}}]}
    )
    with pytest.raises(DataError, match=r"step 2 \(score_filter\): no row of 48 is left \(48 below cut\)"):
        execute(bad, pool.columns, seed=1)
    with pytest.raises(DataError, match="the start mask is no mask over 60 rows"):
        execute(bad, pool.columns, seed=1, start=masks.full(10))


class NoParams(Params):
    """No parameter."""


def strange(name, apply, **more):
    return make_catalog(
        [Operator(name=name, params=NoParams, apply=apply, family="filter", summary="x.", **more)], CATALOG
    )


@pytest.mark.parametrize(
    ("apply", "said"),
    [
        (
            lambda m, c, p, s: Outcome(mask=masks.full(c.rows)),
            "operator odd returned 59 rows that were not in its input",
        ),
        (lambda m, c, p, s: Outcome(mask=np.zeros(3, dtype=np.uint8)), "the result of odd is no mask"),
        (
            lambda m, c, p, s: Outcome(mask=m, reasons={"why": m}),
            "operator odd gives reason 'why' for rows that it kept",
        ),
        (lambda m, c, p, s: None, "operator odd returned NoneType; apply\\(\\) must return an Outcome"),
        (lambda m, c, p, s: Outcome(mask=[1]), "the result of odd is no mask: it is a list"),
        (
            lambda m, c, p, s: Outcome(mask=m, reasons={"why": "x"}),
            "reason 'why' of odd is no mask: it is a str",
        ),
    ],
)
def test_operators_are_not_trusted(apply, said):
    pool = make_pool(5, 60)
    with pytest.raises(ExtensionError, match=said):
        execute_odd(pool, apply)


def test_an_operator_that_keeps_nothing_makes_the_recipe_invalid():
    with pytest.raises(DataError, match="no row of 1 is left"):
        execute_odd(make_pool(5, 60), lambda m, c, p, s: Outcome(mask=masks.empty(c.rows)))


def execute_odd(pool, apply):
    recipe = Recipe.model_validate({"steps": [{"operator": "odd"}]})
    start = masks.from_rows(np.array([3]), 60)
    return execute(recipe, pool.columns, seed=1, catalog=strange("odd", apply), start=start)


def test_an_operator_cannot_write_its_input():
    def write(mask, columns, params, seed):
        mask[0] = 0
        return Outcome(mask=mask)

    recipe = Recipe.model_validate({"steps": [{"operator": "odd"}]})
    with pytest.raises(ValueError, match="read-only"):
        execute(recipe, make_pool(5, 60).columns, seed=1, catalog=strange("odd", write))


def test_rows_dropped_without_a_reason_are_counted():
    recipe = Recipe.model_validate({"steps": [{"operator": "odd"}]})
    first = masks.from_rows(np.array([0]), 60)
    catalog = strange("odd", lambda m, c, p, s: Outcome(mask=first))
    done = execute(recipe, make_pool(5, 60).columns, seed=1, catalog=catalog)
    assert done.trace[0].reasons == {"no reason given": 59}


def test_hooks_see_everything_in_order_and_change_nothing():
    pool, seen = make_pool(5, 60), []
    hook = Hook(
        name="watch",
        before_recipe=lambda e: seen.append(("before_recipe", len(e.recipe.steps))),
        before_step=lambda e: seen.append(("before_step", e.index, masks.count(e.mask))),
        after_step=lambda e: seen.append(("after_step", e.index, e.trace.kept)),
        after_recipe=lambda e: seen.append(("after_recipe", e.execution.size)),
    )
    recipe = Recipe.model_validate({"steps": [STEPS[0], STEPS[2]]})
    plain = execute(recipe, pool.columns, seed=1)
    done = execute(recipe, pool.columns, seed=1, hooks=[hook])
    assert done.mask.tolist() == plain.mask.tolist()
    assert seen == [
        ("before_recipe", 2),
        ("before_step", 0, 60),
        ("after_step", 0, 48),
        ("before_step", 1, 48),
        ("after_step", 1, done.size),
        ("after_recipe", done.size),
    ]

    def meddle(event):
        event.mask[:] = 0

    for name in ("before_step", "after_step"):
        with pytest.raises(HookError, match=f"hook 'bad' failed at {name}: ValueError"):
            execute(recipe, pool.columns, seed=1, hooks=[Hook(name="bad", **{name: meddle})])

    def spoil(event):
        event.trace.reasons.clear()

    cache = PrefixCache()
    for _ in range(2):
        done = execute(
            recipe, pool.columns, seed=1, hooks=[Hook(name="spoil", after_step=spoil)], cache=cache
        )
        assert done.trace[0].reasons == {"not drawn": 12}


def test_hooks_hear_of_an_error_and_do_not_hide_it():
    pool, heard = make_pool(5, 60), []

    def fail(event):
        raise RuntimeError("no disk")

    bad = Recipe.model_validate({"steps": [{"operator": "union", "params": {"trial": 1}}]})
    hooks = [Hook(name="ear", on_error=lambda e: heard.append(e.message)), Hook(name="broken", on_error=fail)]
    with pytest.raises(
        DataError, match=r"step 1 \(union\): trial 1 .*hook 'broken' failed at on_error: RuntimeError"
    ):
        execute(bad, pool.columns, seed=1, hooks=hooks)
    assert heard == ["step 1 (union): trial 1 has no known subset; there are: none"]
