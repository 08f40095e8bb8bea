"""Tasks of lm-evaluation-harness by name, scored by that library, in our items format.

The items of a half are chosen here, by the content of each document, and only they are run. A group (``mmlu``,
say) counts as one task whose items are those of all its members. Where a task reports several metrics or
filters, the tolerant filter (``flexible-extract``) and the task's first metric are taken.

The library batches the documents of a task by itself, and in other batches a model gives slightly other numbers. So a
sharded evaluation does not split these tasks: each falls to one shard, whole.
"""

import importlib
import logging
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import orjson

from autosel_runtime.api.evaluation import EvaluationSpec, Task
from autosel_runtime.checkpoint import load_model, load_tokenizer, pick_device, with_adapter
from autosel_runtime.digest import digest_bytes, short
from autosel_runtime.errors import ConfigError, DataError, NoInputError, UnavailableError
from autosel_runtime.evaluate.prompts import text_digest
from autosel_runtime.evaluate.results import ItemResult
from autosel_runtime.evaluate.split import Half, half_of
from autosel_runtime.evaluate.task import Item, draw

_PREFERRED_FILTERS = ("flexible-extract", "none")


def run_named_tasks(
    tasks: Sequence[Task],
    *,
    model: Path | str,
    adapter: Path | None,
    half: Half,
    spec: EvaluationSpec,
    base: Path,
    chat_template: str | None = None,
    revision: str | None = None,
    shard: tuple[int, int] | None = None,
) -> list[ItemResult]:
    """Score a model on ``tasks`` that name an ``lm_eval`` task, or a task YAML of that library below ``base``.

    Raises UnavailableError without the library, DataError for an unknown task, NoInputError for its data,
    ConfigError when a task's scores are not in 0..1. With ``shard`` (index, count) every count-th task is scored.
    """
    if shard is not None:
        tasks = tasks[shard[0] :: shard[1]]
    if not tasks:
        return []
    harness = _harness()
    found: list[tuple[Task, Any, dict[str, Any]]] = []
    for task in tasks:
        name, folder = _name_and_folder(task, base)
        # Reading the library's ten thousand task files takes many seconds; a local task needs none of them.
        local = folder is not None
        manager = harness.tasks.TaskManager(
            include_path=str(folder) if local else None, include_defaults=not local
        )
        found.append((task, manager, _members(harness, task, name, manager)))
    device = pick_device()
    loaded = load_model(model, dtype="bfloat16" if device.accelerator else "float32", revision=revision)
    if adapter is not None:
        loaded = with_adapter(loaded, adapter)
    tokenizer = load_tokenizer(model, chat_template=chat_template, revision=revision)
    engine = importlib.import_module("lm_eval.models.huggingface").HFLM(
        pretrained=loaded.to(device.name).eval(),
        tokenizer=tokenizer,
        batch_size=spec.batch_size,
        device=device.name,
        backend="causal",
    )
    results: list[ItemResult] = []
    for task, manager, members in found:
        indices = _chosen(task, members, half, spec)
        if indices:
            results.extend(_run(harness, manager, engine, tokenizer, task, members, indices, spec))
    return sorted(results, key=lambda result: (result.task, result.item))


def _run(
    harness: Any,
    manager: Any,
    engine: Any,
    tokenizer: Any,
    task: Task,
    members: Mapping[str, Any],
    indices: Mapping[str, list[int]],
    spec: EvaluationSpec,
) -> list[ItemResult]:
    limits = {} if spec.max_new_tokens is None else {"gen_kwargs": {"max_gen_toks": spec.max_new_tokens}}
    answer = harness.simple_evaluate(
        model=engine,
        tasks=[members[name] for name in indices],
        samples=dict(indices),
        task_manager=manager,
        bootstrap_iters=0,
        log_samples=True,
        apply_chat_template=bool(tokenizer.chat_template),
        **limits,
    )
    ids = _ids(members)
    results: list[ItemResult] = []
    for name, wanted in indices.items():
        logged = _one_filter(answer["samples"][name])
        by_place = {int(sample["doc_id"]): sample for sample in logged}
        for place in wanted:
            if place not in by_place:
                raise DataError(
                    f"task {task.name}: lm-evaluation-harness did not score item {ids[name][place]}"
                )
            results.append(_result(task, ids[name][place], by_place[place]))
    return results


