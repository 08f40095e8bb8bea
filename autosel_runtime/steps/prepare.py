"""prepare: read and check every input of the search once, build the pool, fix all digests.

What is wrong with the pool, the model, the targets or the tasks is found here, before any accelerator is used.
"""

import time
from pathlib import Path
from typing import Any

from autosel_runtime.api.evaluation import EvaluationSpec, Task
from autosel_runtime.checkpoint import model_digest
from autosel_runtime.digest import digest, short
from autosel_runtime.evaluate.task import load_task
from autosel_runtime.pool.build import build_pool
from autosel_runtime.pool.queries import load_queries
from autosel_runtime.steps.context import StepContext, StepOutput, files_of
from autosel_runtime.steps.kept import fresh
from autosel_runtime.store.publish import find, publish

MAX_SOURCES_IN_SUMMARY = 16


def prepare(context: StepContext) -> StepOutput:
    """Build the pool and return the digests that every later step is named after."""
    started = time.monotonic()
    spec, base = context.spec, context.base
    models = {uri: _model_identity(uri, context) for uri in _model_uris(context)}
    tasks = tasks_digest(spec.evaluation, base)
    targets = digest(
        {target.name: [sample.id for sample in load_queries(target, base)] for target in spec.targets}
    )
    folder = fresh(context.work / "pool")
    manifest = build_pool(spec.pool, base=base, out=folder)
    prefix = f"pools/{short(manifest.digest, 24)}"
    if find(context.store, prefix) is None:
        publish(
            context.store,
            prefix,
            files_of(folder),
            step="prepare",
            attempt=context.document.name,
            summary={"rows": manifest.rows, "digest": manifest.digest},
        )
    summary: dict[str, Any] = {
        "pool": prefix,
        "pool_digest": manifest.digest,
        "rows": manifest.rows,
        "sources": _sources(manifest),
        "model_digest": models[spec.model.uri],
        "signal_model_digest": models[spec.signals.language_model.model or spec.model.uri],
        "transfer_model_digests": [models[uri] for uri in spec.evaluation.transfer_models],
        "targets_digest": targets,
        "tasks_digest": tasks,
        "seconds": round(time.monotonic() - started, 2),
    }
    return StepOutput(files={"rejects.jsonl": folder / "rejects.jsonl"}, summary=summary)


def tasks_digest(spec: EvaluationSpec, base: Path) -> str:
    """Return the digest of all tasks' contents, wherever their files lie."""
    tasks = [*spec.tasks, *spec.out_of_domain]
    return digest({task.name: _task_identity(task, base, spec.split_seed) for task in tasks})


def _task_identity(task: Task, base: Path, split_seed: int) -> dict[str, Any]:
    """Return what a task's scores depend on: its definition and its items, or the harness's name for it."""
    if task.lm_eval is not None:
        return {"lm_eval": task.lm_eval}
    loaded = load_task(task, base, split_seed=split_seed)
    return {
        "definition": loaded.definition.model_dump(mode="json"),
        "items": [[item.id, item.gold, *item.options] for item in loaded.items],
    }


def _model_identity(uri: str, context: StepContext) -> str:
    model = context.model(uri)
    if isinstance(model, Path):
        return model_digest(model)
    return digest({"model": model, "revision": context.spec.model.revision})


def _model_uris(context: StepContext) -> list[str]:
    spec = context.spec
    uris = [spec.model.uri, *spec.evaluation.transfer_models]
    if spec.signals.language_model.enabled and spec.signals.language_model.model:
        uris.append(spec.signals.language_model.model)
    return list(dict.fromkeys(uris))


def _sources(manifest: Any) -> list[dict[str, Any]]:
    rows = [
        {
            "name": source.name,
            "rows": source.rows,
            "rejected": source.rejected,
            "duplicates": source.duplicates,
        }
        for source in manifest.sources
    ]
    return sorted(rows, key=lambda row: -int(row["rows"]))[:MAX_SOURCES_IN_SUMMARY]
