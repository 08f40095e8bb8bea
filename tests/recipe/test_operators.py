"""Every operator against its oracle, and the properties that all share."""

import math
from dataclasses import replace
from unittest.mock import patch

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from autosel_runtime.api.search import Recipe
from autosel_runtime.errors import DataError
from autosel_runtime.recipe import mask as masks
from autosel_runtime.recipe.columns import Scalar, rank_of
from autosel_runtime.recipe.execute import execute
from autosel_runtime.recipe.mixing import softmax
from autosel_runtime.recipe.neighbours import repeats
from autosel_runtime.recipe.prepared import prepare
from autosel_runtime.recipe.selection import apportion, exact_share, mix
from tests.array_columns import ArrayColumns
from tests.recipe import oracle
from tests.recipe.pools import FLOOR, cuts, directions, make_pool, pools, scalar, small_spans

SEED = 5
FILTERS = {
    "ngram_entropy_filter": "ngram_entropy",
    "action_object_filter": "action_object",
    "quality_filter": "quality",
    "varentropy_filter": "varentropy",
}


def run(pool, operator, params, *, seed=SEED, start=None, unions=None, threads=1):
    """Execute one step on the pool's input subset; the kept rows, or the error's text."""
    recipe = Recipe.model_validate({"steps": [{"operator": operator, "params": params}]})
    try:
        done = execute(
            recipe,
            pool.columns,
            seed=seed,
            start=pool.mask if start is None else start,
            unions=unions or {},
            threads=threads,
            drift=False,
        )
    except DataError as error:
        return str(error)
    assert sum(done.trace[0].reasons.values()) == done.trace[0].dropped
    assert "no reason given" not in done.trace[0].reasons
    return masks.rows_of(done.mask, pool.columns.rows).tolist()


def agree(found, expected):
    """The oracle's rows, or an error exactly if it keeps none."""
    if expected:
        assert found == expected
    else:
        assert isinstance(found, str)


@settings(deadline=None, max_examples=50)
@given(pools, cuts, directions, st.sampled_from(["drop", "keep"]), st.sampled_from(sorted(FILTERS)))
def test_score_filters(pool, cut, direction, missing, operator):
    params = {**cut, "direction": direction, "missing": missing}
    score = pool.values(FILTERS[operator])
    assume(any(score[row] is not None for row in pool.rows))
    with small_spans():
        agree(run(pool, operator, params), oracle.score_filter(pool.rows, score, params))


@settings(deadline=None, max_examples=30)
@given(pools, cuts, st.booleans(), st.sampled_from(["ifd", "ifd_full"]))
def test_ifd_filter(pool, cut, reject, variant):
    params = {**cut, "reject_above_one": reject, "variant": variant}
    score = pool.values(variant)
    rows = [row for row in pool.rows if not reject or score[row] is None or score[row] <= 1]
    assume(any(score[row] is not None for row in rows))
    agree(run(pool, "ifd_filter", params), oracle.ifd_filter(pool.rows, score, params))


@settings(deadline=None, max_examples=20)
@given(pools, cuts)
def test_score_filter_reads_any_scalar(pool, cut):
    agree(
        run(pool, "score_filter", {**cut, "signal": "answer_words"}),
        oracle.score_filter(pool.rows, pool.values("answer_words"), cut),
    )


@settings(deadline=None, max_examples=30)
@given(
    pools,
    cuts,
    directions,
    st.sampled_from(["union", "max", "mean"]),
    st.booleans(),
    st.sampled_from([None, ["b"], ["a", "c"]]),
    st.sampled_from(["drop", "keep"]),
)
def test_mona_filter(pool, cut, direction, combine, exact, benchmarks, missing):
    exact = exact and combine == "union" and "threshold" not in cut
    params = {**cut, "direction": direction, "combine": combine, "exact_size": exact, "missing": missing}
    if benchmarks:
        params["benchmarks"] = benchmarks
    scores = [pool.values(f"mona.{b}") for b in benchmarks or ["a", "b", "c"]]
    assume(any(s[row] is not None for s in scores for row in pool.rows))
    with small_spans():
        agree(run(pool, "mona_filter", params), oracle.mona_filter(pool.rows, scores, params))


