"""Signals of words alone: entropy of a text and its relevance to a target.

Notation
    n    texts of a batch                    t   words of the batch
    B    buckets of a profile                c_w how often word w occurs in a text of T words
    a_j  share of bucket j among the features (words and pairs of adjacent words) of a text; sums to 1
    t_j  the same for a target, averaged over its samples; sums to 1

    entropy       H = -sum_w (c_w / T) log2(c_w / T) = log2 T - (1/T) sum_w c_w log2 c_w       [bits]
    relevance     s = sum_j min(a_j, t_j) / sum_j max(a_j, t_j), the generalised Jaccard similarity that
                  MONA applies to SAE features (AutoSelection, arXiv 2605.12944), here on words
"""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from autosel_runtime.pool.sample import Sample
from autosel_runtime.signals.text import WordBatch, all_contents, hash_words, mix

BUCKET_BITS = 20
BUCKETS = 1 << BUCKET_BITS
# Bits of a key that hold the text number; the other bits hold the word.
_ROW_BITS = 12
MAX_TEXTS = 1 << _ROW_BITS


def ngram_entropy(words: WordBatch) -> NDArray[np.float32]:
    """Return the unigram entropy of each text in bits [n]; NaN for a text without words.

    Words of one text are told apart by 52 bits of their hash: two of 1,000 different words meet with
    probability 1e-10.
    """
    n = len(words.offsets) - 1
    _check_size(n)
    rows, counts = _count(words.rows(), words.hashes >> np.uint64(_ROW_BITS), 64 - _ROW_BITS)
    total = words.lengths.astype(np.float64)
    weighted = np.bincount(rows, weights=counts * np.log2(counts), minlength=n)
    entropy = np.full(n, np.nan)
    present = total > 0
    entropy[present] = np.log2(total[present]) - weighted[present] / total[present]
    return np.maximum(entropy, 0.0).astype(np.float32)


def relevance(
    words: WordBatch, prototypes: Mapping[str, NDArray[np.float32]]
) -> dict[str, NDArray[np.float32]]:
    """Return the relevance of each text to each target, in 0..1 [n]; NaN for a text without words.

    Both profiles sum to 1, so sum min + sum max = 2 and s = m / (2 - m) with m = sum_j min(a_j, t_j).
    """
    n = len(words.offsets) - 1
    rows, buckets, shares = _profile(words)
    missing = words.lengths == 0
    result: dict[str, NDArray[np.float32]] = {}
    for name, prototype in prototypes.items():
        common = np.bincount(rows, weights=np.minimum(shares, prototype[buckets]), minlength=n)
        score = common / (2.0 - common)
        score[missing] = np.nan
        result[name] = score.astype(np.float32)
    return result


def prototype(samples: Sequence[Sample]) -> NDArray[np.float32]:
    """Return the mean profile t of a target's samples, float32 [B], over all their contents.

    Samples without words are left out; all zeros when none has a word.
    """
    total = np.zeros(BUCKETS)
    counted = 0
    for start in range(0, len(samples), 256):
        words = hash_words([all_contents(sample) for sample in samples[start : start + 256]])
        _, buckets, shares = _profile(words)
        total += np.bincount(buckets, weights=shares, minlength=BUCKETS)
        counted += int(np.count_nonzero(words.lengths))
    return (total / max(counted, 1)).astype(np.float32)


def _profile(words: WordBatch) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
    """Return (text, bucket, share) of each non-zero entry of the texts' profiles, sorted by (text, bucket)."""
    _check_size(len(words.offsets) - 1)
    rows = words.rows()
    bigram = mix(words.hashes[:-1] * np.uint64(0x9E3779B97F4A7C15) + words.hashes[1:])
    inside = rows[:-1] == rows[1:]
    shift = np.uint64(64 - BUCKET_BITS)
    features = np.concatenate([mix(words.hashes), bigram[inside]]) >> shift
    owners = np.concatenate([rows, rows[:-1][inside]])
    key_rows, key_buckets, counts = _count_keys(owners, features, BUCKET_BITS)
    length = words.lengths
    total = np.where(length > 0, 2 * length - 1, 1)
    return key_rows, key_buckets, counts / total[key_rows]


def _count(
    rows: NDArray[np.int64], values: NDArray[np.uint64], bits: int
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    key_rows, _, counts = _count_keys(rows, values, bits)
    return key_rows, counts


def _count_keys(
    rows: NDArray[np.int64], values: NDArray[np.uint64], bits: int
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
    """Count equal (row, value) with one sort of a combined key; values have at most ``bits`` bits."""
    keys = (rows.astype(np.uint64) << np.uint64(bits)) | values
    keys.sort()
    first = (
        np.flatnonzero(np.concatenate([[True], keys[1:] != keys[:-1]]))
        if len(keys)
        else np.zeros(0, np.int64)
    )
    counts = np.diff(first, append=len(keys)).astype(np.float64)
    kept = keys[first]
    return (
        (kept >> np.uint64(bits)).astype(np.int64),
        (kept & np.uint64((1 << bits) - 1)).astype(np.int64),
        counts,
    )


def _check_size(n: int) -> None:
    if n > MAX_TEXTS:
        raise ValueError(f"a batch holds at most {MAX_TEXTS} texts, not {n}")
