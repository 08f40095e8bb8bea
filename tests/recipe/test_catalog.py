"""Validation, canonical form, identity, and the schemas' own quality."""

import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from autosel_runtime.api.search import Recipe, SearchSettings
from autosel_runtime.errors import ConfigError, DataError
from autosel_runtime.recipe.catalog import CATALOG, canonical_recipe, recipe_digest, validate_recipe
from autosel_runtime.recipe.facts import PoolFacts
from autosel_runtime.recipe.operator import make_catalog
from autosel_runtime.search.edits import edit
from autosel_runtime.search.space import random_step, space_of
from tests.recipe.pools import make_pool

POOL = make_pool(7, 30)


def recipe(*steps):
    return Recipe.model_validate({"steps": [{"operator": name, "params": params} for name, params in steps]})


@pytest.mark.parametrize(
    ("step", "expected"),
    [
        (
            ("ifd_fliter", {}),
            "steps[0].operator: unknown operator 'ifd_fliter' (did you mean ifd_filter?); there are: ",
        ),
        (("qqq", {}), "steps[0].operator: unknown operator 'qqq'; there are: action_object_filter"),
        (
            ("ifd_filter", {"fracton": 0.1}),
            "steps[0].params.fracton: ifd_filter has no such parameter (did you mean "
            "fraction?); there are: fraction, top_k",
        ),
        (("ifd_filter", {}), "steps[0].params: give exactly one of fraction, top_k and threshold"),
        (("ifd_filter", {"fraction": 0.5, "top_k": 3}), "steps[0].params: give exactly one of"),
        (
            ("ifd_filter", {"fraction": 1.5}),
            "steps[0].params.fraction: input should be less than or equal to 1, found 1.5",
        ),
        (("ifd_filter", {"fraction": 0}), "steps[0].params.fraction: input should be greater than 0"),
        (("ifd_filter", {"fraction": float("nan")}), "steps[0].params.fraction: "),
        (
            ("ifd_filter", {"fraction": "0.5"}),
            "steps[0].params.fraction: input should be a valid number, found '0.5'",
        ),
        (("ifd_filter", {"top_k": True}), "steps[0].params.top_k: input should be a valid integer"),
        (
            ("ifd_filter", {"fraction": 0.5, "reject_above_one": "false"}),
            "steps[0].params.reject_above_one: ",
        ),
        (
            ("semantic_dedup", {"strategy": "exat"}),
            "steps[0].params.strategy: input should be 'exact', 'minhash' or",
        ),
        (
            ("semantic_dedup", {"strategy": "exact", "threshold": 0.9}),
            "steps[0].params: threshold does not go with",
        ),
        (("semantic_dedup", {"threshold": 0.3}), "steps[0].params.threshold: 0.3 is below 0.5"),
        (("random_subset", {"size": -5}), "steps[0].params.size: input should be greater than or equal to 1"),
        (("random_subset", {}), "steps[0].params: give exactly one of size and fraction"),
        (("source_mix", {"size": 3}), "steps[0].params.weights: source_mix needs this parameter"),
        (
            ("source_mix", {"size": 3, "weights": {"s0": 0.0}}),
            "steps[0].params: at least one weight must be above 0",
        ),
        (
            ("source_mix", {"size": 3, "weights": {"nope": 1.0}}),
            "steps[0].params.weights: unknown source 'nope'",
        ),
        (
            ("mona_filter", {"fraction": 0.5, "exact_size": True, "combine": "max"}),
            "steps[0].params: exact_size goes",
        ),
        (
            ("mona_filter", {"fraction": 0.5, "benchmarks": ["zzz"]}),
            "steps[0].params: mona_filter needs mona.zzz",
        ),
        (
            ("mona_filter", {"fraction": 0.5, "signal": "relevance"}),
            "steps[0].params: mona_filter needs relevance.*",
        ),
        (
            ("score_filter", {"top_k": 3, "signal": "nope"}),
            "steps[0].params: score_filter needs nope, which the pool",
        ),
        (("union", {"trial": 4}), "steps[0].params.trial: trial 4 has no known subset; there are: 1, 2"),
        (("union", {"trial": "x"}), "steps[0].params.trial: "),
    ],
)
def test_problems_name_place_and_what_is_allowed(step, expected):
    problems = validate_recipe(recipe(step), available=POOL.columns, trials=[1, "2"])
    assert any(problem.startswith(expected) for problem in problems), problems


@pytest.mark.parametrize("trial", ["x", -1, 1.5, [3], None, "sha256:" + "g" * 64])
def test_a_trial_that_is_none_is_one_problem_with_both_forms(trial: object) -> None:
    (problem,) = validate_recipe(recipe(("union", {"trial": trial})))
    assert problem == (
        f"steps[0].params.trial: found {trial!r}; it is the ordinal of a trial (0 to 1,000,000), or the digest of its "
        "recipe (sha256: and 64 hexadecimal digits)"
    )


def test_valid_recipes_have_no_problem():
    good = recipe(
        ("random_subset", {"size": 10}),
        ("mona_filter", {"fraction": 0.5}),
        ("ifd_filter", {"top_k": 3}),
        ("semantic_dedup", {}),
        ("union", {"trial": 1}),
    )
    assert validate_recipe(good, available=POOL.columns, max_steps=5, trials=[1]) == []
    assert validate_recipe(good, CATALOG, POOL.columns.names) == []
    assert validate_recipe(good) == []
    assert validate_recipe(recipe(), available=POOL.columns) == []


