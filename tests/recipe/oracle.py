"""Every operator again, slowly, over Python lists: sort, compare all pairs, count. Shares no code with the product
but the row hash of random draws. Each function takes the input rows and returns the kept rows, ascending."""

import math
from decimal import ROUND_CEILING, Decimal

import numpy as np

from autosel_runtime.recipe.selection import row_hash


def ceil_share(fraction, m):
    return int((Decimal(repr(fraction)) * m).to_integral_value(ROUND_CEILING))


def passes(value, threshold, direction):
    value, limit = np.float32(value), np.float32(threshold)
    return value >= limit if direction == "highest" else value <= limit


def best_first(rows, score, direction):
    return sorted(rows, key=lambda row: (-score[row] if direction == "highest" else score[row], row))


def cut(rows, score, params):
    direction = params.get("direction", "highest")
    if "threshold" in params:
        return [row for row in rows if passes(score[row], params["threshold"], direction)]
    k = params["top_k"] if "top_k" in params else ceil_share(params["fraction"], len(rows))
    return best_first(rows, score, direction)[:k]


def score_filter(rows, score, params):
    scored = [row for row in rows if score[row] is not None]
    kept = cut(scored, score, params)
    if params.get("missing") == "keep":
        kept = kept + [row for row in rows if score[row] is None]
    return sorted(kept)


def ifd_filter(rows, score, params):
    if params.get("reject_above_one"):
        rows = [row for row in rows if score[row] is None or score[row] <= 1]
    return score_filter(rows, score, params)


def mona_filter(rows, scores, params):
    """``scores``: one list for each benchmark."""
    direction = params.get("direction", "highest")
    known = {row: [s[row] for s in scores if s[row] is not None] for row in range(len(scores[0]))}
    scored = [row for row in rows if known[row]]
    combine = params.get("combine", "union")
    if combine in ("max", "mean"):
        joined = [
            None
            if not known[row]
            else float(np.float32(max(known[row]) if combine == "max" else np.mean(known[row])))
            for row in range(len(scores[0]))
        ]
        kept = cut(scored, joined, params)
    elif params.get("exact_size"):
        places = []
        for s in scores:
            present = [row for row in range(len(s)) if s[row] is not None]
            ascending = sorted(present, key=lambda row: (s[row], row))
            order = ascending if direction == "lowest" else ascending[::-1]
            places.append({row: place for place, row in enumerate(order)})
        number = params["top_k"] if "top_k" in params else ceil_share(params["fraction"], len(scored))
        kept = sorted(scored, key=lambda row: (min(p[row] for p in places if row in p), row))[:number]
    else:
        kept = []
        for s in scores:
            kept += cut([row for row in rows if s[row] is not None], s, params)
    if params.get("missing") == "keep":
        kept = list(kept) + [row for row in rows if not known[row]]
    return sorted(set(kept))


def dedup(rows, similarity, threshold, prefer=None, direction="highest"):
    """Visit rows in order of preference; keep a row unless it is similar to a kept one."""

    def key(row):
        if prefer is None:
            return row
        value = prefer[row]
        return (value is None, 0 if value is None else (-value if direction == "highest" else value), row)

    kept = []
    for row in sorted(rows, key=key):
        if all(np.float32(similarity(row, other)) < np.float32(threshold) for other in kept):
            kept.append(row)
    return sorted(kept)


def draw(rows, k, seed):
    hashes = dict(zip(rows, row_hash(seed, np.array(rows, dtype=np.int64)).tolist(), strict=True))
    return sorted(sorted(rows, key=lambda row: hashes[row])[:k])


def draw_by_source(rows, sources, shares, seed):
    kept = []
    for code, share in enumerate(shares):
        kept += draw([row for row in rows if sources[row] == code], share, seed) if share else []
    return sorted(kept)


def state(pool, rows):
    """The state vector from its definitions."""
    n = pool.columns.rows
    out = {"retain_ratio": len(rows) / n}
    words = pool.values("words")
    if sum(words):
        out["token_ratio"] = sum(words[r] for r in rows) / sum(words)
    benchmarks = {
        name.split(".")[1]: pool.values(name) for name in pool.columns.scalars if name.startswith("mona.")
    }
    pairs = [s[r] for s in benchmarks.values() for r in rows if s[r] is not None]
    if pairs:
        out["score_mean"] = sum(pairs) / len(pairs)
        out["score_std"] = math.sqrt(sum((p - out["score_mean"]) ** 2 for p in pairs) / len(pairs))
        highest = [max(v) for r in rows if (v := [s[r] for s in benchmarks.values() if s[r] is not None])]
        out["score_mean_max"] = sum(highest) / len(highest)
    for name, s in benchmarks.items():
        known = [s[r] for r in rows if s[r] is not None]
        if known:
            out[f"score.{name}"] = sum(known) / len(known)
    for name in ("ifd", "varentropy", "quality", "ngram_entropy", "action_object"):
        if name not in pool.columns.scalars:
            continue
        s = pool.values(name)
        everywhere, here = [v for v in s if v is not None], [s[r] for r in rows if s[r] is not None]
        if everywhere and here and sum(everywhere) > 0:
            ratio = (sum(here) / len(here)) / (sum(everywhere) / len(everywhere))
            out[f"mean_{name}"] = ratio
            if name in ("ifd", "varentropy"):
                out[f"mean_{name}_clipped"] = min(max(ratio, 0), 2) / 2
    features = pool.columns.feature_columns["sae"]
    active = [set(features.indices[features.indptr[r] : features.indptr[r + 1]].tolist()) for r in range(n)]

    def share(chosen, feature):
        featured = [r for r in chosen if active[r]]
        return sum(feature in active[r] for r in featured) / len(featured)

    if any(active[r] for r in rows):
        squares = [(share(rows, j) - share(range(n), j)) ** 2 for j in range(features.width)]
        out["distribution_drift"] = math.sqrt(sum(squares) / features.width)
    shares = [
        sum(pool.sources[r] == c for r in rows) / len(rows) for c in range(len(pool.columns.source_names))
    ]
    for name, value in zip(pool.columns.source_names, shares, strict=True):
        out[f"source_share.{name}"] = value
    out["source_entropy"] = -sum(s * math.log(s) for s in shares if s)
    return out
