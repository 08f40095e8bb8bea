"""Synthetic pools whose true value of every subset is known, in several families.

Notation
    n     rows, 4000
    c_i   cluster of row i; u_i its utility; h_i harm (noise) flag; e_i repeated text flag
    f(S)  true score of subset S, before scaling to the pool's points

coverage   sum over clusters of w_c (1 - exp(-U_c / t_c)) - harm share: diminishing returns by cluster
tradeoff   a mean utility + b log size - c harm share - d repeated share, weights differ by pool
skills     four skills that saturate, and a penalty for training past a capacity: the best size lies inside
rugged     half of the variance is tradeoff, half a random effect of the subset that no feature explains

Scores are scaled so that random recipes have a standard deviation of 1.06 points (0..100).
"""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from autosel_runtime.recipe.columns import Pairs, Scalar, rank_of
from tests.array_columns import ArrayColumns

ROWS = 4000
FAMILIES = ("coverage", "tradeoff", "skills", "rugged")
DEVIATION = 1.06  # points, of the true scores of random recipes

Bools = NDArray[np.bool_]
Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Landscape:
    """A pool and the true value of its subsets: ``value(kept [n] bool)``, unscaled."""

    family: str
    columns: ArrayColumns
    value: Callable[[Bools], float]


def landscape(family: str, seed: int, rows: int = ROWS) -> Landscape:
    """Return pool ``seed`` of a family; equal arguments give an equal pool."""
    rng = np.random.default_rng(np.random.SeedSequence([FAMILIES.index(family), seed, 2605]))
    clusters = 40
    sizes = rng.dirichlet(1.0 / np.arange(1, clusters + 1) ** 0.7 * 8)
    cluster = rng.choice(clusters, size=rows, p=sizes)
    harm = rng.random(rows) < rng.uniform(0.05, 0.3)
    content = rng.normal(size=rows) + rng.normal(size=clusters)[cluster] * 0.7
    difficulty = rng.normal(size=rows) + 0.5 * content
    repeated = np.zeros(rows, dtype=bool)
    copies = rng.choice(np.arange(1, rows), size=int(rows * rng.uniform(0.05, 0.3)), replace=False)
    origin = np.array([int(rng.integers(0, i)) for i in copies])
    repeated[copies] = True
    for latent in (cluster, harm, content, difficulty):
        latent[copies] = latent[origin]

    def seen(*parts: Floats) -> NDArray[np.float32]:
        """A signal: a random mix of latents with noise of its own."""
        mixed = sum((p * rng.uniform(0.4, 1.2) for p in parts), np.zeros(rows))
        return (mixed + rng.normal(size=rows) * rng.uniform(0.5, 1.2)).astype(np.float32)

    signals = {
        "quality": (1 / (1 + np.exp(-seen(content, -1.5 * harm)))).astype(np.float32),
        "ifd": np.exp(0.3 * seen(difficulty, 1.0 * harm)).astype(np.float32),
        "varentropy": np.exp(0.4 * seen(-content, 1.0 * harm, difficulty)).astype(np.float32),
        "ngram_entropy": (7 + seen(0.5 * content)).astype(np.float32),
        "action_object": np.exp(0.5 * seen(0.5 * difficulty)).astype(np.float32),
        "words": np.exp(4 + 0.6 * seen(0.5 * content, 0.5 * difficulty)).astype(np.float32),
    }
    affinity = rng.normal(size=(clusters, 2))
    for k, target in enumerate(("gsm8k", "mmlu")):
        signals[f"mona.{target}"] = seen(affinity[cluster, k], 0.3 * content)
    similarity = rng.uniform(0.6, 1.0, size=len(copies)).astype(np.float32)
    order = np.lexsort((origin, copies))
    columns = ArrayColumns(
        rows=rows,
        source_names=("a", "b", "c"),
        source_codes=(cluster % 3).astype(np.uint16),
        scalars={name: Scalar(values=v, ranks=rank_of(v)) for name, v in signals.items()},
        pair_columns={
            "minhash": Pairs(
                left=origin[order].astype(np.uint32),
                right=copies[order].astype(np.uint32),
                similarity=similarity[order],
                floor=0.5,
            )
        },
    )
    utility = np.logaddexp(0.0, content + 0.5 * affinity[cluster].mean(axis=1)) * ~harm
    utility = utility * np.where(repeated, 0.15, 1.0)
    makers = {"coverage": _coverage, "tradeoff": _tradeoff, "skills": _skills, "rugged": _rugged}
    return Landscape(
        family=family, columns=columns, value=makers[family](rng, cluster, utility, content, harm, repeated)
    )