def test_all_problems_are_reported_with_their_step():
    problems = validate_recipe(
        recipe(("ifd_filter", {"fraction": 2.0, "nope": 1}), ("quality_filter", {"top_k": 3}), ("x", {})),
        CATALOG,
        frozenset(["ifd"]),
        2,
    )
    assert [problem.split(":")[0] for problem in problems] == [
        "steps",
        "steps[0].params.fraction",
        "steps[0].params.nope",
        "steps[1].params",
        "steps[2].operator",
    ]


def test_canonical_form_fills_defaults_and_normalises_numbers():
    loose = recipe(("semantic_dedup", {}), ("mona_filter", {"fraction": 1, "benchmarks": ["b", "a", "b"]}))
    assert canonical_recipe(loose).model_dump()["steps"] == [
        {
            "operator": "semantic_dedup",
            "params": {"prefer_direction": "highest", "strategy": "minhash", "threshold": 0.8},
        },
        {
            "operator": "mona_filter",
            "params": {
                "fraction": 1.0,
                "direction": "highest",
                "missing": "drop",
                "benchmarks": ["a", "b"],
                "combine": "union",
                "exact_size": False,
            },
        },
    ]
    assert canonical_recipe(canonical_recipe(loose)) == canonical_recipe(loose)


@given(st.sampled_from([0.25, 0.5, 1.0]), st.permutations(["fraction", "direction", "missing"]))
def test_digest_depends_on_meaning_only(fraction, order):
    values = {"fraction": fraction, "direction": "highest", "missing": "drop"}
    written = recipe(("ifd_filter", {key: values[key] for key in order}))
    assert recipe_digest(written) == recipe_digest(recipe(("ifd_filter", {"fraction": fraction})))
    assert recipe_digest(written) != recipe_digest(recipe(("ifd_filter", {"fraction": fraction / 2})))


def test_order_of_steps_is_part_of_the_identity():
    a, b = ("ifd_filter", {"fraction": 0.5}), ("quality_filter", {"fraction": 0.5})
    assert recipe_digest(recipe(a, b)) != recipe_digest(recipe(b, a))


def test_digest_of_an_invalid_recipe_is_an_error():
    with pytest.raises(DataError, match=r"steps\[0\].params.fraction"):
        recipe_digest(recipe(("ifd_filter", {"fraction": 2.0})))


def test_digests_and_results_do_not_depend_on_the_hash_seed():
    code = (
        "from autosel_runtime.api.search import Recipe\n"
        "from autosel_runtime.digest import digest_bytes\n"
        "from autosel_runtime.recipe.catalog import recipe_digest\n"
        "from autosel_runtime.recipe.execute import execute\n"
        "from tests.recipe.pools import make_pool\n"
        "r = Recipe.model_validate({'steps': [{'operator': 'random_subset', 'params': {'fraction': 0.7}},"
        " {'operator': 'source_mix', 'params': {'size': 20, 'weights': {'s0': 2.0}}},"
        " {'operator': 'mona_filter', 'params': {'fraction': 0.5}}]})\n"
        "e = execute(r, make_pool(7, 60).columns, seed=4)\n"
        "print(recipe_digest(r), digest_bytes(e.mask.tobytes()), list(e.state.items()), e.trace[2].reasons)\n"
    )
    outputs = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={"PYTHONHASHSEED": seed, "PYTHONPATH": ":".join(sys.path)},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert len(outputs) == 1


def test_every_field_is_bounded_described_and_has_a_valid_example():
    for operator in CATALOG.values():
        assert operator.summary.endswith(".")
        for name, field in operator.params.model_fields.items():
            place = f"{operator.name}.{name}"
            assert field.description, place
            assert field.examples, place
        for name, field in operator.params.model_json_schema()["properties"].items():
            for option in field.get("anyOf", [field]):
                if option.get("type") in ("integer", "number"):
                    assert {"minimum", "exclusiveMinimum"} & set(option), f"{operator.name}.{name}"
                    assert {"maximum", "exclusiveMaximum"} & set(option), f"{operator.name}.{name}"
                if option.get("type") == "string" and "enum" not in option:
                    assert "maxLength" in option, f"{operator.name}.{name}"


def test_what_a_search_draws_is_a_valid_step():
    """Whatever is drawn and however it is retuned, the catalog has nothing against it on a pool that has it all."""
    facts = PoolFacts(
        names=POOL.columns.names,
        sources=tuple(POOL.columns.source_names),
        floors={
            "minhash": POOL.columns.pairs("minhash").floor,
            "embedding": POOL.columns.pairs("embedding").floor,
        },
    )
    usable = [name for name, operator in CATALOG.items() if operator.searchable or operator.adds]
    space = space_of(CATALOG, facts, SearchSettings(operators=usable))
    assert space.operators.keys() >= {name for name, operator in CATALOG.items() if operator.searchable}
    rng = np.random.default_rng(3)
    seen: set[tuple[str, object]] = set()
    for name, operator in space.operators.items():
        if operator.union_field is not None:
            continue
        alone = replace(space, operators={name: operator})
        made = Recipe(steps=[random_step(operator, rng)])
        for _ in range(60):
            assert validate_recipe(made, available=POOL.columns) == []
            seen |= {(name, value) for value in made.steps[0].params.values() if isinstance(value, str)}
            changed = edit(made, alone, rng)
            made = made if changed is None or len(changed.recipe.steps) != 1 else changed.recipe
    assert {("semantic_dedup", s) for s in ("exact", "minhash", "embedding")} <= seen


def test_two_operators_of_one_name_are_refused():
    with pytest.raises(ConfigError, match="two operators are called 'ifd_filter'"):
        make_catalog([CATALOG["ifd_filter"]], CATALOG)
