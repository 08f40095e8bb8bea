"""autosel score, autosel materialize: one step by hand, from a pool to a subset."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from autosel_runtime.cli.inputs import local_model, named_path, object_inputs, read_recipe
from autosel_runtime.cli.output import Json, command, emit_json, example, say
from autosel_runtime.errors import DataError, OutputError, UsageError
from autosel_runtime.progress import plural

if TYPE_CHECKING:
    from autosel_runtime.api.pool import Target
    from autosel_runtime.api.signals import SignalsSpec

OPTIONS = {
    "minhash.ngram": "--minhash-ngram",
    "languageModel.maxTokens": "--max-tokens",
    "languageModel.batchTokens": "--batch-tokens",
}

Extensions = Annotated[
    list[str] | None, typer.Option("--extension", metavar="MODULE", help="Extension module; repeatable.")
]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command(
        epilog=example(
            "autosel score runs/pool --model examples/quickstart/model",
            "--target pick=examples/quickstart/targets/pick.jsonl --out runs/signals",
        )
    )(score)
    app.command(
        epilog=example(
            "autosel materialize runs/pool examples/quickstart/recipe.yaml",
            "--signals runs/signals --out runs/subset",
        )
    )(materialize)


@command
def score(
    pool: Annotated[Path, typer.Argument(metavar="POOL", help="Pool folder.")],
    out: Annotated[Path, typer.Option(metavar="DIR", help="Signals folder to write.")],
    model: Annotated[
        str | None,
        typer.Option(
            metavar="MODEL", help="Model folder, here or s3://, for IFD and varentropy; none skips them."
        ),
    ] = None,
    target: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=FILE", help="Query samples for relevance, here or s3://; repeatable."),
    ] = None,
    max_tokens: Annotated[
        int | None,
        typer.Option(
            metavar="COUNT", help="Longest text in tokens; 2048, or what the model takes, by default."
        ),
    ] = None,
    batch_tokens: Annotated[int, typer.Option(metavar="COUNT", help="Tokens of a batch.")] = 16_384,
    action_object: Annotated[
        bool, typer.Option("--action-object", help="Also action-object branching; needs spaCy.")
    ] = False,
    minhash_ngram: Annotated[int, typer.Option(metavar="COUNT", help="Words of a shingle.")] = 5,
    embedding: Annotated[
        bool, typer.Option("--embedding", help="Also pairs of near embeddings; needs --model.")
    ] = False,
    extension: Extensions = None,
    json_output: Json = False,
) -> None:
    """Compute the signals of a pool.

    Run it again to go on after an interruption; signals that are there already are kept.
    """
    from autosel_runtime.checkpoint import require
    from autosel_runtime.pool.pool import Pool
    from autosel_runtime.pool.queries import load_queries
    from autosel_runtime.recipe.extension import load_extensions
    from autosel_runtime.signals.score import score_pool

    wanted = _signals(
        minhash_ngram=minhash_ngram,
        action_object=action_object,
        model=model is not None,
        max_tokens=max_tokens,
        batch_tokens=batch_tokens,
        embedding=embedding,
    )
    if embedding and model is None:
        raise UsageError("--embedding needs --model: embeddings are hidden states of a model")
    targets = _targets(target or [])
    if model is not None:
        require("transformers")
    extensions = load_extensions(extension or []).signals
    opened = Pool.open(pool)
    with object_inputs(None, base=Path.cwd(), beside=out) as inputs:
        folder = None if model is None else local_model(model, inputs)
        manifest = score_pool(
            opened,
            wanted if max_tokens is not None else _as_long_as(wanted, folder),
            model_dir=folder,
            embedding_model_dir=folder,
            chat_template=None,
            targets={one.name: load_queries(one, Path.cwd(), bring=inputs.bring) for one in targets},
            out=out,
            work=out / "shards",
            extensions=extensions,
        )
    if json_output:
        emit_json(manifest)
        return
    scalars = manifest["scalars"]
    say(f"{plural(len(scalars), 'signal')} of {plural(manifest['rows'], 'sample')} in {out}")
    width = max(map(len, scalars), default=0)
    for name, column in sorted(scalars.items()):
        mean = "no value" if column["mean"] is None else f"mean {column['mean']:.4g}"
        missing = f", {column['missing']:,} missing" if column["missing"] else ""
        say(f"  {name:<{width}}  {mean}{missing}")
    for name, pairs_found in sorted(manifest["pairs"].items()):
        say(f"  {name:<{width}}  {pairs_found['pairs']:,} similar pairs")
    say(f"fingerprint {manifest['fingerprint']}")


def _signals(
    *,
    minhash_ngram: int,
    action_object: bool,
    model: bool,
    max_tokens: int | None,
    batch_tokens: int,
    embedding: bool,
) -> "SignalsSpec":
    from pydantic import ValidationError

    from autosel_runtime.api.problems import first_problem
    from autosel_runtime.api.signals import SignalsSpec

    language_model: dict[str, Any] = {"enabled": model, "batchTokens": batch_tokens}
    if max_tokens is not None:
        language_model["maxTokens"] = max_tokens
    content: dict[str, Any] = {
        "lexical": {"actionObject": action_object},
        "minhash": {"ngram": minhash_ngram},
        "languageModel": language_model,
        "embedding": {**language_model, "enabled": embedding},
    }
    try:
        return SignalsSpec.model_validate(content)
    except ValidationError as error:
        problem = first_problem(error, SignalsSpec)
        for field, option in OPTIONS.items():
            problem = option + problem.removeprefix(field) if problem.startswith(field) else problem
        raise UsageError(problem) from error


def _targets(texts: list[str]) -> "list[Target]":
    from pydantic import ValidationError

    from autosel_runtime.api.pool import Target
    from autosel_runtime.api.problems import first_problem

    pairs = [named_path(text, option="--target") for text in texts]
    try:
        return [Target(name=name, uri=uri) for name, uri in pairs]
    except ValidationError as error:
        raise UsageError(f"--target: {first_problem(error, Target)}") from error


def _as_long_as(wanted: "SignalsSpec", model: Path | None) -> "SignalsSpec":
    """Return the settings with the longest text that the model takes, at most the default."""
    from autosel_runtime.signals.model_files import model_config

    longest = None if model is None else model_config(model).get("max_position_embeddings")
    if not isinstance(longest, int) or longest >= wanted.language_model.max_tokens:
        return wanted
    shorter = {"max_tokens": longest}
    return wanted.model_copy(
        update={
            "language_model": wanted.language_model.model_copy(update=shorter),
            "embedding": wanted.embedding.model_copy(update=shorter),
        }
    )


@command
def materialize(
    pool: Annotated[Path, typer.Argument(metavar="POOL", help="Pool folder.")],
    recipe: Annotated[Path, typer.Argument(metavar="RECIPE.yaml", help="Steps: operators with parameters.")],
    signals: Annotated[Path, typer.Option(metavar="DIR", help="Signals folder.")],
    out: Annotated[Path, typer.Option(metavar="DIR", help="Folder to write.")],
    seed: Annotated[int, typer.Option(metavar="SEED", help="Seed of random operators.")] = 42,
    extension: Extensions = None,
    json_output: Json = False,
) -> None:
    """Execute a recipe.

    DIR gets mask.npy, ids.txt, train.jsonl, trace.json (what each step dropped and why) and state.json.
    """
    from autosel_runtime.pool.pool import Pool
    from autosel_runtime.recipe.catalog import CATALOG, validate_recipe
    from autosel_runtime.recipe.execute import execute
    from autosel_runtime.recipe.extension import extend_catalog, load_extensions
    from autosel_runtime.recipe.mask import subset_digest
    from autosel_runtime.signals.table import SignalColumns
    from autosel_runtime.steps.subset import write_subset

    wanted = read_recipe(recipe)
    opened = Pool.open(pool)
    columns = SignalColumns.open(signals, opened)
    found = load_extensions(extension or [])
    catalog = extend_catalog(CATALOG, found)
    problems = validate_recipe(wanted.recipe, catalog, columns, trials=())
    if problems:
        raise wanted.invalid(problems)
    try:
        execution = execute(wanted.recipe, columns, seed=seed, catalog=catalog, hooks=found.hooks)
    except DataError as error:
        raise DataError(f"{recipe}: {error}") from error
    if out.exists() and not out.is_dir():
        raise OutputError(f"{out} exists and is no folder; choose another")
    write_subset(opened, execution, out)
    digest = subset_digest(opened.ids().to_pylist(), execution.mask)
    if json_output:
        emit_json(
            {"out": str(out), "size": execution.size, "subset_digest": digest, "state": dict(execution.state)}
        )
        return
    say(f"{execution.size:,} of {plural(opened.rows, 'sample')} in {out}")
    for index, step in enumerate(execution.trace, 1):
        why = "; ".join(f"{count:,} {reason}" for reason, count in step.reasons.items()) or "nothing dropped"
        say(f"  {index}. {step.operator}: {step.kept:,} left; {why}")
    say(f"digest {digest}")
