"""How a trained model is scored."""

from collections.abc import Iterator
from typing import Annotated, Any, Final

from pydantic import Field

from autosel_runtime.api.common import Model, Name, Seed
from autosel_runtime.api.findings import Finding, Ruled, repeated_names
from autosel_runtime.api.uris import InputUri

# The search sees one half of a task's items, the report the other.
LIMIT_OF_HALVES: Final = "limit must be at least 2: the search half and the report half need an item each"


class Task(Ruled):
    """One benchmark: items, prompt, extraction and metric as data."""

    name: Name = Field(description="Task name, unique in the search.", examples=["gsm8k"])
    definition: Annotated[str, Field(min_length=1, max_length=1024)] | None = Field(
        default=None,
        description="Built-in task name or a task file; the task's own name when left out.",
        examples=["gsm8k", "tasks/support.yaml"],
    )
    uri: InputUri | None = Field(
        default=None,
        description="Items, one JSON object a line, here or s3://bucket/key; the definition's own when left out.",
        examples=["eval/gsm8k_test.jsonl"],
    )
    lm_eval: Annotated[str, Field(min_length=1, max_length=128)] | None = Field(
        default=None,
        description="Task of lm-evaluation-harness to run instead of a definition.",
        examples=["arc_easy"],
    )
    limit: int | None = Field(
        default=None,
        ge=1,
        le=1_000_000,
        description="Use at most this many items, drawn with the split seed; of the objective's tasks at least 2.",
        examples=[500],
    )
    weight: float = Field(default=1.0, gt=0.0, le=1000.0, description="Weight in the score.", examples=[1.0])

    def disagreements(self) -> Iterator[Finding]:
        """Two sources of one task."""
        if self.lm_eval is not None and (self.definition is not None or self.uri is not None):
            yield Finding(
                field=("lmEval",),
                message="lmEval excludes definition and uri",
                reads=(("definition",), ("uri",)),
            )


class EvaluationSpec(Ruled):
    """The objective: weighted mean of the tasks' scores, each on its search half."""

    tasks: Annotated[list[Task], Field(min_length=1, max_length=64)] = Field(
        description="Benchmarks of the objective.", examples=[[{"name": "gsm8k", "uri": "gsm8k.jsonl"}]]
    )
    out_of_domain: Annotated[list[Task], Field(max_length=64)] = Field(
        default_factory=list[Task],
        description="Benchmarks that are only reported, for the chosen recipe and the baselines.",
        examples=[[{"name": "bbh", "uri": "bbh.jsonl"}]],
    )
    search_fraction: float = Field(
        default=0.5, gt=0.0, lt=1.0, description="Share of the items that the search may see.", examples=[0.5]
    )
    split_seed: Seed = Field(default=7, description="Seed of the split by item.", examples=[7])
    batch_size: int = Field(
        default=64, ge=1, le=4096, description="Prompts of a generation batch.", examples=[64]
    )
    max_new_tokens: int | None = Field(
        default=None, ge=1, le=32_768, description="Replaces every task's own limit.", examples=[256]
    )
    confidence: float = Field(
        default=0.95, ge=0.5, le=0.999, description="Level of the intervals.", examples=[0.95]
    )
    transfer_models: Annotated[list[InputUri], Field(max_length=16)] = Field(
        default_factory=list[str],
        description="Models that are trained on the chosen subset and on the baselines at the end.",
        examples=[["models/qwen2.5-7b"]],
    )

    def content(self) -> dict[str, Any]:
        """Return the settings that decide scores: not where files lie, what is only shown, or the batch size."""
        of_a_task = {"__all__": {"name", "limit", "weight", "lm_eval"}}
        return self.model_dump(
            mode="json",
            include={
                "tasks": of_a_task,
                "out_of_domain": of_a_task,
                "search_fraction": True,
                "split_seed": True,
                "max_new_tokens": True,
            },
        )

    def disagreements(self) -> Iterator[Finding]:
        """Tasks of one name, out-of-domain ones included; tasks that cannot have two halves."""
        for index, task in enumerate(self.tasks):
            if task.limit == 1:
                yield Finding(field=("tasks", index, "limit"), message=LIMIT_OF_HALVES)
        names = [task.name for task in self.tasks]
        yield from repeated_names(("tasks",), names, "task names")
        others = [task.name for task in self.out_of_domain]
        yield from repeated_names(("outOfDomain",), others, "task names")
        for index, name in enumerate(others):
            if name in names:
                yield Finding(
                    field=("outOfDomain", index, "name"),
                    message=f"task names must differ; {name!r} is one of tasks, too",
                    reads=(("tasks",),),
                )


class Baselines(Model):
    """Reference rows beside the search; they cost time but no budget."""

    untuned: bool = Field(default=True, description="The model as it is.", examples=[True])
    full_pool: bool = Field(default=True, description="Trained on the whole pool.", examples=[True])
    random_subset: bool = Field(
        default=True, description="Trained on a random subset of the chosen recipe's size.", examples=[True]
    )
