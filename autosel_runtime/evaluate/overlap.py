"""Which questions of a benchmark also stand in the pool or in the queries of a target.

A question stands in a message when all its words follow one another there: letter case, punctuation, white space and
what stands before and after do not matter. A question of fewer than ``ANCHOR`` words must be the whole message, since
so few words are found everywhere. Words are compared by hash (see ``signals.text``), questions by the sum of their
words' hashes times powers of a base, so that texts of any length pass in bounded memory.

Notation
    t   words of a batch of messages;  h  uint64 [t] their hashes
    w   words of a question;  B  base, odd, so that it has an inverse modulo 2^64
    S   uint64 [t + 1] sums before each word:  S_i = sum_{k<i} h_k B^k            modulo 2^64 (Karp and Rabin 1987)
    W   window of the w words from i on:  (S_{i+w} - S_i) B^-i                    the same wherever they stand
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from autosel_runtime.evaluate.task import Item
from autosel_runtime.signals.text import WordBatch, hash_words, mix, powers

ANCHOR = 8
_BASE = 0xD1342543DE82EF95
_INVERSE = pow(_BASE, -1, 1 << 64)
_SIEVE_BITS = 16

Hashes = NDArray[np.uint64]
Question = tuple[str, str]  # task, item id


@dataclass(kw_only=True)
class QuestionIndex:
    """The questions of all tasks, to be looked for in texts.

    ``items``: the items of each task. An item is looked for in two forms: the texts that its task inserts into the
    prompt, and the prompt's last message as a whole.
    """

    items: Mapping[str, int]
    _whole: dict[tuple[int, int], list[Question]]
    _lengths: dict[int, set[int]]
    _anchors: Hashes
    _sieve: NDArray[np.bool_] = field(repr=False)

    @classmethod
    def of(cls, items: Iterable[Item]) -> "QuestionIndex":
        """Return the index of ``items``."""
        counts: dict[str, int] = defaultdict(int)
        names: list[Question] = []
        texts: list[str] = []
        for item in items:
            counts[item.task] += 1
            for text in {item.question, item.messages[-1]["content"]}:
                names.append((item.task, item.id))
                texts.append(text)
        words = hash_words(texts)
        sums = _sums(words.hashes)
        starts = words.offsets[:-1]
        whole: dict[tuple[int, int], list[Question]] = defaultdict(list)
        lengths: dict[int, set[int]] = defaultdict(set)
        windows = _windows(sums, starts, words.lengths).tolist()
        long = words.lengths >= ANCHOR
        anchors = _windows(sums, np.where(long, starts, 0), np.where(long, ANCHOR, 0)).tolist()
        for name, size, window, anchor in zip(names, words.lengths.tolist(), windows, anchors, strict=True):
            if size:
                whole[size, window].append(name)
            if size >= ANCHOR:
                lengths[anchor].add(size)
        sieve = np.zeros(1 << _SIEVE_BITS, dtype=np.bool_)
        known = np.array(sorted(lengths), dtype=np.uint64)
        sieve[known & np.uint64((1 << _SIEVE_BITS) - 1)] = True
        return cls(
            items=dict(counts), _whole=dict(whole), _lengths=dict(lengths), _anchors=known, _sieve=sieve
        )

    def find(self, texts: Sequence[str]) -> Iterator[tuple[Question, int]]:
        """Yield (question, number of the text) for questions that stand in ``texts``; a pair may come twice."""
        words = hash_words(texts)
        sums = _sums(words.hashes)
        for number, (size, window) in enumerate(
            zip(
                words.lengths.tolist(),
                _windows(sums, words.offsets[:-1], words.lengths).tolist(),
                strict=True,
            )
        ):
            for question in self._whole.get((size, window), ()):
                yield question, number
        if len(self._anchors):
            yield from self._inside(words, sums)

    def _inside(self, words: WordBatch, sums: Hashes) -> Iterator[tuple[Question, int]]:
        """Find the long questions: first where one could begin, then whether the rest follows."""
        ends = np.repeat(words.offsets[1:], words.lengths)
        starts = np.flatnonzero(np.arange(len(ends)) + ANCHOR <= ends)
        found = _windows(sums, starts, ANCHOR)
        near = self._sieve[found & np.uint64((1 << _SIEVE_BITS) - 1)]
        starts, found = starts[near], found[near]
        at = np.searchsorted(self._anchors, found)
        hit = self._anchors[np.minimum(at, len(self._anchors) - 1)] == found
        starts, found = starts[hit], found[hit]
        for anchor in np.unique(found).tolist():
            here = starts[found == anchor]
            for size in sorted(self._lengths[anchor]):
                fits = here[here + size <= ends[here]]
                for start, window in zip(fits.tolist(), _windows(sums, fits, size).tolist(), strict=True):
                    for question in self._whole.get((size, window), ()):
                        yield question, int(np.searchsorted(words.offsets, start, side="right")) - 1


@dataclass(kw_only=True)
class Overlap:
    """What was found so far: by question, the first sample that it stands in, of the pool and of each target."""

    index: QuestionIndex
    places: dict[str, dict[Question, str]] = field(default_factory=dict[str, dict[Question, str]])

    def look(self, place: str, chats: Sequence[tuple[str, Sequence[str]]]) -> None:
        """Look through samples, given as (id, texts of its messages), of ``place``: a target's name, or POOL."""
        found = self.places.setdefault(place, {})
        texts = [text for _, messages in chats for text in messages]
        owners = [sample for sample, messages in chats for _ in messages]
        first: dict[Question, int] = {}
        for question, number in self.index.find(texts):
            first[question] = min(number, first.get(question, number))
        for question, number in first.items():
            found.setdefault(question, owners[number])

    def counts(self) -> dict[str, tuple[int, int, int]]:
        """Return (items, of these in the pool, in a target) of the tasks with any, the largest share first."""
        pool = self.places.get(POOL, {})
        targets = {question for place, found in self.places.items() if place != POOL for question in found}
        rows: dict[str, tuple[int, int, int]] = {}
        for task, total in self.index.items.items():
            in_pool = sum(name == task for name, _ in pool)
            in_targets = sum(name == task for name, _ in targets)
            if in_pool or in_targets:
                rows[task] = (total, in_pool, in_targets)
        return dict(sorted(rows.items(), key=lambda row: (-max(row[1][1:]) / row[1][0], row[0])))

    def rows(self) -> list[dict[str, str]]:
        """Return every finding with its sample, in order of task, item and place."""
        return [
            {"task": task, "item": item, "place": place or "pool", "sample": sample}
            for (task, item), place, sample in sorted(
                (question, place, sample)
                for place, found in self.places.items()
                for question, sample in found.items()
            )
        ]


POOL = ""  # no target has an empty name


def _sums(hashes: Hashes) -> Hashes:
    """Return S [t + 1]: S_i = sum_{k < i} h_k B^k modulo 2^64."""
    sums = np.zeros(len(hashes) + 1, dtype=np.uint64)
    np.cumsum(hashes * powers(_BASE, len(hashes)), out=sums[1:])
    return sums


def _windows(sums: Hashes, starts: NDArray[np.int64], sizes: NDArray[np.int64] | int) -> Hashes:
    """Return the hashes of the words starts[i] .. starts[i] + sizes[i], wherever they stand."""
    return mix((sums[starts + sizes] - sums[starts]) * powers(_INVERSE, len(sums))[starts])
