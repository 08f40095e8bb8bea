"""evaluate: score a model on one group of tasks and one half of their items."""

import time
from pathlib import Path

from autosel_runtime.evaluate.evaluate import evaluate as score_model
from autosel_runtime.steps.context import StepContext, StepOutput, files_of
from autosel_runtime.steps.device import device_count
from autosel_runtime.steps.kept import fresh
from autosel_runtime.steps.summary import head

TASKS_BYTES = 3000  # of the summary; all tasks are in scores.json
ADAPTER_FILE = "adapter_config.json"


def evaluate(context: StepContext) -> StepOutput:
    """Score the model of the inputs (the starting model when there is none) and publish every item."""
    started = time.monotonic()
    spec = context.spec.evaluation
    group = context.input("group")
    model, adapter = _model(context)
    out = fresh(context.work / "scores")
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
    tuned = context.fetch(prefix, keep=False)
    return (start, tuned) if (tuned / ADAPTER_FILE).exists() else (tuned, None)
