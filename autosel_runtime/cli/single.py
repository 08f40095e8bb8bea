"""autosel score, materialize, train, evaluate: one step by hand, over plain folders."""

from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from autosel_runtime.cli.output import command, emit_json, say
from autosel_runtime.errors import DataError, InvalidDocumentError, NoInputError, Problem, UsageError

Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command(
        epilog="Example: autosel score pool --model models/smollm2 --target gsm8k=targets.jsonl --out signals"
    )(score)
    app.command(epilog="Example: autosel materialize pool recipe.yaml --signals signals --out subset")(
        materialize
    )
    app.command(
        epilog="Example: autosel train models/smollm2 subset/train.jsonl --search search.yaml --out tuned"
    )(train)
    app.command(
        epilog="Example: autosel evaluate tuned other --search search.yaml --half report --out scores"
    )(evaluate)


@command
def score(
    pool: Annotated[Path, typer.Argument(help="Pool folder.")],
    out: Annotated[Path, typer.Option(help="Signals folder to write.")],
    model: Annotated[
        Path | None, typer.Option(help="Model folder for IFD and varentropy; none skips them.")
    ] = None,
    target: Annotated[
        list[str] | None, typer.Option(help="NAME=FILE with query samples; repeatable.")
    ] = None,
    max_tokens: Annotated[int, typer.Option(help="Longest text in tokens.")] = 2048,
    batch_tokens: Annotated[int, typer.Option(help="Tokens of a batch.")] = 16_384,
    action_object: Annotated[bool, typer.Option(help="Also action-object branching; needs spaCy.")] = False,
    minhash_ngram: Annotated[int, typer.Option(help="Words of a shingle.")] = 5,
    json_output: Json = False,
) -> None:
    """Compute the signals of a pool; run again to go on after an interruption."""
    from pydantic import ValidationError

    from autosel_runtime.api.pool import Target
    from autosel_runtime.api.signals import SignalsSpec
    from autosel_runtime.pool.pool import Pool
    from autosel_runtime.pool.queries import load_queries
    from autosel_runtime.signals.score import score_pool

    try:
        spec = SignalsSpec.model_validate(
            {
                "lexical": {"actionObject": action_object},
                "minhash": {"ngram": minhash_ngram},
                "languageModel": {
                    "enabled": model is not None,
                    "maxTokens": max_tokens,
                    "batchTokens": batch_tokens,
                },
            }
        )
        targets = [Target(name=name, uri=uri) for name, uri in map(_pair, target or [])]
    except ValidationError as error:
        raise UsageError(_first(error)) from error
    manifest = score_pool(
        Pool.open(pool),
        spec,
        model_dir=model,
        chat_template=None,
        targets={one.name: load_queries(one, Path.cwd()) for one in targets},
        out=out,
        work=out / "shards",
    )
    if json_output:
        emit_json(manifest)
        return
    names = sorted(manifest["scalars"])
    say(f"{len(names)} signals of {manifest['rows']:,} samples in {out}: {', '.join(names)}")


@command
def materialize(
    pool: Annotated[Path, typer.Argument(help="Pool folder.")],
    recipe: Annotated[Path, typer.Argument(help="YAML file with the recipe's steps.")],
    signals: Annotated[Path, typer.Option(help="Signals folder.")],
    out: Annotated[Path, typer.Option(help="Folder to write.")],
    seed: Annotated[int, typer.Option(help="Seed of random operators.")] = 42,
    extension: Annotated[list[str] | None, typer.Option(help="Extension module; repeatable.")] = None,
    json_output: Json = False,
) -> None:
    """Execute a recipe: mask.npy, ids.txt, train.jsonl, trace.json and state.json."""
    from autosel_runtime.pool.pool import Pool
    from autosel_runtime.recipe.catalog import CATALOG, validate_recipe
    from autosel_runtime.recipe.execute import execute
    from autosel_runtime.recipe.extension import extend_catalog, load_extensions
    from autosel_runtime.recipe.mask import subset_digest
    from autosel_runtime.signals.table import SignalColumns
    from autosel_runtime.steps.materialize import subset_files

    opened = Pool.open(pool)
    columns = SignalColumns.open(signals, opened)
    found = load_extensions(extension or [])
    catalog = extend_catalog(CATALOG, found)
    wanted = read_recipe(recipe)
    problems = validate_recipe(wanted, catalog, columns)
    if problems:
        raise InvalidDocumentError(
            [Problem(file=str(recipe), line=None, field="", message=one) for one in problems]
        )
    execution = execute(wanted, columns, seed=seed, catalog=catalog, hooks=found.hooks)
    out.mkdir(parents=True, exist_ok=True)
    for name, content in subset_files(opened, execution).items():
        (out / name).write_bytes(content)
    digest = subset_digest(opened.ids().to_pylist(), execution.mask)
    if json_output:
        emit_json(
            {"out": str(out), "size": execution.size, "subset_digest": digest, "state": dict(execution.state)}
        )
        return
    say(f"{execution.size:,} of {opened.rows:,} samples in {out}, digest {digest}")
    for index, step in enumerate(execution.trace, 1):
        reasons = (
            ", ".join(f"{count:,} {reason}" for reason, count in step.reasons.items()) or "nothing dropped"
        )
        say(f"  {index}. {step.operator}: {step.kept:,} kept; {reasons}")


