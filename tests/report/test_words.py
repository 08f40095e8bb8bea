"""Recipes and their differences in words."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autosel_runtime.api.search import Recipe, RecipeStep
from autosel_runtime.recipe.catalog import CATALOG, canonical_step, parse_step
from autosel_runtime.report.changes import changes
from autosel_runtime.report.words import recipe_words, step_words
from tests.report.sample import recipe, step

KEEP_UNION = "Keep the 10\u202f% of samples with the highest relevance to each of the targets, joined"
EXAMPLES = [
    (step("ifd_filter", fraction=0.4, direction="lowest"), "Keep the 40\u202f% of samples with the lowest IFD"),
    (step("ifd_filter", top_k=9000, reject_above_one=True),
     "Keep the 9,000 samples with the highest IFD, none above 1"),
    (step("ifd_filter", threshold=0.9, variant="ifd_full"), "Keep samples with full-text IFD of at least 0.9"),
    (step("varentropy_filter", threshold=1.5, direction="lowest"), "Keep samples with varentropy of at most 1.5"),
    (step("score_filter", signal="words", fraction=0.5, missing="keep"),
     "Keep the 50\u202f% of samples with the highest words, and those without one"),
    (step("mona_filter", fraction=0.1), KEEP_UNION),
    (step("mona_filter", fraction=0.1, combine="max", benchmarks=["gsm8k", "bbh"]),
     "Keep the 10\u202f% of samples with the highest relevance to any of gsm8k, bbh"),
    (step("semantic_dedup"), "Drop near-duplicates above 0.8 similarity"),
    (step("semantic_dedup", strategy="exact", prefer="quality"),
     "Drop exact duplicates, keeping the one with the highest quality"),
    (step("semdedup", threshold=0.88), "Drop samples with near-equal SAE features, above 0.88 cosine"),
    (step("random_subset", size=45000), "Draw 45,000 samples at random"),
    (step("random_subset", size=1), "Draw 1 sample at random"),
    (step("ifd_filter", top_k=1), "Keep the 1 sample with the highest IFD"),
    (step("random_subset", fraction=0.5, strategy="balanced", seed=7),
     "Draw 50\u202f% of samples at random, equally many of each source (seed 7)"),
    (step("source_mix", fraction=0.5, weights={"a": 3.0, "b": 1.0}),
     "Draw 50\u202f% of samples as a mix of 75\u202f% a, 25\u202f% b"),
    (step("union", trial=3), "Add the subset of trial 3"),
    (step("my_own", alpha=0.5, names=["x", "y"]), "Apply my_own (alpha 0.5, names x, y)"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("one", "words"), EXAMPLES, ids=lambda value: value if isinstance(value, str) else ""
)
def test_steps(one: RecipeStep, words: str):
    assert step_words(one) == words


def test_recipe_reads_as_one_sentence():
    whole = recipe(
        step("ifd_filter", fraction=0.4, direction="lowest"), step("semantic_dedup", threshold=0.8)
    )
    assert recipe_words(whole) == (
        "Keep the 40\u202f% of samples with the lowest IFD, then drop near-duplicates above 0.8 similarity."
    )
    assert recipe_words(recipe()) == "Keep the whole pool."


def _plain_steps() -> list[RecipeStep]:
    """Return one minimal valid step of every operator of the catalog."""
    needed: dict[str, dict[str, object]] = {
        "score_filter": {"signal": "words", "fraction": 0.5},
        "source_mix": {"weights": {"a": 1.0}, "fraction": 0.5},
        "union": {"trial": 1},
        "semantic_dedup": {},
        "semdedup": {},
    }
    return [RecipeStep(operator=name, params=needed.get(name, {"fraction": 0.5})) for name in sorted(CATALOG)]


@pytest.mark.parametrize("one", _plain_steps(), ids=lambda one: one.operator)
def test_every_operator_has_words_that_know_its_defaults(one: RecipeStep):
    assert not step_words(one).startswith("Apply "), "an operator of the catalog needs a sentence of its own"
    assert step_words(canonical_step(*parse_step(one, 0))) == step_words(one)


@given(
    params=st.dictionaries(
        st.text(max_size=5), st.one_of(st.none(), st.booleans(), st.integers(), st.text(max_size=5))
    )
)
def test_odd_parameters_never_fail(params: dict[str, object]):
    for name in [*CATALOG, "unknown"]:
        assert step_words(RecipeStep(operator=name, params=params))


STEPS = st.sampled_from(
    [
        step("ifd_filter", fraction=0.5),
        step("ifd_filter", fraction=0.4),
        step("semantic_dedup"),
        step("random_subset", size=10),
        step("mona_filter", fraction=0.2),
    ]
)
RECIPES = st.lists(STEPS, max_size=6).map(lambda steps: Recipe(steps=steps))


@given(parent=RECIPES, child=RECIPES)
def test_no_change_exactly_for_equal_recipes(parent: Recipe, child: Recipe):
    found = changes(parent, child)
    assert (found == ()) == (parent == child)
    assert len(found) <= len(parent.steps) + len(child.steps)


@given(parent=RECIPES, one=STEPS, data=st.data())
def test_one_edit_is_one_sentence(parent: Recipe, one: RecipeStep, data: st.DataObject):
    at = data.draw(st.integers(0, len(parent.steps)))
    longer = Recipe(steps=[*parent.steps[:at], one, *parent.steps[at:]])
    (inserted,) = changes(parent, longer)
    assert inserted.startswith("Insert as step ")
    (removed,) = changes(longer, parent)
    assert removed.startswith("Remove ")


def test_retune_swap_and_replace():
    base = recipe(step("ifd_filter", fraction=0.5), step("semantic_dedup", threshold=0.8))
    retuned = recipe(step("ifd_filter", fraction=0.4), step("semantic_dedup", threshold=0.8))
    assert changes(base, retuned) == ("Retune IFD filter: fraction 50\u202f% → 40\u202f%",)
    assert changes(base, recipe(*reversed(base.steps))) == (
        "Swap IFD filter (step 1) and deduplication (step 2)",
    )
    replaced = recipe(step("ifd_filter", fraction=0.5), step("random_subset", size=100))
    assert changes(base, replaced) == ("Replace deduplication: draw 100 samples at random",)
    defaulted = recipe(step("ifd_filter", fraction=0.5), step("semantic_dedup"))
    assert changes(base, defaulted) == ("Retune deduplication: threshold 0.8 → default",)