@settings(deadline=None, max_examples=30)
@given(
    pools,
    st.sampled_from(["exact", "minhash", "embedding", "semdedup"]),
    st.floats(FLOOR, 1.0),
    st.sampled_from([None, "quality", "words"]),
    directions,
)
def test_dedup(pool, strategy, threshold, prefer, direction):
    params = {"prefer_direction": direction}
    if prefer:
        params["prefer"] = prefer
    if strategy == "exact":
        threshold = 1.0
    else:
        params["threshold"] = threshold
    if strategy != "semdedup":
        params["strategy"] = strategy
    operator = "semdedup" if strategy == "semdedup" else "semantic_dedup"
    found = run(pool, operator, params)
    expected = oracle.dedup(
        pool.rows, pool.similarity, threshold, None if prefer is None else pool.values(prefer), direction
    )
    assert found == expected
    again = masks.from_rows(np.array(found), pool.columns.rows)
    assert run(pool, operator, params, start=again) == found, "dedup is idempotent"


@settings(deadline=None, max_examples=30)
@given(
    pools,
    st.one_of(
        st.builds(lambda k: {"size": k}, st.integers(1, 70)),
        st.builds(lambda f: {"fraction": f}, st.sampled_from([0.07, 0.3, 0.5, 1.0])),
    ),
    st.sampled_from(["uniform", "proportional", "balanced"]),
    st.sampled_from([None, 3]),
)
def test_random_subset(pool, number, strategy, seed):
    params = {**number, "strategy": strategy} | ({} if seed is None else {"seed": seed})
    m = len(pool.rows)
    total = min(number["size"], m) if "size" in number else oracle.ceil_share(number["fraction"], m)
    derived = mix(SEED, 0) if seed is None else mix(seed)
    with small_spans():
        found = run(pool, "random_subset", params)
    assert len(found) == total
    if strategy == "uniform":
        assert found == oracle.draw(pool.rows, total, derived)
    else:
        counts = [sum(pool.sources[r] == c for r in pool.rows) for c in range(len(pool.columns.source_names))]
        shares = apportion(counts if strategy == "proportional" else [1] * len(counts), counts, total)
        assert found == oracle.draw_by_source(pool.rows, pool.sources, shares, derived)
        if strategy == "proportional":
            assert all(abs(s - total * c / m) < 1 for s, c in zip(shares, counts, strict=True))


@settings(deadline=None, max_examples=30)
@given(pools, st.integers(1, 70), st.lists(st.sampled_from([0.0, 0.5, 1.0, 3.0]), min_size=4, max_size=4))
def test_source_mix(pool, size, weights):
    names = pool.columns.source_names
    weights = dict(zip(names, weights, strict=False))
    counts = [sum(pool.sources[r] == c for r in pool.rows) for c in range(len(names))]
    available = sum(c for c, w in zip(counts, weights.values(), strict=True) if w > 0)
    assume(available)
    found = run(pool, "source_mix", {"size": size, "weights": weights})
    assert len(found) == min(size, available), "no oversampling; a shortfall is given to the others"
    shares = apportion(list(weights.values()), counts, min(size, len(pool.rows)))
    assert found == oracle.draw_by_source(pool.rows, pool.sources, shares, mix(SEED, 0))


@settings(deadline=None, max_examples=20)
@given(pools, st.integers(1, 70), st.sampled_from([1e-6, 0.5, 1.0, 1000.0]))
def test_varentropy_mix(pool, size, temperature):
    score, sources = pool.values("varentropy"), pool.sources
    names = pool.columns.source_names
    means = []
    for code in range(len(names)):
        known = [score[r] for r in pool.rows if sources[r] == code and score[r] is not None]
        means.append(sum(known) / len(known) if known else None)
    assume(any(mean is not None for mean in means))
    counts = [sum(sources[r] == c for r in pool.rows) for c in range(len(names))]
    available = sum(c for c, mean in zip(counts, means, strict=True) if mean is not None)
    found = run(pool, "varentropy_mix", {"size": size, "temperature": temperature})
    assert len(found) == min(size, available)
    shares = apportion(softmax(means, temperature), counts, min(size, len(pool.rows)))
    assert found == oracle.draw_by_source(pool.rows, sources, shares, mix(SEED, 0))


