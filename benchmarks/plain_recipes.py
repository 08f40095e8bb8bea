"""Recipes over plain Python lists, the shape that a first implementation has; ``materialize.py`` compares with it."""

import hashlib
import json
import math
import random
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.recipe_pool import ACTIVE, BENCHMARKS, FEATURES, SCALARS, SOURCES, open_pool

Samples = list[dict[str, Any]]


def plain_pool(folder: Path) -> Samples:
    """Return the pool as dictionaries with text, scores and features as lists."""
    columns = open_pool(folder)
    words = [hashlib.sha256(str(i).encode()).hexdigest()[: 3 + i % 6] for i in range(5000)]
    column = {name: columns.scalars[name].values.tolist() for name in SCALARS}
    groups = columns.group_columns["exact"].tolist()
    features = columns.feature_columns.get("sae")
    samples: Samples = []
    for row in range(columns.rows):
        draw = random.Random(groups[row])
        text = draw.choices(words, k=225)
        sample: dict[str, Any] = {
            "id": row,
            "source": SOURCES[int(columns.source_codes[row])],
            "messages": [
                {"role": "user", "content": " ".join(text[:70])},
                {"role": "assistant", "content": " ".join(text[70:])},
            ],
            "ifd": {"score": column["ifd"][row]},
            "varentropy": {"score": column["varentropy"][row]},
            "mona_scores": {name: column[f"mona.{name}"][row] for name in BENCHMARKS},
        }
        if features is not None:
            low, high = row * ACTIVE, (row + 1) * ACTIVE
            sample["sae"] = {"indices": features.indices[low:high].tolist(), "values": [1.0] * ACTIVE}
        samples.append(sample)
    return samples


def plain_words(samples: Samples) -> int:
    """Count white-space words."""
    return sum(len(message["content"].split()) for sample in samples for message in sample["messages"])


def plain_summary(samples: Samples) -> dict[str, Any]:
    """Compute words, means and feature rates from the samples."""
    summary: dict[str, Any] = {"words": plain_words(samples)}
    for name in ("ifd", "varentropy"):
        summary[name] = float(np.mean([sample[name]["score"] for sample in samples]))
    if "sae" in samples[0]:
        active = np.zeros(FEATURES)
        for sample in samples:
            active[sample["sae"]["indices"]] += 1
        summary["rates"] = active / len(samples)
    return summary


def plain_state(samples: Samples, rows: int, pool: Mapping[str, Any]) -> dict[str, Any]:
    """Compute the state from the samples; ``pool`` is the summary of the pool, computed once."""
    here = plain_summary(samples)
    highest = [max(sample["mona_scores"].values()) for sample in samples]
    state: dict[str, Any] = {
        name: sum(s["mona_scores"][name] for s in samples) / len(samples) for name in BENCHMARKS
    }
    state |= {
        "retain_ratio": len(samples) / rows,
        "score_mean": float(np.mean(highest)),
        "score_std": float(np.std(highest)),
    }
    state |= {name: here[name] / pool[name] for name in ("words", "ifd", "varentropy")}
    if "rates" in here:
        state["drift"] = float(np.linalg.norm(here["rates"] - pool["rates"]) / math.sqrt(FEATURES))
    return state


def plain_step(samples: Samples, name: str, params: Mapping[str, Any]) -> Samples:
    """Apply one operator to lists."""
    if name == "random_subset":
        chosen = set(random.Random(1).sample(range(len(samples)), params["size"]))
        return [sample for at, sample in enumerate(samples) if at in chosen]
    if name == "mona_filter":
        ids: set[int] = set()
        for benchmark in BENCHMARKS:
            order = sorted(samples, key=lambda s, b=benchmark: s["mona_scores"][b], reverse=True)
            ids |= {sample["id"] for sample in order[: math.ceil(len(order) * params["fraction"])]}
        return [sample for sample in samples if sample["id"] in ids]
    if name == "semantic_dedup":
        seen: set[str] = set()
        kept: Samples = []
        for sample in samples:
            tokens = " ".join(message["content"] for message in sample["messages"]).lower().split()
            key = hashlib.md5(json.dumps(tokens).encode()).hexdigest()
            if key not in seen:
                seen.add(key)
                kept.append(sample)
        return kept
    field = name.removesuffix("_filter")
    order = sorted(samples, key=lambda s: s[field]["score"], reverse=True)
    kept = order[: math.ceil(len(order) * params["fraction"])]
    return sorted(
        kept, key=lambda sample: sample["id"]
    )  # pool order, so that deduplication keeps the same rows