def _result(task: Task, item: str, sample: Mapping[str, Any]) -> ItemResult:
    metric = next((name for name in sample["metrics"] if isinstance(sample.get(name), int | float)), None)
    value = None if metric is None else float(sample[metric])
    if value is None or not 0.0 <= value <= 1.0:
        raise ConfigError(
            f"task {task.name}: lm-evaluation-harness scores it with {', '.join(sample['metrics'])}, of which none "
            "is a number from 0 to 1 for each item; such a task cannot be an objective"
        )
    replies = sample["filtered_resps"]
    is_text = all(isinstance(reply, str) for reply in replies)
    text = str(sample["resps"][0][0]) if is_text else ""
    found = str(replies[0]) if is_text else None
    parsed = not is_text or found != "[invalid]"
    return ItemResult(
        task=task.name,
        item=item,
        prompt=text_digest(str(sample["arguments"][0][0])),
        gold=str(sample["target"]),
        prediction=found if parsed else None,
        text=text,
        score=value,
        parsed=parsed,
        truncated=False,
        tokens=0,
    )


def _one_filter(samples: list[dict[str, Any]]) -> list[dict[str, Any]]:
    filters = list(dict.fromkeys(sample["filter"] for sample in samples))
    chosen = next((name for name in _PREFERRED_FILTERS if name in filters), filters[0])
    return [sample for sample in samples if sample["filter"] == chosen]


def _chosen(task: Task, members: Mapping[str, Any], half: Half, spec: EvaluationSpec) -> dict[str, list[int]]:
    """Return the places of the documents to run, by member, in order."""
    places: dict[str, tuple[str, int]] = {}
    for name, ids in _ids(members).items():
        for place, item in enumerate(ids):
            places[item] = (name, place)
    keys = list(places)
    if task.limit is not None and task.limit < len(keys):
        ordered = sorted(keys, key=lambda key: draw(spec.split_seed, "limit", task.name, key))
        kept = set(ordered[: task.limit])
        keys = [key for key in keys if key in kept]
    items = [Item(id=key, task=task.name, messages=(), gold="") for key in keys]
    chosen = half_of(items, half, task=task.name, seed=spec.split_seed, fraction=spec.search_fraction)
    indices: dict[str, list[int]] = {}
    for item in chosen:
        name, place = places[item.id]
        indices.setdefault(name, []).append(place)
    return indices


def _ids(members: Mapping[str, Any]) -> dict[str, list[str]]:
    """Return the ids of the members' documents, in order: 24 hex digits of their content, ``~k`` for the k-th
    repetition anywhere in the group."""
    seen: dict[str, int] = {}
    ids: dict[str, list[str]] = {}
    for name, member in members.items():
        ids[name] = []
        for document in member.eval_docs:
            key = short(digest_bytes(orjson.dumps(document, default=str, option=orjson.OPT_SORT_KEYS)), 24)
            seen[key] = seen.get(key, 0) + 1
            ids[name].append(key if seen[key] == 1 else f"{key}~{seen[key]}")
    return ids


def _members(harness: Any, task: Task, name: str, manager: Any) -> dict[str, Any]:
    if name not in manager.all_tasks:
        raise DataError(f"task {task.name}: lm-evaluation-harness has no task {name!r}")
    try:
        tree = harness.tasks.get_task_dict([name], manager)
    except (OSError, ConnectionError, ValueError) as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise NoInputError(f"task {task.name}: the items of {name} cannot be loaded: {reason}") from error
    return dict(sorted(_leaves(tree)))


def _leaves(tree: Mapping[Any, Any]) -> Iterator[tuple[str, Any]]:
    for key, value in tree.items():
        if isinstance(value, Mapping):
            yield from _leaves(value)
        else:
            yield str(key), value


def _name_and_folder(task: Task, base: Path) -> tuple[str, Path | None]:
    wanted = str(task.lm_eval)
    if not wanted.endswith((".yaml", ".yml")):
        return wanted, None
    path = base / wanted
    if not path.is_file():
        raise NoInputError(f"task {task.name}: there is no lm-evaluation-harness task file {path}")
    for line in path.read_text("utf-8").splitlines():
        if line.startswith("task:"):
            return line.removeprefix("task:").strip().strip("\"'"), path.parent
    raise DataError(f"{path}: names no task (a line 'task: NAME')")


def _harness() -> Any:
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    try:
        harness = importlib.import_module("lm_eval")
        for part in ("evaluator", "tasks"):
            importlib.import_module(f"lm_eval.{part}")
    except ModuleNotFoundError as error:
        if error.name != "lm_eval":
            raise
        raise UnavailableError(
            "lmEval tasks need lm-evaluation-harness; pip install 'autosel[train,eval]'"
        ) from None
    logging.getLogger("lm_eval").setLevel(logging.ERROR)
    return harness
