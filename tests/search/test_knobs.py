"""Compositions keep their sum and their bounds, and conditional knobs come and go with the choice they hang on."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from autosel_runtime.api.search import Recipe, RecipeStep, SearchSettings
from autosel_runtime.errors import ConfigError
from autosel_runtime.recipe.catalog import CATALOG
from autosel_runtime.recipe.facts import PoolFacts
from autosel_runtime.recipe.operator import Tunable
from autosel_runtime.search.features import Point, encoder
from autosel_runtime.search.knobs import MIXED, PARTS, chosen, drawn_value, knob_features, knob_value, moved
from autosel_runtime.search.phases import Phase
from autosel_runtime.search.prompts import proposal_prompt
from autosel_runtime.search.space import operator_problem, random_step, space_of

MIXES = SearchSettings(operators=["source_mix", "semantic_dedup"])
NAMES = frozenset({"exact", "minhash", "embedding"})


def mix_of(sources: int) -> Tunable:
    return Tunable(name="weights", scale="composition", choices=tuple(f"s{i}" for i in range(sources)))


def facts(*sources: str, names: frozenset[str] = NAMES, **floors: float) -> PoolFacts:
    return PoolFacts(names=names, sources=sources, floors=floors)


def test_a_search_that_lists_no_operators_keeps_to_near_duplicates() -> None:
    """What searches did before there was a strategy to tune: the same draws for the same seed."""
    space = space_of(CATALOG, facts("a", "b", minhash=0.5), SearchSettings())
    [knob] = space.operators["semantic_dedup"].knobs
    assert (knob.name, knob.scale, knob.low, knob.high) == ("threshold", "linear", 0.5, 0.99)
    step = random_step(space.operators["semantic_dedup"], np.random.default_rng(4))
    assert step.params == {"threshold": knob_value(knob, float(np.random.default_rng(4).random()))}


def dedup(found: PoolFacts) -> tuple[Tunable, ...]:
    return space_of(CATALOG, found, MIXES).operators["semantic_dedup"].knobs


@given(st.integers(2, 30), st.integers(0, 1000))
def test_weights_sum_to_one_and_an_edit_moves_from_one_source_to_one(sources: int, seed: int) -> None:
    knob, rng = mix_of(sources), np.random.default_rng(seed)
    weights = drawn_value(knob, rng)
    for _ in range(20):
        assert isinstance(weights, dict)
        assert set(weights) <= set(knob.choices)
        assert 1 <= len(weights) <= MIXED
        assert all(abs(w * PARTS - round(w * PARTS)) < 1e-9 and w > 0 for w in weights.values())
        assert abs(sum(weights.values()) - 1.0) < 1e-9
        after = moved(knob, weights, rng, 0.2)
        assert isinstance(after, dict)
        changes = {s: after.get(s, 0.0) - weights.get(s, 0.0) for s in knob.choices}
        assert sorted(np.sign([c for c in changes.values() if abs(c) > 1e-9])) == [-1, 1]
        weights = after


def test_weights_in_other_units_are_moved_too() -> None:
    after = moved(mix_of(2), {"s0": 3.0, "s1": 1.0}, np.random.default_rng(1), 0.01)
    assert after in ({"s0": 0.7, "s1": 0.3}, {"s0": 0.8, "s1": 0.2})
    assert moved(mix_of(2), {"unknown": 1.0}, np.random.default_rng(1), 0.2) is None
    assert moved(mix_of(2), None, np.random.default_rng(1), 0.2) is None


def test_the_surrogate_sees_the_weights_as_shares() -> None:
    knob = mix_of(4)
    assert knob_features(knob, {"weights": {"s0": 3.0, "s2": 1.0}}) == [0.5, -0.25, 0.0, -0.25]
    assert knob_features(knob, None) == knob_features(knob, {}) == [0.0] * 4


def test_a_pool_of_one_source_has_no_mix_and_one_without_pairs_no_such_strategy() -> None:
    with pytest.raises(ConfigError, match="at least two sources"):
        space_of(CATALOG, facts("a"), MIXES)
    two = space_of(CATALOG, facts("a", "b"), MIXES).operators
    assert "source_mix" not in space_of(CATALOG, facts("a", "b"), SearchSettings()).operators, (
        "has to be named"
    )
    assert two["source_mix"].knobs[-1].choices == ("a", "b")
    assert (
        operator_problem("source_mix", CATALOG, facts("a"))
        == "source_mix needs a pool of at least two sources"
    )
    assert operator_problem("source_mix", CATALOG, PoolFacts(names=NAMES)) is None, (
        "not known before the pool is"
    )
    assert dedup(facts("a", "b"))[0].choices == ("minhash", "embedding", "exact")
    assert dedup(facts("a", "b", names=frozenset({"exact"})))[0].choices == ("exact",)
    assert dedup(facts("a", "b", names=frozenset({"exact", "minhash"})))[0].choices == ("minhash", "exact")


def test_thresholds_start_where_pairs_are_stored() -> None:
    _, minhash, embedding = dedup(facts("a", "b", minhash=0.7, embedding=0.95))
    assert (minhash.low, minhash.high) == (0.7, 0.99)
    assert (embedding.low, embedding.high) == (0.95, 0.999)


def test_another_strategy_takes_its_own_threshold() -> None:
    knobs = dedup(facts("a", "b"))
    step = RecipeStep(operator="semantic_dedup", params={"threshold": 0.6, "prefer": "quality"})
    rng = np.random.default_rng(0)
    exact = chosen(knobs, step, knobs[0], "exact", rng).params
    assert exact == {"prefer": "quality", "strategy": "exact"}
    near = chosen(knobs, step, knobs[0], "embedding", rng).params
    assert near["strategy"] == "embedding"
    assert 0.9 <= near["threshold"] <= 0.999


def test_recipes_of_earlier_versions_are_encoded_beside_new_ones() -> None:
    """A history from before there were strategies and mixes to tune is replayed into today's space."""
    space = space_of(CATALOG, facts("a", "b"), MIXES)
    steps = [
        RecipeStep(operator="semantic_dedup", params={"threshold": 0.6}),
        RecipeStep(operator="source_mix", params={"weights": {"a": 2.0, "gone": 1.0}, "size": 10}),
        RecipeStep(operator="semantic_dedup", params={"strategy": "exact"}),
        RecipeStep(operator="semdedup", params={}),
    ]
    points = [Point(recipe=Recipe(steps=[step]), state={"retain_ratio": 0.5}) for step in steps]
    rows = encoder(points, space).recipe(points)
    assert rows.shape[0] == 4
    assert np.isfinite(rows).all()
    assert (rows[0] != rows[2]).any()


def test_the_prompt_tells_of_conditions_and_compositions() -> None:
    space = space_of(CATALOG, facts("a", "b"), MIXES)
    text = proposal_prompt(
        space=space,
        phase=Phase(number=0, anchor=None, previous_anchors=(), stagnation=0, reseed_due=False),
        history=[],
        posterior={},
        informative=False,
        credit={},
        rows=10,
        wanted=2,
    )
    assert "threshold number from 0.9 to 0.999 (with strategy embedding only)" in text
    assert "weights an object of at most 8 weights by source, of a, b" in text
