"""autosel train, autosel evaluate: one step by hand, from a subset to a score."""

from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from autosel_runtime.cli.inputs import local_model, local_path, object_inputs, starting_model
from autosel_runtime.cli.output import Json, command, emit_json, example, note, say
from autosel_runtime.errors import DataError, UsageError


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command(
        epilog=example(
            "autosel train examples/quickstart/model runs/subset/train.jsonl",
            "--search examples/quickstart/search.yaml --out runs/tuned",
        )
    )(train)
    app.command(
        epilog=example(
            "autosel evaluate examples/quickstart/model runs/tuned",
            "--search examples/quickstart/search.yaml --out runs/scores",
        )
    )(evaluate)


@command
def train(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="Model folder, here or s3://.")],
    samples: Annotated[
        str, typer.Argument(metavar="SAMPLES", help="train.jsonl of a subset, here or s3://.")
    ],
    search: Annotated[
        Path, typer.Option(metavar="SEARCH.yaml", help="RecipeSearch whose training settings are used.")
    ],
    out: Annotated[Path, typer.Option(metavar="DIR", help="Folder to write.")],
    json_output: Json = False,
) -> None:
    """Fine-tune a model on a subset.

    The settings are spec.training of the search. DIR gets the model or the adapter, and training.json.
    """
    from dataclasses import asdict

    from autosel_runtime.api.load import load_search
    from autosel_runtime.train.train import train as fine_tune

    spec = load_search(search, check_files=False).spec
    with object_inputs(spec.storage, base=search.resolve().parent, beside=out) as inputs:
        folder = local_model(model, inputs)
        result = fine_tune(
            model=folder,
            samples=inputs.path(samples) if samples.startswith("s3://") else local_path(samples),
            out=out,
            spec=spec.training,
            chat_template=spec.model.chat_template,
        )
    if json_output:
        emit_json({"out": str(out), **asdict(result)})
        return
    say(
        f"{out}: {result.steps:,} steps, {result.tokens:,} tokens in {result.seconds:.1f} s, "
        f"loss {result.final_loss:.4f}"
    )


@command
def evaluate(
    checkpoints: Annotated[
        list[str],
        typer.Argument(
            metavar="CHECKPOINT", help="Model folders, or adapters of the search's model, here or s3://."
        ),
    ],
    search: Annotated[
        Path, typer.Option(metavar="SEARCH.yaml", help="RecipeSearch whose tasks and settings are used.")
    ],
    out: Annotated[Path, typer.Option(metavar="DIR", help="Folder to write; one folder a checkpoint.")],
    half: Annotated[
        Literal["search", "report", "all"],
        typer.Option(metavar="HALF", help="Which items: search, report or all."),
    ] = "search",
    out_of_domain: Annotated[
        bool, typer.Option("--out-of-domain", help="The out-of-domain tasks instead of the objective.")
    ] = False,
    json_output: Json = False,
) -> None:
    """Score checkpoints on the tasks of a search.

    DIR/CHECKPOINT gets items.jsonl, every item with its reply, and scores.json.
    """
    from autosel_runtime.api.load import load_search
    from autosel_runtime.evaluate.evaluate import evaluate as score_model
    from autosel_runtime.steps.evaluate import ADAPTER_FILE

    spec = load_search(search, check_files=False).spec
    base = search.resolve().parent
    tasks = spec.evaluation.out_of_domain if out_of_domain else spec.evaluation.tasks
    if not tasks:
        raise DataError(f"{search}: spec.evaluation.outOfDomain lists no task")
    names = _folder_names(checkpoints)
    rows: list[dict[str, Any]] = []
    width = max(map(len, checkpoints))
    with object_inputs(spec.storage, base=base, beside=out) as inputs:
        paths = [local_model(checkpoint, inputs) for checkpoint in checkpoints]
        for name, checkpoint, path in zip(names, checkpoints, paths, strict=True):
            if len(checkpoints) > 1:
                note(f"scoring {checkpoint}")
            adapter = path if (path / ADAPTER_FILE).exists() else None
            scores = score_model(
                model=starting_model(spec, base, inputs) if adapter else path,
                adapter=adapter,
                tasks=tasks,
                half=half,
                spec=spec.evaluation,
                base=base,
                out=out / name,
                chat_template=spec.model.chat_template,
                revision=spec.model.revision if adapter else None,
                bring=inputs.bring,
            )
            rows.append(
                {
                    "checkpoint": checkpoint,
                    "out": str(out / name),
                    "half": half,
                    "score": scores.objective.mean,
                    "stderr": scores.objective.stderr,
                    "tasks": {
                        task: {"score": value.mean, "stderr": value.stderr, "items": value.n}
                        for task, value in scores.tasks.items()
                    },
                }
            )
            if not json_output:
                parts = ", ".join(f"{task} {100 * value.mean:.1f}" for task, value in scores.tasks.items())
                mean, error = 100 * scores.objective.mean, 100 * scores.objective.stderr
                say(f"{checkpoint:<{width}}  {mean:5.1f} ± {error:.1f}  ({parts})")
    if json_output:
        emit_json(rows)


def _folder_names(checkpoints: list[str]) -> list[str]:
    """Return a folder name for each checkpoint: its own, numbered when two are called the same."""
    places = [
        uri.rstrip("/") if uri.startswith("s3://") else str(local_path(uri).resolve()) for uri in checkpoints
    ]
    if len(set(places)) < len(places):
        raise UsageError("a checkpoint is given twice")
    names = [place.rpartition("/")[2] for place in places]
    return names if len(set(names)) == len(names) else [f"{i:02d}-{name}" for i, name in enumerate(names, 1)]
