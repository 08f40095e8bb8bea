"""MinHash signatures of word shingles.

Notation
    n   texts of a batch          w   words in a shingle (``ngram``)
    t   words of the batch        P   hash functions (``permutations``)

A text's shingles are its runs of w adjacent words, over turns too; a text of fewer than w words has one
shingle, all its words. Two texts' signatures agree in a position with probability J, the Jaccard similarity
of their shingle sets (Broder 1997), so the share of equal positions estimates J with standard error
sqrt(J (1 - J) / P).

A shingle's hash is a polynomial in its words' hashes, computed for all positions at once; hashing joined
strings one by one would cost several times as much as the P hash functions themselves.
"""

import numpy as np
from numpy.typing import NDArray
from rensa import RMinHash  # pyright: ignore[reportAttributeAccessIssue]  # an extension module, untyped

from autosel_runtime.signals.text import WordBatch, mix

ALGORITHM = int(RMinHash.ALGORITHM_VERSION)
_SEED = 42
_BASE = 0xD6E8FEB86659FD93
_EMPTY = np.uint32(0xFFFFFFFF)


def shingles(words: WordBatch, ngram: int) -> WordBatch:
    """Return the shingle hashes of each text, repetitions included."""
    count = len(words.hashes)
    lengths = words.lengths
    left = np.repeat(words.offsets[1:], lengths) - np.arange(count)  # words from here to the text's end
    hashes = words.hashes.copy()
    factor = 1
    for step in range(1, min(ngram, count)):
        factor = factor * _BASE % (1 << 64)
        hashes[:-step] += np.where(left[:-step] > step, words.hashes[step:] * np.uint64(factor), np.uint64(0))
    starts = np.zeros(count, dtype=bool)
    starts[words.offsets[:-1][lengths > 0]] = True
    keep = (left >= ngram) | starts
    offsets = np.zeros(len(words.offsets), dtype=np.int64)
    np.cumsum(np.where(lengths > 0, np.maximum(lengths - ngram + 1, 1), 0), out=offsets[1:])
    return WordBatch(hashes=mix(hashes[keep]), offsets=offsets)


def signatures(words: WordBatch, *, ngram: int, permutations: int) -> NDArray[np.uint32]:
    """Return the signatures, uint32 [n, P]; a text without words has 2^32 - 1 everywhere."""
    tokens = shingles(words, ngram)
    matrix = RMinHash.digest_matrix_from_flat_token_hashes(
        tokens.hashes, tokens.offsets.astype(np.uint64), permutations, _SEED
    )
    return np.array(matrix.to_rows(), dtype=np.uint32).reshape(len(words.offsets) - 1, permutations)


def without_words(signature_rows: NDArray[np.uint32]) -> NDArray[np.bool_]:
    """Return which signatures [n, P] belong to texts without words [n]."""
    return (signature_rows == _EMPTY).all(axis=1)
