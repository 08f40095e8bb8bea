"""prepare: read and check every input of the search once, build the pool, fix all digests.

What is wrong with the pool, the model, the targets or the tasks is found here, before any accelerator is used.
"""

import time
from pathlib import Path
from typing import Any

from autosel_runtime.api.evaluation import EvaluationSpec, Task
from autosel_runtime.api.recipe_search import RecipeSearchSpec
from autosel_runtime.checkpoint import model_digest
from autosel_runtime.digest import canonical_json, digest, short
from autosel_runtime.errors import ConfigError, DataError
from autosel_runtime.evaluate.task import load_task
from autosel_runtime.pool.build import build_pool
from autosel_runtime.pool.manifest import PoolManifest
from autosel_runtime.pool.queries import load_queries
from autosel_runtime.recipe.catalog import validate_recipe
from autosel_runtime.steps.catalog import catalog_of
from autosel_runtime.steps.context import StepContext, StepOutput, files_of
from autosel_runtime.steps.kept import fresh
from autosel_runtime.steps.summary import RECIPE_BYTES, head
from autosel_runtime.store.publish import find, publish

SOURCES_BYTES = 1500  # of the summary; all sources are in pool.json


def prepare(context: StepContext) -> StepOutput:
    """Build the pool and return the digests that every later step is named after."""
    started = time.monotonic()
    spec, base = context.spec, context.base
    _check_recipes(spec)
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
    sources, left_out = head(_sources(manifest), SOURCES_BYTES)
    summary: dict[str, Any] = {
        "pool": prefix,
        "pool_digest": manifest.digest,
        "rows": manifest.rows,
        "sources": list(sources.values()),
        "sources_left_out": left_out,
        "model_digest": models[spec.model.uri],
        "signal_model_digest": models[spec.signals.language_model.model or spec.model.uri],
        "transfer_model_digests": [models[uri] for uri in spec.evaluation.transfer_models],
        "targets_digest": targets,
        "tasks_digest": tasks,
        "seconds": round(time.monotonic() - started, 2),
    }
    return StepOutput(files={"rejects.jsonl": folder / "rejects.jsonl"}, summary=summary)


def _check_recipes(spec: RecipeSearchSpec) -> None:
    """Refuse operators that do not exist and seed recipes that no pool could make valid."""
    catalog = catalog_of(spec)
    unknown = [name for name in spec.search.operators or () if name not in catalog]
    if unknown:
        raise ConfigError(
            f"spec.search.operators: {unknown[0]!r} is no operator; there are: {', '.join(sorted(catalog))}"
        )
    for index, recipe in enumerate(spec.search.seed_recipes):
        field = f"spec.search.seedRecipes[{index}]"
        problems = validate_recipe(recipe, catalog)
        if problems:
            raise DataError(f"{field}.{problems[0]}")
        size = len(canonical_json(recipe.model_dump(mode="json")))
        if size > RECIPE_BYTES:
            raise DataError(f"{field} takes {size:,} bytes of JSON, at most {RECIPE_BYTES:,} are allowed")


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


def _sources(manifest: PoolManifest) -> dict[str, dict[str, Any]]:
    """Return the sources by name, the biggest first."""
    return {
        source.name: {
            "name": source.name,
            "rows": source.rows,
            "rejected": source.rejected,
            "duplicates": source.duplicates,
        }
        for source in sorted(manifest.sources, key=lambda source: (-source.rows, source.name))
    }
