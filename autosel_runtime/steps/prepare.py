"""prepare: read and check every input of the search once, build the pool, fix all digests.

What is wrong with the pool, the model, the targets or the tasks is found here, before any accelerator is used.
"""

import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import orjson

from autosel_runtime.api.evaluation import EvaluationSpec
from autosel_runtime.api.recipe_search import RecipeSearchSpec
from autosel_runtime.api.yaml_tree import field_text
from autosel_runtime.checkpoint import model_digest
from autosel_runtime.digest import digest, short
from autosel_runtime.errors import DataError
from autosel_runtime.evaluate.overlap import POOL, Overlap, QuestionIndex
from autosel_runtime.evaluate.split import require_two_halves
from autosel_runtime.evaluate.task import LoadedTask, load_task
from autosel_runtime.pool.build import build_pool
from autosel_runtime.pool.files import Bring
from autosel_runtime.pool.manifest import PoolManifest
from autosel_runtime.pool.pool import Pool
from autosel_runtime.pool.queries import load_queries
from autosel_runtime.pool.sample import Sample
from autosel_runtime.progress import Progress
from autosel_runtime.report.headline import overlap_words
from autosel_runtime.steps.catalog import catalog_of
from autosel_runtime.steps.context import StepContext, StepOutput, files_of
from autosel_runtime.steps.inputs import INPUTS_FILE, inputs_of
from autosel_runtime.steps.kept import fresh
from autosel_runtime.steps.recipes import spec_problems
from autosel_runtime.steps.summary import head
from autosel_runtime.store.inputs import inputs_json
from autosel_runtime.store.publish import find, publish

# Of the summary; all sources are in pool.json, all findings in overlap.jsonl.
SOURCES_BYTES = 1500
OVERLAP_BYTES = 700


def prepare(context: StepContext) -> StepOutput:
    """Build the pool and return the digests that every later step is named after."""
    started = time.monotonic()
    spec, base = context.spec, context.base
    _check_recipes(spec)
    context.inputs.take(list(inputs_of(spec)))
    bring = context.inputs.bring
    models = {uri: _model_identity(uri, context) for uri in _model_uris(context)}
    loaded = load_tasks(spec.evaluation, base, bring=bring)
    for task in spec.evaluation.tasks:
        if task.name in loaded:
            require_two_halves(task.name, len(loaded[task.name].items))
    tasks = tasks_digest(spec.evaluation, loaded)
    queries = {target.name: load_queries(target, base, bring=bring) for target in spec.targets}
    targets = digest({name: [sample.id for sample in samples] for name, samples in queries.items()})
    folder = fresh(context.work / "pool")
    manifest = build_pool(spec.pool, base=base, out=folder, bring=bring)
    _check_recipes(spec, [source.name for source in manifest.source_rows])
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
    overlap = _overlap(loaded, queries, Pool.open(folder))
    shared, shared_left_out = head(overlap.counts(), OVERLAP_BYTES)
    for name, counts in shared.items():
        print(f"warning: {overlap_words(name, *counts)}", file=sys.stderr, flush=True)
    sources, left_out = head(_sources(manifest), SOURCES_BYTES)
    summary: dict[str, Any] = {
        "pool": prefix,
        "pool_digest": manifest.digest,
        "rows": manifest.rows,
        "sources": list(sources.values()),
        "sources_left_out": left_out,
        "model_digest": models[spec.model.uri],
        "signal_model_digest": _signal_models(spec, models),
        "transfer_model_digests": [models[uri] for uri in spec.evaluation.transfer_models],
        "targets_digest": targets,
        "tasks_digest": tasks,
        "overlap": shared,
        "overlap_left_out": shared_left_out,
        "seconds": round(time.monotonic() - started, 2),
    }
    found = b"".join(orjson.dumps(row, option=orjson.OPT_APPEND_NEWLINE) for row in overlap.rows())
    return StepOutput(
        files={
            "rejects.jsonl": folder / "rejects.jsonl",
            "overlap.jsonl": found,
            INPUTS_FILE: inputs_json(context.inputs.snapshots),
        },
        summary=summary,
    )


def _check_recipes(spec: RecipeSearchSpec, sources: Sequence[str] | None = None) -> None:
    """Refuse operators and seed recipes that cannot run, before anything is trained."""
    catalog_of(spec)  # an extension that cannot be loaded has an error of its own
    problems = spec_problems(spec, sources=sources)
    if problems:
        sentences = [f"{field_text(('spec', *found.field))}: {found.message}" for found in problems]
        raise DataError("; ".join(sentences))


def load_tasks(spec: EvaluationSpec, base: Path, *, bring: Bring | None = None) -> dict[str, LoadedTask]:
    """Return all tasks by name that have items of their own, in the order of the document."""
    return {
        task.name: load_task(task, base, split_seed=spec.split_seed, bring=bring)
        for task in (*spec.tasks, *spec.out_of_domain)
        if task.lm_eval is None
    }


def tasks_digest(spec: EvaluationSpec, loaded: Mapping[str, LoadedTask]) -> str:
    """Return the digest of all tasks' contents, wherever their files lie: of all that scores depend on.

    Of a task of the harness that is its name.
    """
    return digest(
        {
            task.name: {"lm_eval": task.lm_eval} if task.lm_eval is not None else _content(loaded[task.name])
            for task in (*spec.tasks, *spec.out_of_domain)
        }
    )


def _content(task: LoadedTask) -> dict[str, Any]:
    return {
        "definition": task.definition.model_dump(mode="json"),
        "items": [[item.id, item.gold, *item.options] for item in task.items],
    }


def _overlap(tasks: Mapping[str, LoadedTask], queries: Mapping[str, Sequence[Sample]], pool: Pool) -> Overlap:
    """Look for the questions of all tasks in the pool and in the targets."""
    overlap = Overlap(index=QuestionIndex.of(item for task in tasks.values() for item in task.items))
    for name, samples in queries.items():
        chats = [(sample.id, [message.content for message in sample.messages]) for sample in samples]
        overlap.look(name, chats)
    if overlap.index.items:
        with Progress("overlap", total=pool.rows, unit="samples") as progress:
            for batch in pool.texts():
                overlap.look(POOL, batch)
                progress.advance(len(batch))
    return overlap


def _model_identity(uri: str, context: StepContext) -> str:
    model = context.model(uri)
    if isinstance(model, Path):
        return model_digest(model)
    return digest({"model": model, "revision": context.spec.model.revision})


def _signal_models(spec: RecipeSearchSpec, models: Mapping[str, str]) -> str:
    """Return the digest of all models that the signals depend on: of one, its own."""
    first = models[spec.signals.language_model.model or spec.model.uri]
    if not spec.signals.embedding.enabled:
        return first
    return digest([first, models[spec.signals.embedding.model or spec.model.uri]])


def _model_uris(context: StepContext) -> list[str]:
    spec = context.spec
    uris = [spec.model.uri, *spec.evaluation.transfer_models]
    for settings in (spec.signals.language_model, spec.signals.embedding):
        if settings.enabled and settings.model:
            uris.append(settings.model)
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