def test_softmax_is_stable():
    assert softmax([1.0, None, 1.0], 1.0) == [0.5, 0.0, 0.5]
    high = softmax([5000.0, 4999.0, None], 1.0)
    assert high == pytest.approx([1 / (1 + math.exp(-1)), 1 / (1 + math.e), 0.0])
    assert all(weight > 0 for weight in softmax([0.0, 10.0], 1e-6))


@settings(deadline=None, max_examples=30)
@given(pools, st.integers(0, 2**31))
def test_union_algebra(pool, seed):
    n = pool.columns.rows
    rng = np.random.default_rng(seed)
    other = masks.from_rows(np.flatnonzero(rng.random(n) < 0.4), n)
    wanted = sorted(set(pool.rows) | set(masks.rows_of(other, n).tolist()))
    digest = "sha256:" + "a" * 64
    assert run(pool, "union", {"trial": 2}, unions={"2": other}) == wanted
    assert run(pool, "union", {"trial": digest}, unions={digest: other}) == wanted
    assert run(pool, "union", {"trial": 2}, unions={"2": pool.mask}) == pool.rows, "idempotent"
    assert run(pool, "union", {"trial": 2}, start=other, unions={"2": pool.mask}) == (wanted), "commutative"


@settings(deadline=None, max_examples=30)
@given(pools, cuts, directions, st.integers(0, 2**31))
def test_score_filters_follow_a_permutation_of_the_pool(pool, cut, direction, seed):
    """With distinct scores, reordering the pool reorders the result and changes nothing else."""
    n = pool.columns.rows
    values = np.random.default_rng(seed).permutation(n).astype(np.float32)
    order = np.random.default_rng(seed + 1).permutation(n)
    plain = replace(pool, columns=replace(pool.columns, scalars={"x": scalar(values)}))
    moved_columns = replace(
        pool.columns, source_codes=pool.columns.source_codes[order], scalars={"x": scalar(values[order])}
    )
    place = np.argsort(order)
    moved = replace(pool, columns=moved_columns, rows=sorted(place[pool.rows].tolist()))
    params = {**cut, "direction": direction, "signal": "x"}
    a, b = run(plain, "score_filter", params), run(moved, "score_filter", params)
    if isinstance(a, str):
        assert isinstance(b, str)
    else:
        assert sorted(place[a].tolist()) == b


@settings(deadline=None, max_examples=20)
@given(
    st.integers(0, 2**31),
    st.integers(1, 90),
    st.sampled_from([0.07, 0.33, 0.5, 0.99]),
    st.sampled_from(["ngram_entropy_filter", "ifd_filter", "mona_filter", "random_subset"]),
)
def test_exact_sizes(seed, n, fraction, operator):
    pool = make_pool(seed, n, missing=0.0)
    params = {"fraction": fraction} | ({"exact_size": True} if operator == "mona_filter" else {})
    assert len(run(pool, operator, params)) == exact_share(fraction, len(pool.rows))


def test_reasons_tell_a_low_score_from_a_missing_one():
    pool = make_pool(1, 40)
    recipe = Recipe.model_validate(
        {"steps": [{"operator": "ifd_filter", "params": {"fraction": 0.5, "reject_above_one": True}}]}
    )
    reasons = execute(recipe, pool.columns, seed=0).trace[0].reasons
    score = pool.values("ifd")
    low = [value for value in score if value is not None and value <= 1]
    assert reasons == {
        "above one": sum(value is not None and value > 1 for value in score),
        "below cut": len(low) - exact_share(0.5, len(low)),
        "missing score": sum(value is None for value in score),
    }


