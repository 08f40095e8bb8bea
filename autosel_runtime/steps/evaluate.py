"""evaluate: score a model on one group of tasks and one half of their items."""

import time
from pathlib import Path

from autosel_runtime.evaluate.evaluate import evaluate as score_model
from autosel_runtime.steps.context import StepContext, StepOutput, files_of
from autosel_runtime.steps.device import device_count

ADAPTER_FILE = "adapter_config.json"


def evaluate(context: StepContext) -> StepOutput:
    """Score the model of the inputs (the starting model when there is none) and publish every item."""
    started = time.monotonic()
    spec = context.spec.evaluation
    group = context.input("group")
    model, adapter = _model(context)
    out = context.work / "scores"
    evaluation = score_model(
        model=model,
        adapter=adapter,
        tasks=spec.tasks if group == "objective" else spec.out_of_domain,
        half=context.input("half"),
        spec=spec,
        base=context.base,
        out=out,
        chat_template=context.spec.model.chat_template,
        revision=context.spec.model.revision,
    )
    seconds = time.monotonic() - started
    tasks = {
        name: {"n": task.n, "mean": round(task.mean, 6), "stderr": round(task.stderr, 6)}
        for name, task in evaluation.tasks.items()
    }
    return StepOutput(
        files=files_of(out),
        summary={
            "objective": {"mean": evaluation.objective.mean, "stderr": evaluation.objective.stderr},
            "tasks": tasks,
            "seconds": round(seconds, 2),
            "tokens": evaluation.tokens,
            "accelerator_seconds": round(seconds * device_count(), 2),
        },
    )


def _model(context: StepContext) -> tuple[Path | str, Path | None]:
    start = context.model(context.input("base_model"))
    prefix = context.input("model")
    if prefix is None:
        return start, None
    tuned = context.fetch(prefix)
    return (start, tuned) if (tuned / ADAPTER_FILE).exists() else (tuned, None)
