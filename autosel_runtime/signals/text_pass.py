"""The pass over the text of samples: lexical signals, exact-duplicate hashes and MinHash signatures.

Samples go through in chunks of a fixed size. A chunk's values depend on nothing outside it, so the number of
processes never changes a result.
"""

import os
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Executor, Future, ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import islice
from multiprocessing import get_context
from typing import Any

import numpy as np
from numpy.typing import NDArray

from autosel_runtime.api.signals import LexicalSignals, MinHashSignals
from autosel_runtime.errors import AutoselError
from autosel_runtime.pool.sample import Sample
from autosel_runtime.recipe.guard import fault
from autosel_runtime.signals import action_object, lexical, minhash
from autosel_runtime.signals.families import Extension
from autosel_runtime.signals.quality import quality
from autosel_runtime.signals.text import all_contents, answer_text, hash_words, normalised, text_hash

CHUNK = 512
# Below this, starting processes costs more than it saves.
ROWS_FOR_PROCESSES = 4_000

Arrays = dict[str, NDArray[Any]]


@dataclass(frozen=True, kw_only=True)
class TextPlan:
    """What to compute: lexical signals, relevance to these prototypes, signatures; None for what is not asked."""

    lexical: LexicalSignals | None = None
    minhash: MinHashSignals | None = None
    prototypes: Mapping[str, NDArray[np.float32]] = field(default_factory=dict[str, NDArray[np.float32]])


def text_arrays(samples: Sequence[Sample], plan: TextPlan) -> dict[str, Arrays]:
    """Return the arrays of a chunk by family.

    ``lexical``: float32 columns, ``exact`` (uint64 hash of the normalised text) and ``note.*`` counts.
    ``minhash``: ``signatures`` (uint32 [n, permutations]).
    """
    contents = [all_contents(sample) for sample in samples]
    words = hash_words(contents)
    result: dict[str, Arrays] = {}
    if plan.lexical is not None:
        columns: Arrays = {
            "answer_words": _floats(_white_space_words(answer_text(sample)) for sample in samples)
        }
        if plan.lexical.ngram_entropy:
            columns["ngram_entropy"] = lexical.ngram_entropy(words)
        if plan.lexical.quality:
            columns["quality"] = _floats(quality(sample) for sample in samples)
        for name, values in lexical.relevance(words, plan.prototypes).items():
            columns[f"relevance.{name}"] = values
        if plan.lexical.action_object:
            scored = action_object.action_object(contents, plan.lexical.spacy_model)
            columns["action_object"] = _floats(value for value, _ in scored)
            columns["note.action_object_cut"] = np.array([sum(cut for _, cut in scored)], dtype=np.int64)
        hashes = (text_hash(normalised(sample)) for sample in samples)
        columns["exact"] = np.fromiter(hashes, dtype=np.uint64, count=len(samples))
        result["lexical"] = columns
    if plan.minhash is not None:
        settings = plan.minhash
        signatures = minhash.signatures(words, ngram=settings.ngram, permutations=settings.permutations)
        result["minhash"] = {"signatures": signatures}
    return result


def compute_text(
    samples: Iterable[Sample],
    plan: TextPlan,
    executor: Executor | None,
    *,
    workers: int = 1,
    report: Callable[[int], None] = lambda _: None,
) -> dict[str, Arrays]:
    """Return the arrays of many samples, chunk by chunk, here or in the executor's processes."""
    parts: list[dict[str, Arrays]] = []

    def take(part: dict[str, Arrays], count: int) -> None:
        parts.append(part)
        report(count)

    waiting: deque[tuple[Future[dict[str, Arrays]], int]] = deque()
    for chunk in _chunks(samples):
        if executor is None:
            take(text_arrays(chunk, plan), len(chunk))
            continue
        waiting.append((executor.submit(_in_worker, chunk), len(chunk)))
        if len(waiting) > 2 * workers:
            future, count = waiting.popleft()
            take(future.result(), count)
    for future, count in waiting:
        take(future.result(), count)
    return _joined(parts)


def compute_extensions(samples: Iterable[Sample], extensions: Sequence[Extension]) -> Arrays:
    """Return float32 columns of extension signals; NaN where a function gives None.

    ExtensionError names the signal and the sample when a function raises or returns no number.
    """
    values: dict[str, list[float]] = {name: [] for name, _ in extensions}
    for sample in samples:
        for name, function in extensions:
            try:
                value = function(sample)
                values[name].append(float("nan") if value is None else float(value))
            except (AutoselError, MemoryError):
                raise
            except Exception as error:
                raise fault(
                    f"extension signal {name!r} failed on sample {sample.id}", function, error
                ) from error
    return {name: np.array(column, dtype=np.float32) for name, column in values.items()}


@contextmanager
def text_processes(
    plan: TextPlan, rows: int, workers: int | None = None
) -> Generator[tuple[Executor | None, int]]:
    """Yield (executor, processes) for ``rows`` rows: none for few rows or one core.

    Signatures alone cost less than handing the samples to another process.
    """
    count = len(os.sched_getaffinity(0)) if workers is None else workers
    if count < 2 or rows < ROWS_FOR_PROCESSES or plan.lexical is None:
        yield None, 1
        return
    # Not forked: a fork copies locks that threads of a loaded model may hold.
    with ProcessPoolExecutor(
        count, mp_context=get_context("spawn"), initializer=_start_worker, initargs=(plan,)
    ) as executor:
        yield executor, count


_worker_plan: TextPlan | None = None


def _start_worker(plan: TextPlan) -> None:
    global _worker_plan
    # The processes share the cores already; read by rensa's thread pool when it starts.
    os.environ["RAYON_NUM_THREADS"] = "1"
    _worker_plan = plan


def _in_worker(samples: Sequence[Sample]) -> dict[str, Arrays]:
    assert _worker_plan is not None
    return text_arrays(samples, _worker_plan)


def _chunks(samples: Iterable[Sample]) -> Iterator[list[Sample]]:
    iterator = iter(samples)
    while chunk := list(islice(iterator, CHUNK)):
        yield chunk


def _joined(parts: Sequence[dict[str, Arrays]]) -> dict[str, Arrays]:
    """Concatenate the chunks' arrays; counts are added up."""
    result: dict[str, Arrays] = {}
    for family in parts[0] if parts else {}:
        result[family] = {}
        for name in parts[0][family]:
            arrays = [part[family][name] for part in parts]
            is_count = name.startswith("note.")
            result[family][name] = np.sum(arrays, axis=0) if is_count else np.concatenate(arrays)
    return result


def _floats(values: Iterable[float | None]) -> NDArray[np.float32]:
    return np.array([np.nan if value is None else value for value in values], dtype=np.float32)


def _white_space_words(text: str | None) -> int | None:
    return None if text is None else len(text.split())
