"""The subset as token arrays.

Notation
    n   samples
    t   tokens of all samples together
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from autosel_runtime.chat import LossOn, Message, cut_chat, encode_chats
from autosel_runtime.errors import DataError, NoInputError

_CHUNK = 1000


@dataclass(frozen=True, kw_only=True)
class TokenizedSamples:
    """``ids`` int32 [t], ``learnt`` bool [t] (true where the loss counts), ``starts`` int64 [n + 1]; ``cut`` is
    the number of samples that were longer than allowed."""

    ids: NDArray[np.int32]
    learnt: NDArray[np.bool_]
    starts: NDArray[np.int64]
    cut: int

    @property
    def count(self) -> int:
        """n."""
        return len(self.starts) - 1

    @property
    def lengths(self) -> NDArray[np.int64]:
        """Tokens by sample [n]."""
        return np.diff(self.starts)

    @property
    def answer_lengths(self) -> NDArray[np.int64]:
        """Learnt tokens by sample [n]."""
        return np.add.reduceat(self.learnt, self.starts[:-1], dtype=np.int64)


def count_samples(path: Path) -> int:
    """Return the number of samples in ``train.jsonl``. NoInputError for a missing file, DataError for an empty one."""
    count = sum(bool(line.strip()) for _, line in _lines(path))
    if count == 0:
        raise DataError(f"{path}: the subset is empty; training needs at least one sample")
    return count


def tokenize_samples(
    path: Path, tokenizer: Any, *, rows: NDArray[np.int64], max_tokens: int, loss_on: LossOn
) -> TokenizedSamples:
    """Read samples ``rows`` (ascending numbers) of ``train.jsonl`` and tokenise them, in file order.

    Raises NoInputError for a missing file, DataError for a broken line or a sample without an answer, ConfigError
    for a chat template that cannot be used.
    """
    parts: list[NDArray[np.int32]] = []
    marks: list[NDArray[np.bool_]] = []
    cut = 0
    for chunk in _chunks(path, rows):
        for chat in encode_chats(tokenizer, chunk, loss_on=loss_on):
            short = cut_chat(chat, max_tokens, bos=tokenizer.bos_token_id)
            cut += short is not chat
            learnt = np.zeros(len(short.ids), dtype=np.bool_)
            for start, end in short.answers:
                learnt[start:end] = True
            parts.append(np.asarray(short.ids, dtype=np.int32))
            marks.append(learnt)
    starts = np.zeros(len(parts) + 1, dtype=np.int64)
    np.cumsum([len(part) for part in parts], out=starts[1:])
    return TokenizedSamples(ids=np.concatenate(parts), learnt=np.concatenate(marks), starts=starts, cut=cut)


def _chunks(path: Path, rows: NDArray[np.int64]) -> Iterator[list[tuple[str, list[Message]]]]:
    chunk: list[tuple[str, list[Message]]] = []
    wanted = iter(rows.tolist())
    following = next(wanted, None)
    row = -1
    for number, line in _lines(path):
        if not line.strip():
            continue
        row += 1
        if row != following:
            continue
        following = next(wanted, None)
        try:
            record = orjson.loads(line)
            chunk.append((str(record["id"]), list(record["messages"])))
        except (orjson.JSONDecodeError, KeyError, TypeError) as error:
            raise DataError(
                f'{path}:{number}: not a sample ({error}); a line is {{"id": …, "messages": […]}}'
            ) from error
        if len(chunk) == _CHUNK:
            yield chunk
            chunk = []
    if chunk:
        yield chunk


def _lines(path: Path) -> Iterator[tuple[int, bytes]]:
    try:
        with path.open("rb") as stream:
            yield from enumerate(stream, start=1)
    except (FileNotFoundError, IsADirectoryError) as error:
        raise NoInputError(f"{path}: no such file of training samples") from error
