"""The synthetic pool and the two recipes of the recipe benchmark; ``materialize.py`` describes them."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from autosel_runtime.api.search import Recipe
from autosel_runtime.recipe.columns import Csr, Scalar
from tests.array_columns import ArrayColumns

BENCHMARKS = ("gpqa", "gsm8k", "bbh", "mmlu")
SCALARS = ("words", "ifd", "varentropy", *(f"mona.{name}" for name in BENCHMARKS))
SOURCES = ("s0", "s1", "s2", "s3", "s4")
FEATURES, ACTIVE = 65_536, 192


def recipe_steps(name: str, rows: int) -> list[tuple[str, dict[str, Any]]]:
    """Return the steps of recipe A or B."""
    dedup = ("semantic_dedup", {"strategy": "exact"})
    if name == "A":
        return [
            ("random_subset", {"size": rows * 2 // 3}),
            ("mona_filter", {"fraction": 0.4}),
            ("ifd_filter", {"fraction": 0.5}),
            dedup,
        ]
    return [
        ("mona_filter", {"fraction": 0.5}),
        ("ifd_filter", {"fraction": 0.5}),
        ("varentropy_filter", {"fraction": 0.5}),
        dedup,
    ]


def as_recipe(steps: Sequence[tuple[str, dict[str, Any]]]) -> Recipe:
    """Return steps as a recipe."""
    return Recipe.model_validate({"steps": [{"operator": name, "params": params} for name, params in steps]})


def write_pool(folder: Path, rows: int, *, features: bool) -> None:
    """Write the columns of a pool, one file each."""
    rng = np.random.default_rng(7)
    for name in SCALARS:
        ranks = rng.permutation(np.arange(rows, dtype=np.uint32))
        np.save(folder / f"{name}.rank.npy", ranks)
        values = (ranks + np.float32(0.5)) / np.float32(rows)
        np.save(folder / f"{name}.npy", np.floor(values * 400) + 25 if name == "words" else values)
    group = np.arange(rows, dtype=np.int32)
    copies = np.sort(rng.choice(np.arange(1, rows), rows // 50, replace=False))
    group[copies] = (copies * rng.random(len(copies))).astype(np.int32)  # of an earlier row
    np.save(folder / "group.npy", group)
    shares = np.cumsum([0.4, 0.25, 0.15, 0.12, 0.08])
    np.save(folder / "source.npy", np.searchsorted(shares, (np.arange(rows) + 0.5) / rows).astype(np.uint16))
    if features:
        indices = np.lib.format.open_memmap(folder / "indices.npy", "w+", np.uint32, (rows * ACTIVE,))
        for low in range(0, rows, 50_000):
            high = min(rows, low + 50_000)
            indices[low * ACTIVE : high * ACTIVE] = rng.integers(
                0, FEATURES, (high - low) * ACTIVE, dtype=np.uint32
            )


def open_pool(folder: Path) -> ArrayColumns:
    """Map the columns of a pool."""

    def load(name: str) -> Any:
        return np.load(folder / f"{name}.npy", mmap_mode="r").view(np.ndarray)

    codes = load("source")
    features: dict[str, Csr] = {}
    if (folder / "indices.npy").exists():
        indptr = np.arange(len(codes) + 1, dtype=np.int64) * ACTIVE
        values = np.broadcast_to(np.float32(1), len(codes) * ACTIVE)
        features["sae"] = Csr(indptr=indptr, indices=load("indices"), values=values, width=FEATURES)
    return ArrayColumns(
        rows=len(codes),
        source_names=SOURCES,
        source_codes=codes,
        scalars={name: Scalar(values=load(name), ranks=load(f"{name}.rank")) for name in SCALARS},
        group_columns={"exact": load("group")},
        feature_columns=features,
    )
