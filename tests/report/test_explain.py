"""Explanations: an exact partition, honest examples, safe text."""

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from autosel_runtime.api.search import Recipe
from autosel_runtime.errors import DataError
from autosel_runtime.recipe import mask as masks
from autosel_runtime.recipe.columns import Scalar, rank_of
from autosel_runtime.recipe.execute import execute
from autosel_runtime.report.explain import Explanation, SampleText, Side, explain
from autosel_runtime.report.explain_text import explanation_markdown, explanation_text
from tests.array_columns import ArrayColumns
from tests.report.sample import columns, recipe, step

EVERYTHING = recipe()


def read(rows: Sequence[int]) -> list[SampleText]:
    return [SampleText(id=f"id-{row}", text=f"text of\n\n row {row}") for row in rows]


def _pool(n: int, seed: int) -> ArrayColumns:
    rng = np.random.default_rng(seed)
    values = rng.normal(size=n).astype(np.float32)
    values[rng.random(n) < 0.2] = np.nan
    return ArrayColumns(
        rows=n,
        source_names=("a", "b", "c"),
        source_codes=rng.integers(0, 3, n).astype(np.uint16),
        scalars={"x": Scalar(values=values, ranks=rank_of(values))},
    )


def _side(name: str, bits: np.ndarray, plan: Recipe = EVERYTHING) -> Side:
    return Side(name=name, recipe=plan, mask=masks.from_bools(bits))


@given(n=st.integers(1, 60), seed=st.integers(0, 1000), most=st.integers(0, 25))
def test_regions_sources_and_quarters_partition_the_rows(n: int, seed: int, most: int):
    rng = np.random.default_rng(seed)
    pool = _pool(n, seed)
    a, b = rng.random(n) < 0.5, rng.random(n) < 0.5
    found = explain(_side("A", a), _side("B", b), pool, read, examples=most)
    expected = {"only_a": int((a & ~b).sum()), "only_b": int((b & ~a).sum()), "both": int((a & b).sum())}
    assert found.counts.model_dump() == expected
    for region, total in expected.items():
        assert sum(getattr(source, region) for source in found.sources) == total
        for signal in found.signals:
            assert sum(getattr(signal, region)) + getattr(signal.missing, region) == total
    assert found.jaccard == pytest.approx(expected["both"] / (a | b).sum() if (a | b).any() else 1.0)
    assert len(found.examples) == min(most, expected["only_a"] + expected["only_b"])
    assert len({example.row for example in found.examples}) == len(found.examples)
    for example in found.examples:
        inside, outside = (a, b) if example.region == "only_a" else (b, a)
        assert inside[example.row]
        assert not outside[example.row]
        assert example.text == f"text of row {example.row}"
    assert Explanation.model_validate_json(found.model_dump_json(by_alias=True)) == found


def test_quarters_against_sorting():
    pool = _pool(200, 3)
    everything, nothing = np.ones(200, bool), np.zeros(200, bool)
    found = explain(_side("A", everything), _side("B", nothing), pool, read)
    values = pool.scalars["x"].values
    present = np.flatnonzero(~np.isnan(values))
    order = present[np.argsort(values[present], kind="stable")]
    quarters = [0, 0, 0, 0]
    for place, _ in enumerate(order):
        quarters[4 * place // len(order)] += 1
    assert list(found.signals[0].only_a) == quarters


def test_same_subset_is_no_difference():
    pool = _pool(50, 1)
    bits = np.arange(50) % 3 == 0
    found = explain(_side("A", bits), _side("B", bits), pool, read)
    assert (found.counts.only_a, found.counts.only_b, found.jaccard) == (0, 0, 1.0)
    assert found.examples == ()
    assert found.first_difference is None


def test_separation_has_the_right_sign_and_first_step_and_reasons_are_found():
    pool = columns(2_000)
    low = recipe(
        step("ngram_entropy_filter", fraction=0.9), step("ifd_filter", fraction=0.4, direction="lowest")
    )
    high = recipe(
        step("ngram_entropy_filter", fraction=0.9), step("ifd_filter", fraction=0.4, direction="highest")
    )
    sides = [
        Side(name=name, recipe=plan, mask=done.mask, trace=done.trace)
        for name, plan in (("low", low), ("high", high))
        for done in [execute(plan, pool, seed=1)]
    ]
    found = explain(sides[0], sides[1], pool, read)
    assert found.signals[0].signal == "ifd"
    assert found.signals[0].separation is not None
    assert found.signals[0].separation < -0.4
    assert found.first_difference is not None
    assert found.first_difference.step == 2
    assert found.first_difference.a == "Keep the 40\u202f% of samples with the lowest IFD"
    assert any(example.dropped == "step 2, ifd_filter: below cut" for example in found.examples)
    assert {example.region for example in found.examples} == {"only_a", "only_b"}
    assert found == explain(sides[0], sides[1], pool, read)


def test_shorter_recipe_parts_where_it_ends():
    one = recipe(step("semantic_dedup"))
    two = recipe(step("semantic_dedup"), step("random_subset", size=3))
    bits = np.ones(10, bool)
    found = explain(_side("A", bits, one), _side("B", bits, two), _pool(10, 0), read)
    assert found.first_difference is not None
    assert (found.first_difference.step, found.first_difference.a) == (2, None)


def test_texts_cannot_break_the_terminal_or_the_markdown():
    def hostile(rows: Sequence[int]) -> list[SampleText]:
        return [SampleText(id="i", text="\x1b[31mred | <script>x</script> `code` [a](b)") for _ in rows]

    bits = np.arange(20) < 10
    found = explain(_side("A|1", bits), _side("B<b>", ~bits), _pool(20, 0), hostile)
    assert "\x1b" not in explanation_text(found)
    markdown = explanation_markdown(found)
    assert "\x1b" not in markdown
    assert "<script" not in markdown.replace("\\<script", "")
    rows = [line for line in markdown.splitlines() if line.startswith("|")]
    assert {line.replace("\\|", "").count("|") for line in rows} == {5}


def test_mask_of_another_pool_is_refused():
    with pytest.raises(DataError, match="subset of B is no mask over 20 rows"):
        explain(_side("A", np.ones(20, bool)), _side("B", np.ones(40, bool)), _pool(20, 0), read)


def test_reader_that_loses_samples_is_found_out():
    bits = np.arange(20) < 10
    with pytest.raises(DataError, match="samples were asked for, 0 were read"):
        explain(_side("A", bits), _side("B", ~bits), _pool(20, 0), lambda rows: [])
