"""Score a model on tasks: the evaluate step.

Every item of the half is scored or the evaluation fails; there is no partial score. Batches are planned over all
items of a task, longest prompts first, before the work is shared out, so a sharded evaluation computes the very
same batches as a single one and its merged result is equal to the bit.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from autosel_runtime.api.evaluation import EvaluationSpec, Task
from autosel_runtime.checkpoint import versions
from autosel_runtime.errors import ConfigError, DataError
from autosel_runtime.evaluate.backend import Backend, OutOfMemoryError
from autosel_runtime.evaluate.definition import TaskDefinition
from autosel_runtime.evaluate.prompts import Prompt, prepare_prompts, score_options, score_reply
from autosel_runtime.evaluate.results import (
    Evaluation,
    ItemResult,
    read_items,
    shard_file,
    summarize,
    write_evaluation,
)
from autosel_runtime.evaluate.split import Half, half_of
from autosel_runtime.evaluate.task import Item, LoadedTask, load_task
from autosel_runtime.pool.files import Bring
from autosel_runtime.progress import Progress


def evaluate(
    *,
    model: Path | str,
    adapter: Path | None = None,
    tasks: Sequence[Task],
    half: Half,
    spec: EvaluationSpec,
    base: Path,
    out: Path,
    chat_template: str | None = None,
    revision: str | None = None,
    shard: tuple[int, int] | None = None,
    backend: Callable[[], Backend] | None = None,
    bring: Bring | None = None,
) -> Evaluation:
    """Score ``model`` (with ``adapter``) on one half of the items of ``tasks`` and write the result to ``out``.

    ``out`` gets ``items.jsonl`` and ``scores.json``; with ``shard`` (index, count) only the items of that part, for
    ``merge``. ``backend`` makes the engine; transformers in this process when left out. ``bring`` brings items that lie
    in object storage.

    Raises DataError (broken items, an item that was not scored), NoInputError (missing files), ConfigError (a
    prompt longer than the model's context, a batch of one that does not fit), UnavailableError.
    """
    started = time.monotonic()
    if shard is not None and not 0 <= shard[0] < shard[1]:
        raise ConfigError(f"shard {shard[0]} of {shard[1]} does not exist")
    plans = _load(tasks, half=half, spec=spec, base=base, bring=bring)
    engine: Backend | None = None
    items: list[ItemResult] = []
    with Progress("evaluate", total=sum(len(chosen) for _, chosen in plans), unit="items") as progress:
        for loaded, chosen in plans:
            if engine is None:
                engine = backend() if backend else _transformers(model, adapter, chat_template, revision)
            progress.label = f"evaluate, {loaded.task.name}"
            items.extend(_run(engine, loaded.definition, chosen, spec, shard, progress))
    named = [task for task in tasks if task.lm_eval is not None]
    if named:
        from autosel_runtime.evaluate.lm_eval import run_named_tasks

        items.extend(
            run_named_tasks(
                named, model=model, adapter=adapter, half=half, spec=spec, base=base,
                chat_template=chat_template, revision=revision, shard=shard,
            )
        )  # fmt: skip
    if shard is None:
        for loaded, chosen in plans:
            _require_all(loaded.task.name, chosen, items)
    evaluation = summarize(items, tasks, half=half, seconds=time.monotonic() - started, shard=shard)
    write_evaluation(evaluation, out, details=_details(spec))
    return evaluation


def merge(
    *,
    shards: Sequence[Path],
    tasks: Sequence[Task],
    half: Half,
    spec: EvaluationSpec,
    base: Path,
    out: Path,
    seconds: float = 0.0,
    bring: Bring | None = None,
) -> Evaluation:
    """Join the parts that ``evaluate`` wrote into folders ``shards``, in shard order, and write the whole.

    ``seconds`` is the time that scoring them took. Raises NoInputError when a part is missing, DataError when an item
    is missing, unknown or there twice.
    """
    items: list[ItemResult] = []
    for index, folder in enumerate(shards):
        items.extend(read_items(folder / shard_file(index, len(shards))))
    order: dict[tuple[str, str], int] = {}
    for loaded, chosen in _load(tasks, half=half, spec=spec, base=base, bring=bring):
        _require_all(loaded.task.name, chosen, items)
        for item in chosen:
            order[loaded.task.name, item.id] = len(order)
    # Items of lm-evaluation-harness have no order of their own here; they follow, by task and id.
    items.sort(key=lambda item: (order.get((item.task, item.item), len(order)), item.task, item.item))
    evaluation = summarize(items, tasks, half=half, seconds=seconds)
    write_evaluation(evaluation, out, details=_details(spec))
    return evaluation


def _load(
    tasks: Sequence[Task], *, half: Half, spec: EvaluationSpec, base: Path, bring: Bring | None = None
) -> list[tuple[LoadedTask, list[Item]]]:
    plans: list[tuple[LoadedTask, list[Item]]] = []
    for task in tasks:
        if task.lm_eval is not None:
            continue
        loaded = load_task(task, base, split_seed=spec.split_seed, bring=bring)
        chosen = half_of(
            loaded.items, half, task=task.name, seed=spec.split_seed, fraction=spec.search_fraction
        )
        plans.append((loaded, chosen))
    return plans


def _run(
    engine: Backend,
    definition: TaskDefinition,
    items: Sequence[Item],
    spec: EvaluationSpec,
    shard: tuple[int, int] | None,
    progress: Progress,
) -> list[ItemResult]:
    """Score the items of one task, or a shard's batches of them; results in item order."""
    prompts = prepare_prompts(engine.tokenizer, definition, items)
    limit = _token_limit(engine, definition, prompts, spec)
    order = sorted(range(len(prompts)), key=lambda i: (-len(prompts[i].ids), i))
    batches = [order[i : i + spec.batch_size] for i in range(0, len(order), spec.batch_size)]
    done: dict[int, ItemResult] = {}
    for batch in batches if shard is None else batches[shard[0] :: shard[1]]:
        results = _run_batch(engine, definition, [prompts[i] for i in batch], limit)
        done.update(zip(batch, results, strict=True))
        progress.advance(len(batch))
    return [done[i] for i in sorted(done)]


def _run_batch(
    engine: Backend, definition: TaskDefinition, prompts: list[Prompt], limit: int
) -> list[ItemResult]:
    try:
        if definition.scoring == "choice_loglikelihood":
            table = engine.log_likelihoods([p.ids for p in prompts], [p.options for p in prompts])
            return [score_options(p, row) for p, row in zip(prompts, table, strict=True)]
        replies = engine.generate([p.ids for p in prompts], max_new_tokens=limit, stop=definition.stop)
        return [score_reply(definition, p, reply) for p, reply in zip(prompts, replies, strict=True)]
    except OutOfMemoryError:
        if len(prompts) == 1:
            raise ConfigError(
                f"task {definition.name}: out of memory with a single prompt of {len(prompts[0].ids)} tokens and "
                f"{limit} new ones; lower evaluation.maxNewTokens or use a larger device"
            ) from None
    middle = len(prompts) // 2
    return [
        *_run_batch(engine, definition, prompts[:middle], limit),
        *_run_batch(engine, definition, prompts[middle:], limit),
    ]


def _token_limit(
    engine: Backend, definition: TaskDefinition, prompts: Sequence[Prompt], spec: EvaluationSpec
) -> int:
    longest = max(prompts, key=lambda prompt: len(prompt.ids))
    reserve = max((len(option) for option in longest.options), default=0)
    room = engine.context - len(longest.ids) - reserve
    if room < (1 if definition.scoring == "generate" else 0):
        raise ConfigError(
            f"task {longest.item.task}: the prompt of item {longest.item.id} has {len(longest.ids)} tokens, and the "
            f"model takes {engine.context} with the reply; use fewer shots or another model"
        )
    return min(spec.max_new_tokens or definition.max_new_tokens, max(room, 1))


def _require_all(task: str, wanted: Sequence[Item], got: Sequence[ItemResult]) -> None:
    ids = [item.item for item in got if item.task == task]
    missing = {item.id for item in wanted} - set(ids)
    unknown = set(ids) - {item.id for item in wanted}
    if missing or unknown or len(ids) != len(wanted):
        example = next(iter(sorted(missing or unknown)), "an item that is there twice")
        raise DataError(
            f"task {task}: {len(ids)} items were scored and {len(wanted)} expected (first difference: {example}); "
            "a score over a part of a benchmark is no score"
        )


def _details(spec: EvaluationSpec) -> Mapping[str, Any]:
    return {
        "searchFraction": spec.search_fraction,
        "splitSeed": spec.split_seed,
        "decoding": "greedy",
        "versions": dict(versions()),
    }


def _transformers(
    model: Path | str, adapter: Path | None, chat_template: str | None, revision: str | None
) -> Backend:
    from autosel_runtime.evaluate.transformers_backend import TransformersBackend

    return TransformersBackend(model=model, adapter=adapter, chat_template=chat_template, revision=revision)