def test_unmet_needs_are_errors_with_a_reason():
    pool = make_pool(1, 30)
    unscored = scalar([np.nan] * 30)
    columns = replace(pool.columns, scalars={**pool.columns.scalars, "quality": unscored})
    blank = replace(pool, columns=columns)
    assert "none of the" in run(blank, "quality_filter", {"fraction": 0.5})
    assert "step 1 (quality_filter)" in run(blank, "quality_filter", {"fraction": 0.5})
    assert "have no score ifd" in run(pool, "ifd_filter", {"fraction": 0.5, "missing": "error"})
    assert "no row of" in run(pool, "score_filter", {"signal": "words", "threshold": 1e9})
    assert "needs nothing.here" in run(pool, "score_filter", {"signal": "nothing.here", "top_k": 1})
    assert "below 0.5" in run(pool, "semdedup", {"threshold": 0.3})
    assert "unknown source 'x'" in run(pool, "source_mix", {"size": 3, "weights": {"x": 1.0}})
    assert "trial 9 has no known subset; there are: 1" in run(
        pool, "union", {"trial": 9}, unions={"1": pool.mask}
    )
    assert "subset of trial 1 is no mask" in run(pool, "union", {"trial": 1}, unions={"1": masks.full(100)})
    bare = replace(
        pool, columns=ArrayColumns(rows=30, source_names=("a",), source_codes=np.zeros(30, dtype=np.uint16))
    )
    assert "relevance.*" in run(bare, "mona_filter", {"fraction": 0.5})


def test_mona_takes_relevance_where_there_is_no_mona_and_says_so():
    pool = make_pool(3, 40)
    values = pool.columns.scalars["mona.a"].values
    scalars = {"relevance.a": Scalar(values=values, ranks=rank_of(values))}
    light = replace(pool.columns, scalars=scalars)
    recipe = Recipe.model_validate({"steps": [{"operator": "mona_filter", "params": {"fraction": 0.5}}]})
    assert execute(recipe, light, seed=1).trace[0].notes["signals"] == ["relevance.a"]
    both = replace(pool.columns, scalars={**pool.columns.scalars, **scalars})
    assert execute(recipe, both, seed=1).trace[0].notes["signals"] == ["mona.a", "mona.b", "mona.c"]


def test_a_similar_chain_longer_than_the_rounds():
    """Rows 0, 1, 2, … each similar to the next: every second one stays."""
    from tests.recipe.pools import make_pairs

    n = 400
    pairs = make_pairs(list(range(n)), {(i, i + 1): 0.9 for i in range(n - 1)})
    columns = ArrayColumns(
        rows=n,
        source_names=("a",),
        source_codes=np.zeros(n, dtype=np.uint16),
        pair_columns={"minhash": pairs},
    )
    recipe = Recipe.model_validate({"steps": [{"operator": "semantic_dedup", "params": {}}]})
    assert masks.rows_of(execute(recipe, columns, seed=0).mask, n).tolist() == list(range(0, n, 2))


def test_negative_groups_are_no_groups():
    columns = ArrayColumns(
        rows=5,
        source_names=("a",),
        source_codes=np.zeros(5, dtype=np.uint16),
        group_columns={"exact": np.array([-1, 3, -1, 3, 0], dtype=np.int32)},
    )
    recipe = Recipe.model_validate(
        {"steps": [{"operator": "semantic_dedup", "params": {"strategy": "exact"}}]}
    )
    assert masks.rows_of(execute(recipe, prepare(columns), seed=0).mask, 5).tolist() == [0, 1, 2, 4]


@settings(deadline=None, max_examples=20)
@given(st.lists(st.integers(-2, 6), min_size=1, max_size=40))
def test_repeats_are_found_across_blocks(groups):
    with patch("autosel_runtime.recipe.neighbours.BLOCK", 7):
        found = repeats(np.array(groups, dtype=np.int32))
    assert found.rows.tolist() == [row for row, g in enumerate(groups) if g >= 0 and groups.count(g) > 1]
    assert [groups[row] for row in found.rows] == [
        sorted({groups[r] for r in found.rows})[g] for g in found.group
    ]
