"""Every parameter of every operator changes what is kept, and what is kept then is what the slow oracle keeps.

The table lists two or more values of each parameter. A parameter without a row fails the first test; a parameter that
the operator ignores, or reads from the wrong column, fails its own.
"""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest

from autosel_runtime.recipe import mask as masks
from autosel_runtime.recipe.catalog import CATALOG
from autosel_runtime.recipe.mixing import softmax
from autosel_runtime.recipe.selection import apportion, mix
from tests.recipe import oracle
from tests.recipe.pools import SmallPool, make_pairs, make_pool, scalar
from tests.recipe.test_operators import FILTERS, SEED, run

HALF = {"fraction": 0.5}
CUT = {
    "fraction": ({}, [0.2, 0.7]),
    "top_k": ({}, [3, 11]),
    "threshold": ({}, [0.5, 2.0]),
    "direction": (HALF, ["highest", "lowest"]),
    "missing": (HALF, ["drop", "keep", "error"]),
}
DRAW = {"size": ({}, [3, 11]), "fraction": ({}, [0.2, 0.7]), "seed": (HALF, [None, 3, 4])}
PREFER = {
    "prefer": ({}, [None, "quality", "words"]),
    "prefer_direction": ({"prefer": "quality"}, ["highest", "lowest"]),
}
WEIGHTED = {"weights": {"s0": 1.0, "s1": 3.0}}
OTHER = "sha256:" + "a" * 64


def plus(base: dict[str, Any], table: dict[str, Any]) -> dict[str, Any]:
    return {name: ({**base, **params}, values) for name, (params, values) in table.items()}


# operator -> parameter -> (the other parameters, values that must differ)
TABLE: dict[str, dict[str, tuple[dict[str, Any], list[Any]]]] = {
    "ngram_entropy_filter": CUT,
    "action_object_filter": CUT,
    "quality_filter": CUT,
    "varentropy_filter": CUT | {"variant": (HALF, ["varentropy", "varentropy_answer"])},
    "ifd_filter": CUT
    | {"variant": (HALF, ["ifd", "ifd_full"]), "reject_above_one": (HALF, [False, True])},
    "score_filter": plus({"signal": "varentropy"}, CUT)
    | {"signal": (HALF, ["words", "quality", "varentropy_answer"])},
    "mona_filter": plus({"combine": "max"}, CUT)
    | {
        "missing": ({**HALF, "benchmarks": ["b"]}, CUT["missing"][1]),  # seldom has a row none of three
        "benchmarks": (HALF, [None, ["b"], ["a", "c"]]),
        "combine": (HALF, ["union", "max", "mean"]),
        "exact_size": ({"fraction": 0.2}, [False, True]),
        "signal": (HALF, ["mona", "relevance"]),
    },
    "semantic_dedup": PREFER
    | {"strategy": ({}, ["exact", "minhash", "embedding"]), "threshold": ({}, [0.55, 0.95])},
    "semdedup": PREFER | {"threshold": ({}, [0.55, 0.95])},
    "random_subset": DRAW | {"strategy": (HALF, ["proportional", "balanced", "uniform"])},
    "source_mix": plus(WEIGHTED, DRAW)
    | {"weights": (HALF, [{"s0": 1.0, "s1": 3.0}, {"s0": 3.0, "s1": 1.0}, {"s2": 1.0}])},
    "varentropy_mix": DRAW
    | {"temperature": (HALF, [0.05, 50.0]), "variant": (HALF, ["varentropy", "varentropy_answer"])},
    "union": {"trial": ({}, [1, 2, OTHER])},
}  # fmt: skip
CASES = [(operator, name) for operator, rows in TABLE.items() for name in rows]


@dataclass(frozen=True, kw_only=True)
class Pool(SmallPool):
    """A small pool whose three kinds of pairs differ, with subsets of three earlier trials."""

    pairs_by_kind: dict[str, dict[tuple[int, int], float]]
    unions: dict[str, list[int]]

    def similar_by(self, kind: str, i: int, j: int) -> float:
        a, b = sorted((self.classes[i], self.classes[j]))
        return 1.0 if a == b else self.pairs_by_kind[kind].get((a, b), 0.0)


