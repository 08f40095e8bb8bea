"""Scored items and what they add up to: the files ``items.jsonl`` and ``scores.json``."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import orjson

from autosel_runtime.api.evaluation import Task
from autosel_runtime.errors import DataError, NoInputError, OutputError
from autosel_runtime.evaluate.split import Half
from autosel_runtime.evaluate.statistics import Estimate, objective, task_mean

ITEMS_FILE = "items.jsonl"
SCORES_FILE = "scores.json"
SCHEMA = 1


@dataclass(frozen=True, kw_only=True)
class ItemResult:
    """One scored item. ``prompt``: 24 hex digits of the SHA-256 of the rendered prompt; ``prediction``: None
    when no answer was found in ``text``; ``score`` 0..1; ``truncated``: the reply reached its limit."""

    task: str
    item: str
    prompt: str
    gold: str
    prediction: str | None
    text: str
    score: float
    parsed: bool
    truncated: bool
    tokens: int


@dataclass(frozen=True, kw_only=True)
class TaskScore:
    """One task: items, mean score and its error, shares of replies without an answer and at their limit."""

    n: int
    mean: float
    stderr: float
    weight: float
    unparsed: float
    truncated: float


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """A finished evaluation. ``objective`` is the weighted mean of the tasks' means; ``tokens`` were generated.

    ``shard`` is (index, count) when only that part of the work was done: then tasks and objective cover just it.
    """

    tasks: Mapping[str, TaskScore]
    objective: Estimate
    items: tuple[ItemResult, ...]
    half: Half
    tokens: int
    seconds: float
    shard: tuple[int, int] | None = None


def summarize(
    items: Sequence[ItemResult],
    tasks: Sequence[Task],
    *,
    half: Half,
    seconds: float,
    shard: tuple[int, int] | None = None,
) -> Evaluation:
    """Add scored items up, task by task. Tasks without an item (in a shard) are left out."""
    scores: dict[str, TaskScore] = {}
    means: dict[str, Estimate] = {}
    for task in tasks:
        own = [item for item in items if item.task == task.name]
        if not own:
            continue
        means[task.name] = task_mean([item.score for item in own])
        scores[task.name] = TaskScore(
            n=len(own),
            mean=means[task.name].mean,
            stderr=means[task.name].stderr,
            weight=task.weight,
            unparsed=sum(not item.parsed for item in own) / len(own),
            truncated=sum(item.truncated for item in own) / len(own),
        )
    weights = {task.name: task.weight for task in tasks}
    total = objective(means, weights) if means else Estimate(mean=0.0, stderr=0.5, n=0)
    return Evaluation(
        tasks=scores,
        objective=total,
        items=tuple(items),
        half=half,
        tokens=sum(item.tokens for item in items),
        seconds=round(seconds, 3),
        shard=shard,
    )


def shard_file(index: int, count: int) -> str:
    """Return the name of a shard's items file."""
    return f"items-{index:05d}-of-{count:05d}.jsonl"


def write_evaluation(evaluation: Evaluation, out: Path, *, details: Mapping[str, Any]) -> None:
    """Write ``items.jsonl`` and ``scores.json`` into folder ``out``; a shard writes its items only."""
    lines = b"".join(orjson.dumps(asdict(item)) + b"\n" for item in evaluation.items)
    if evaluation.shard is not None:
        _replace(out / shard_file(*evaluation.shard), lines)
        return
    document = {
        "schema": SCHEMA,
        "half": evaluation.half,
        "objective": {"mean": evaluation.objective.mean, "stderr": evaluation.objective.stderr},
        "tasks": {name: asdict(task) for name, task in evaluation.tasks.items()},
        "tokens": evaluation.tokens,
        "seconds": evaluation.seconds,
        **details,
    }
    _replace(out / ITEMS_FILE, lines)
    _replace(out / SCORES_FILE, orjson.dumps(document, option=orjson.OPT_INDENT_2))


def read_items(path: Path) -> list[ItemResult]:
    """Read ``items.jsonl`` or a shard of it. NoInputError when it is missing, DataError when it is broken."""
    try:
        lines = path.read_bytes().splitlines()
    except OSError as error:
        raise NoInputError(f"{path}: no scored items here: {error.strerror}") from None
    items: list[ItemResult] = []
    for number, line in enumerate(lines, start=1):
        try:
            items.append(ItemResult(**orjson.loads(line)))
        except (orjson.JSONDecodeError, TypeError) as error:
            raise DataError(f"{path}:{number}: not a scored item: {error}") from None
    return items


def item_scores(items: Sequence[ItemResult]) -> dict[str, dict[str, float]]:
    """Return task -> item id -> score, the form that paired comparisons take."""
    scores: dict[str, dict[str, float]] = {}
    for item in items:
        scores.setdefault(item.task, {})[item.item] = item.score
    return scores


def _replace(path: Path, data: bytes) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f".{path.name}.partial")
        temporary.write_bytes(data)
        temporary.replace(path)
    except OSError as error:
        raise OutputError(f"{path}: cannot be written: {error.strerror}") from error