@command
def train(
    model: Annotated[Path, typer.Argument(help="Model folder.")],
    samples: Annotated[Path, typer.Argument(help="train.jsonl of a subset.")],
    search: Annotated[Path, typer.Option(help="RecipeSearch whose training settings are used.")],
    out: Annotated[Path, typer.Option(help="Folder to write.")],
    json_output: Json = False,
) -> None:
    """Fine-tune a model on a subset with the settings of a search."""
    from dataclasses import asdict

    from autosel_runtime.api.load import load_search
    from autosel_runtime.train.train import train as fine_tune

    spec = load_search(search).spec
    result = fine_tune(
        model=model, samples=samples, out=out, spec=spec.training, chat_template=spec.model.chat_template
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
        list[Path], typer.Argument(help="Model folders, or adapters of the search's model.")
    ],
    search: Annotated[Path, typer.Option(help="RecipeSearch whose tasks and settings are used.")],
    out: Annotated[Path, typer.Option(help="Folder to write; one folder a checkpoint.")],
    half: Annotated[Literal["search", "report", "all"], typer.Option(help="Which items.")] = "search",
    out_of_domain: Annotated[
        bool, typer.Option(help="The out-of-domain tasks instead of the objective.")
    ] = False,
    json_output: Json = False,
) -> None:
    """Score one or several checkpoints on the tasks of a search."""
    from autosel_runtime.api.load import load_search
    from autosel_runtime.evaluate.evaluate import evaluate as score_model
    from autosel_runtime.steps.evaluate import ADAPTER_FILE

    spec = load_search(search).spec
    base = search.resolve().parent
    tasks = spec.evaluation.out_of_domain if out_of_domain else spec.evaluation.tasks
    if not tasks:
        raise DataError(f"{search}: spec.evaluation.outOfDomain lists no task")
    rows: list[dict[str, Any]] = []
    for name, path in zip(_folder_names(checkpoints), checkpoints, strict=True):
        if not path.is_dir():
            raise NoInputError(f"checkpoint {path} is not a folder")
        adapter = path if (path / ADAPTER_FILE).exists() else None
        scores = score_model(
            model=base / spec.model.uri if adapter else path,
            adapter=adapter,
            tasks=tasks,
            half=half,
            spec=spec.evaluation,
            base=base,
            out=out / name,
            chat_template=spec.model.chat_template,
        )
        rows.append(
            {
                "checkpoint": str(path),
                "out": str(out / name),
                "score": scores.objective.mean,
                "stderr": scores.objective.stderr,
                "tasks": {k: v.mean for k, v in scores.tasks.items()},
            }
        )
        if not json_output:
            parts = ", ".join(f"{task} {value.mean:.4f}" for task, value in scores.tasks.items())
            say(f"{path}: {scores.objective.mean:.4f} ± {scores.objective.stderr:.4f} ({parts})")
    if json_output:
        emit_json(rows)


def read_recipe(path: Path) -> Any:
    """Read a recipe file: YAML with a list of steps, or an object with ``steps``."""
    import yaml
    from pydantic import ValidationError

    from autosel_runtime.api.search import Recipe

    try:
        content = yaml.safe_load(path.read_text())
    except OSError as error:
        raise NoInputError(f"{path} cannot be read: {error.strerror}") from error
    except yaml.YAMLError as error:
        raise DataError(f"{path} is not YAML: {' '.join(str(error).split())}") from error
    try:
        return Recipe.model_validate({"steps": content} if isinstance(content, list) else content)
    except ValidationError as error:
        raise DataError(f"{path}: {_first(error)}") from error


def _pair(text: str) -> tuple[str, str]:
    name, found, uri = text.partition("=")
    if not found:
        raise UsageError(f"--target takes NAME=FILE, found {text!r}")
    return name, uri


def _first(error: Any) -> str:
    first = error.errors()[0]
    return f"{'.'.join(map(str, first['loc'])) or 'document'}: {first['msg']}"


def _folder_names(paths: list[Path]) -> list[str]:
    names = [path.resolve().name for path in paths]
    return names if len(set(names)) == len(names) else [f"{i:02d}-{name}" for i, name in enumerate(names)]
