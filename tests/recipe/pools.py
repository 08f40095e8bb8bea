"""Small random pools for property tests: ties, missing scores, duplicates, similar pairs."""

from contextlib import contextmanager
from dataclasses import dataclass
from unittest.mock import patch

import numpy as np
from hypothesis import strategies as st

from autosel_runtime.recipe import mask as masks
from autosel_runtime.recipe.columns import Csr, Pairs, Scalar, rank_of
from tests.array_columns import ArrayColumns

FLOOR = 0.5
SCALARS = (
    "words",
    "answer_words",
    "ngram_entropy",
    "action_object",
    "quality",
    "varentropy",
    "varentropy_answer",
    "ifd",
    "ifd_full",
    "mona.a",
    "mona.b",
    "mona.c",
)


@dataclass(frozen=True, kw_only=True)
class SmallPool:
    """Columns, an input subset and, for the oracles, the similarity of any two rows."""

    columns: ArrayColumns
    rows: list[int]
    classes: list[int]
    similar: dict[tuple[int, int], float]

    @property
    def mask(self):
        return masks.from_rows(np.array(self.rows, dtype=np.int64), self.columns.rows)

    def values(self, name):
        """Scores as Python numbers, None where missing."""
        return [None if np.isnan(v) else float(v) for v in self.columns.scalars[name].values]

    @property
    def sources(self):
        return self.columns.source_codes.tolist()

    def similarity(self, i, j):
        a, b = sorted((self.classes[i], self.classes[j]))
        return 1.0 if a == b else self.similar.get((a, b), 0.0)


def scalar(values):
    values = np.array(values, dtype=np.float32)
    return Scalar(values=values, ranks=rank_of(values))


def make_pairs(classes, similar, floor=FLOOR):
    """Store similarities as ``Pairs`` says: equal rows as a star, other pairs between first rows."""
    first = {}
    found = []
    for row, name in enumerate(classes):
        if name in first:
            found.append((row, first[name], 1.0))
        else:
            first[name] = row
    for (a, b), value in similar.items():
        left, right = sorted((first[a], first[b]))
        found.append((right, left, value))
    found.sort()
    return Pairs(
        left=np.array([left for _, left, _ in found], dtype=np.uint32),
        right=np.array([right for right, _, _ in found], dtype=np.uint32),
        similarity=np.array([value for _, _, value in found], dtype=np.float32),
        floor=floor,
    )


def make_pool(seed, n, *, missing=0.15):
    rng = np.random.default_rng(seed)
    scalars = {}
    for name in SCALARS:
        values = rng.integers(0, max(2, n // 2), n).astype(np.float32) / 8  # many ties
        if name not in ("words", "answer_words"):
            values[rng.random(n) < missing] = np.nan
        scalars[name] = Scalar(values=values, ranks=rank_of(values))
    classes = rng.integers(0, max(1, int(n * rng.uniform(0.3, 1.5))), n).tolist()
    present = sorted(set(classes))
    similar = {
        (a, b): float(np.float32(rng.uniform(FLOOR, 0.999)))
        for i, a in enumerate(present)
        for b in present[i + 1 :]
        if rng.random() < 2.5 / max(len(present), 1)
    }
    pairs = make_pairs(classes, similar)
    lengths = rng.integers(0, 4, n)
    indices = [rng.choice(12, size, replace=False) for size in lengths]
    features = Csr(
        indptr=np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64),
        indices=np.concatenate(indices).astype(np.uint32),
        values=np.ones(int(lengths.sum()), dtype=np.float32),
        width=12,
    )
    sources = int(rng.integers(1, 5))
    codes = rng.integers(0, sources, n)
    columns = ArrayColumns(
        rows=n,
        source_names=tuple(f"s{i}" for i in range(sources)),
        source_codes=(np.sort(codes) if rng.random() < 0.5 else codes).astype(np.uint16),
        scalars=scalars,
        group_columns={"exact": np.array(classes, dtype=np.int32)},
        pair_columns={"minhash": pairs, "embedding": pairs, "sae": pairs},
        feature_columns={"sae": features},
    )
    keep = rng.random(n) < rng.choice([0.3, 0.8, 1.0])
    keep[rng.integers(n)] = True
    return SmallPool(columns=columns, rows=np.flatnonzero(keep).tolist(), classes=classes, similar=similar)


pools = st.builds(make_pool, st.integers(0, 2**32 - 1), st.integers(1, 60))
cuts = st.one_of(
    st.builds(lambda f: {"fraction": f}, st.sampled_from([0.01, 0.07, 0.1, 0.25, 1 / 3, 0.5, 0.9, 1.0])),
    st.builds(lambda k: {"top_k": k}, st.integers(1, 70)),
    st.builds(lambda t: {"threshold": t}, st.sampled_from([0.0, 0.1, 0.5, 1.0, 2.25])),
)
directions = st.sampled_from(["highest", "lowest"])


@contextmanager
def small_spans(size=16, sample=1 << 14, deviations=5.0):
    """Cut pools into many spans, as large ones are; ``sample`` rows of them, at least, are looked at for a bracket."""
    with (
        patch("autosel_runtime.recipe.spans.SPAN", size),
        patch("autosel_runtime.recipe.execute.SPAN", size),
        patch("autosel_runtime.recipe.selection.SAMPLE_LEAST", sample),
        patch("autosel_runtime.recipe.selection.DEVIATIONS", deviations),
    ):
        yield