def pool_of(seed: int, rows: int = 48) -> Pool:
    plain, rng = make_pool(seed, rows), np.random.default_rng(seed)
    classes = rng.integers(0, 30, rows).tolist()
    first = {name: classes.index(name) for name in set(classes)}
    kinds = {
        kind: {
            (a, b): float(np.float32(rng.uniform(0.5, 0.999)))
            for a in first for b in first if a < b and rng.random() < 0.08
        }
        for kind in ("minhash", "embedding", "sae")
    }  # fmt: skip
    scalars = dict(plain.columns.scalars)
    for benchmark in ("a", "b", "c"):
        values = rng.integers(0, 24, rows).astype(np.float32) / 8
        values[rng.random(rows) < 0.15] = np.nan
        scalars[f"relevance.{benchmark}"] = scalar(values)
    columns = replace(
        plain.columns,
        source_names=("s0", "s1", "s2"),
        source_codes=rng.choice(3, rows, p=[0.5, 0.3, 0.2]).astype(np.uint16),
        scalars=scalars,
        group_columns={"exact": np.array(classes, dtype=np.int32)},
        pair_columns={kind: make_pairs(classes, similar) for kind, similar in kinds.items()},
    )
    return Pool(
        columns=columns,
        rows=np.flatnonzero(rng.random(rows) < 0.8).tolist(),
        classes=classes,
        similar={},
        pairs_by_kind=kinds,
        unions={name: np.flatnonzero(rng.random(rows) < 0.3).tolist() for name in ("1", "2", OTHER)},
    )


POOLS = [pool_of(seed) for seed in range(5)]


def expected(pool: Pool, operator: str, params: dict[str, Any]) -> list[int]:
    """The rows that the oracle keeps; none where the step must fail."""
    rows, sources = pool.rows, pool.sources
    if params.get("missing") == "error":
        return []  # every pool has rows without a score
    if operator in FILTERS:
        return oracle.score_filter(rows, pool.values(params.get("variant", FILTERS[operator])), params)
    if operator == "ifd_filter":
        return oracle.ifd_filter(rows, pool.values(params.get("variant", "ifd")), params)
    if operator == "score_filter":
        return oracle.score_filter(rows, pool.values(params["signal"]), params)
    if operator == "mona_filter":
        family = params.get("signal", "mona")
        chosen = params.get("benchmarks") or ["a", "b", "c"]
        return oracle.mona_filter(rows, [pool.values(f"{family}.{name}") for name in chosen], params)
    if operator in ("semantic_dedup", "semdedup"):
        return _dedup(pool, operator, params)
    if operator == "union":
        return sorted({*rows, *pool.unions[str(params["trial"])]})
    seed = mix(SEED, 0) if params.get("seed") is None else mix(params["seed"])
    total = params["size"] if "size" in params else oracle.ceil_share(params["fraction"], len(rows))
    counts = [sum(sources[row] == code for row in rows) for code in range(3)]
    if operator == "random_subset":
        strategy = params.get("strategy", "proportional")
        if strategy == "uniform":
            return oracle.draw(rows, total, seed)
        weights: list[float] = [1.0] * 3 if strategy == "balanced" else [float(c) for c in counts]
    elif operator == "source_mix":
        weights = [params["weights"].get(name, 0.0) for name in pool.columns.source_names]
    else:
        score = pool.values(params.get("variant", "varentropy"))
        known = [[score[r] for r in rows if sources[r] == c and score[r] is not None] for c in range(3)]
        weights = softmax([sum(k) / len(k) if k else None for k in known], params.get("temperature", 1.0))
    return oracle.draw_by_source(rows, sources, apportion(weights, counts, total), seed)


def _dedup(pool: Pool, operator: str, params: dict[str, Any]) -> list[int]:
    kind = "sae" if operator == "semdedup" else params.get("strategy", "minhash")
    default = {"exact": 1.0, "minhash": 0.8, "embedding": 0.95, "sae": 0.95}[kind]
    prefer = params.get("prefer")
    return oracle.dedup(
        pool.rows,
        lambda i, j: pool.similar_by("minhash" if kind == "exact" else kind, i, j),
        params.get("threshold", default),
        None if prefer is None else pool.values(prefer),
        params.get("prefer_direction", "highest"),
    )


def test_every_parameter_is_in_the_table() -> None:
    known = {(name, field) for name, operator in CATALOG.items() for field in operator.params.model_fields}
    assert set(CASES) == known


@pytest.mark.parametrize(("operator", "name"), CASES)
def test_a_parameter_changes_what_is_kept_as_the_oracle_says(operator: str, name: str) -> None:
    base, values = TABLE[operator][name]
    kept: list[list[list[int]]] = []
    for value in values:
        params = base if value is None else {**base, name: value}
        kept.append([])
        for pool in POOLS:
            rows = expected(pool, operator, params)
            unions = {
                key: masks.from_rows(np.array(found), pool.columns.rows) for key, found in pool.unions.items()
            }
            found = run(pool, operator, params, unions=unions)
            assert found == rows if rows else isinstance(found, str), (params, found)
            kept[-1].append(rows)
    for i, one in enumerate(kept):
        for other in kept[i + 1 :]:
            assert sum(a != b for a, b in zip(one, other, strict=True)) >= 3, (
                "values must differ on most pools"
            )