Value = Callable[[Bools], float]


def _coverage(
    rng: np.random.Generator,
    cluster: NDArray[np.int64],
    utility: Floats,
    _content: Floats,
    harm: Bools,
    _repeated: Bools,
) -> Value:
    clusters = int(cluster.max()) + 1
    worth = rng.dirichlet(np.ones(clusters) * 2)
    need = np.bincount(cluster, utility, clusters).mean() * rng.uniform(0.15, 0.6)
    cost = rng.uniform(0.3, 1.0)

    def value(kept: Bools) -> float:
        learned = np.bincount(cluster[kept], utility[kept], clusters)
        return float(worth @ (1 - np.exp(-learned / need)) - cost * harm[kept].mean())

    return value


def _tradeoff(
    rng: np.random.Generator,
    _cluster: NDArray[np.int64],
    _utility: Floats,
    content: Floats,
    harm: Bools,
    repeated: Bools,
) -> Value:
    a, b, c, d = rng.uniform(0.5, 1.5), rng.uniform(0.1, 0.5), rng.uniform(0.5, 3.0), rng.uniform(0.2, 1.5)

    def value(kept: Bools) -> float:
        size = kept.mean()
        return float(
            a * content[kept].mean() + b * np.log(size) - c * harm[kept].mean() - d * repeated[kept].mean()
        )

    return value


def _skills(
    rng: np.random.Generator,
    cluster: NDArray[np.int64],
    utility: Floats,
    _content: Floats,
    harm: Bools,
    repeated: Bools,
) -> Value:
    skills = 4
    teaches = rng.dirichlet(np.ones(skills) * 0.4, size=int(cluster.max()) + 1)[cluster] * utility[:, None]
    need = teaches.sum(axis=0) * rng.uniform(0.1, 0.5, size=skills)
    weight = rng.dirichlet(np.ones(skills) * 3)
    capacity, past = rng.uniform(0.3, 0.7), rng.uniform(0.5, 1.5)

    def value(kept: Bools) -> float:
        learned = 1 - np.exp(-teaches[kept].sum(axis=0) / need)
        waste = (harm[kept] | repeated[kept]).mean()
        return float(weight @ learned - 0.5 * waste - past * max(kept.mean() - capacity, 0.0) ** 2)

    return value


def _rugged(
    rng: np.random.Generator,
    cluster: NDArray[np.int64],
    utility: Floats,
    content: Floats,
    harm: Bools,
    repeated: Bools,
) -> Value:
    smooth = _tradeoff(rng, cluster, utility, content, harm, repeated)
    salt = int(rng.integers(2**31))

    def value(kept: Bools) -> float:
        key = hashlib.sha256(np.packbits(kept).tobytes() + salt.to_bytes(8, "little")).digest()
        luck = np.random.default_rng(int.from_bytes(key[:8], "little")).normal()
        return smooth(kept) + 0.35 * float(luck)

    return value


def scaled(values: Sequence[float]) -> tuple[float, float]:
    """Return (centre, factor) that give random recipes a mean of 0 and a deviation of 1.06 points."""
    return float(np.mean(values)), DEVIATION / float(np.std(values))
