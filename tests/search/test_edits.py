"""Typed edits and random recipes stay inside the space."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from autosel_runtime.api.search import Recipe, RecipeStep, SearchSettings
from autosel_runtime.recipe.catalog import CATALOG, validate_recipe
from autosel_runtime.recipe.operator import Tunable
from autosel_runtime.search.edits import edit
from autosel_runtime.search.knobs import knob_unit, knob_value
from autosel_runtime.search.space import random_recipe, structure_problem
from tests.search.worlds import World

SPACE = World().space(SearchSettings(max_steps=4))
DIGEST = "sha256:" + "a" * 64


@settings(max_examples=80, deadline=None)
@given(st.integers(0, 2**31))
def test_random_recipes_and_their_edits_are_valid(seed: int) -> None:
    rng = np.random.default_rng(seed)
    recipe = random_recipe(SPACE, rng)
    assert structure_problem(recipe, SPACE, []) is None
    kinds = set()
    for _ in range(5):
        made = edit(recipe, SPACE, rng, finished=[DIGEST, 3])
        assert made is not None
        kinds.add(made.description.split()[0])
        assert 1 <= len(made.recipe.steps) <= 4
        assert validate_recipe(made.recipe, CATALOG, World().facts.names, 4, trials=[DIGEST]) == []
        recipe = made.recipe
    assert kinds <= {"insert", "delete", "swap", "retune", "replace", "join"}


def test_all_kinds_of_edit_occur() -> None:
    rng = np.random.default_rng(0)
    recipe = Recipe(
        steps=[
            RecipeStep(operator="ifd_filter", params={"fraction": 0.5, "direction": "highest"}),
            RecipeStep(operator="quality_filter", params={"fraction": 0.5}),
        ]
    )
    words = " ".join(
        made.description
        for _ in range(200)
        if (made := edit(recipe, SPACE, rng, finished=[DIGEST])) is not None
    )
    for kind in ("insert", "delete", "swap", "retune", "replace", "join"):
        assert kind in words


def test_rules_refuse_what_they_should() -> None:
    one = RecipeStep(operator="random_subset", params={"fraction": 0.5})
    two = RecipeStep(operator="random_subset", params={"fraction": 0.4})
    union = RecipeStep(operator="union", params={"trial": DIGEST})
    ifd = RecipeStep(operator="ifd_filter", params={"fraction": 0.5})
    cases = {
        "no steps": [],
        "once in a recipe": [one, two],
        "same parameters": [ifd, ifd],
        "no finished trial": [ifd, union],
        "cannot be used": [RecipeStep(operator="nothing", params={})],
        "at most 4": [ifd] * 5,
        "fraction": [RecipeStep(operator="ifd_filter", params={"fraction": 2.0})],
    }
    for words, steps in cases.items():
        problem = structure_problem(Recipe(steps=steps), SPACE, [])
        assert problem is not None, words
        assert words in problem
    assert structure_problem(Recipe(steps=[ifd, union]), SPACE, [DIGEST]) is None


knobs = st.builds(
    lambda low, width, scale, integer: Tunable(
        name="k", scale=scale, low=low, high=low + width, integer=integer
    ),
    st.floats(0.01, 10),
    st.floats(1.5, 1000),
    st.sampled_from(["linear", "log"]),
    st.booleans(),
)


@settings(max_examples=100, deadline=None)
@given(knobs, st.floats(-1, 2))
def test_knobs_stay_in_bounds_and_invert(knob: Tunable, u: float) -> None:
    value = knob_value(knob, u)
    assert isinstance(value, int if knob.integer else float)
    assert knob.low <= value <= knob.high
    assert 0 <= knob_unit(knob, value) <= 1
    if not knob.integer:
        assert abs(knob_unit(knob, value) - min(max(u, 0), 1)) < 0.05
