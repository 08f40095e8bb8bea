"""evaluate: score a model on one group of tasks and one half of their items."""

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from autosel_runtime.api.evaluation import Task
from autosel_runtime.errors import AutoselError
from autosel_runtime.evaluate.evaluate import evaluate as score_model
from autosel_runtime.evaluate.evaluate import merge as merge_scores
from autosel_runtime.evaluate.results import Evaluation
from autosel_runtime.steps.context import StepContext, StepOutput, files_of
from autosel_runtime.steps.device import device_count
from autosel_runtime.steps.drops import check_model
from autosel_runtime.steps.kept import fresh
from autosel_runtime.steps.sharing import Share, SharedStep, total
from autosel_runtime.steps.summary import head
from autosel_runtime.store.publish import Marker

TASKS_BYTES = 3000  # of the summary; all tasks are in scores.json
ADAPTER_FILE = "adapter_config.json"


def evaluate(context: StepContext) -> StepOutput:
    """Score the model of the inputs (the starting model when there is none) and publish every item."""
    started = time.monotonic()
    out = fresh(context.work / "scores")
    evaluation = _evaluate(context, out)
    return _output(out, evaluation, **_spent(started))


def _evaluate_part(context: StepContext, share: Share) -> StepOutput:
    """Score every count-th batch of the items."""
    started = time.monotonic()
    out = fresh(context.work / "scores")
    evaluation = _evaluate(context, out, shard=(share.index, share.count))
    return StepOutput(files=files_of(out), summary={**_spent(started), "items": len(evaluation.items)})


def _merge_parts(context: StepContext, folder: Path, parts: Sequence[Marker]) -> StepOutput:
    """Add up the items of all shards; that takes no model."""
    started = time.monotonic()
    out = fresh(context.work / "scores")
    evaluation = merge_scores(
        shards=[folder] * len(parts),
        tasks=_tasks(context),
        half=context.input("half"),
        spec=context.spec.evaluation,
        base=context.base,
        out=out,
        seconds=total(parts, "seconds"),
        bring=context.inputs.bring,
    )
    merging = _spent(started)
    return _output(
        out,
        evaluation,
        seconds=round(max(part.summary["seconds"] for part in parts) + merging["seconds"], 2),
        accelerator_seconds=round(total(parts, "accelerator_seconds") + merging["accelerator_seconds"], 2),
    )


def _layout(context: StepContext) -> Mapping[str, Any]:
    return {"batch_size": context.spec.evaluation.batch_size}


SHARED_EVALUATE = SharedStep(layout=_layout, part=_evaluate_part, merge=_merge_parts)


def _tasks(context: StepContext) -> Sequence[Task]:
    spec = context.spec.evaluation
    return spec.tasks if context.input("group") == "objective" else spec.out_of_domain


def _evaluate(context: StepContext, out: Path, shard: tuple[int, int] | None = None) -> Evaluation:
    tasks = _tasks(context)
    model, adapter = _model(context)
    return score_model(
        model=model,
        adapter=adapter,
        tasks=tasks,
        half=context.input("half"),
        spec=context.spec.evaluation,
        base=context.base,
        out=out,
        chat_template=context.spec.model.chat_template,
        revision=context.spec.model.revision,
        shard=shard,
        bring=context.inputs.bring,
    )


def _spent(started: float) -> dict[str, float]:
    seconds = time.monotonic() - started
    return {"seconds": round(seconds, 2), "accelerator_seconds": round(seconds * device_count(), 2)}


def _output(out: Path, evaluation: Evaluation, *, seconds: float, accelerator_seconds: float) -> StepOutput:
    # The tasks that weigh most come first; in this order they are left out of the summary when there are many.
    order = sorted(evaluation.tasks.items(), key=lambda entry: -entry[1].weight)
    rows = {name: {"n": t.n, "mean": round(t.mean, 6), "stderr": round(t.stderr, 6)} for name, t in order}
    tasks, left_out = head(rows, TASKS_BYTES)
    return StepOutput(
        files=files_of(out),
        summary={
            "objective": {"mean": evaluation.objective.mean, "stderr": evaluation.objective.stderr},
            "tasks": tasks,
            "tasks_left_out": left_out,
            "seconds": seconds,
            "tokens": evaluation.tokens,
            "accelerator_seconds": accelerator_seconds,
        },
    )


def _model(context: StepContext) -> tuple[Path | str, Path | None]:
    start = context.model(context.input("base_model"))
    prefix = context.input("model")
    if prefix is None:
        return start, None
    check_model(context, prefix)
    try:
        tuned = context.fetch(prefix, keep=False)
    except AutoselError:
        check_model(context, prefix)  # another search may drop it while it is read
        raise
    return (start, tuned) if (tuned / ADAPTER_FILE).exists() else (tuned, None)
