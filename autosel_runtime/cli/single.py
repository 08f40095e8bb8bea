"""autosel score, autosel materialize: one step by hand, from a pool to a subset."""

from pathlib import Path
from typing import Annotated

import typer

from autosel_runtime.cli.inputs import first_finding, model_folder, named_path, read_recipe
from autosel_runtime.cli.output import Json, command, emit_json, example, say
from autosel_runtime.errors import DataError, OutputError, UsageError

DEFAULT_TOKENS = 2048


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
        Path | None,
        typer.Option(metavar="MODEL", help="Model folder for IFD and varentropy; none skips them."),
    ] = None,
    target: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=FILE", help="Query samples for relevance; repeatable."),
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
    json_output: Json = False,
) -> None:
    """Compute the signals of a pool.

    Run it again to go on after an interruption; signals that are there already are kept.
    """
    from pydantic import ValidationError

    from autosel_runtime.api.pool import Target
    from autosel_runtime.api.signals import SignalsSpec
    from autosel_runtime.checkpoint import require
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
                    "maxTokens": _longest_text(model) if max_tokens is None else max_tokens,
                    "batchTokens": batch_tokens,
                },
            }
        )
        pairs = [named_path(text, option="--target") for text in target or []]
        targets = [Target(name=name, uri=uri) for name, uri in pairs]
    except ValidationError as error:
        raise UsageError(first_finding(error)) from error
    if model is not None:
        require("transformers")
    manifest = score_pool(
        Pool.open(pool),
        spec,
        model_dir=None if model is None else model_folder(model),
        chat_template=None,
        targets={one.name: load_queries(one, Path.cwd()) for one in targets},
        out=out,
        work=out / "shards",
    )
    if json_output:
        emit_json(manifest)
        return
    scalars = manifest["scalars"]
    say(f"{len(scalars)} signals of {manifest['rows']:,} samples in {out}")
    width = max(map(len, scalars), default=0)
    for name, column in sorted(scalars.items()):
        mean = "no value" if column["mean"] is None else f"mean {column['mean']:.4g}"
        missing = f", {column['missing']:,} missing" if column["missing"] else ""
        say(f"  {name:<{width}}  {mean}{missing}")
    for name, pairs_found in sorted(manifest["pairs"].items()):
        say(f"  {name:<{width}}  {pairs_found['pairs']:,} similar pairs")
    say(f"fingerprint {manifest['fingerprint']}")


def _longest_text(model: Path | None) -> int:
    """Return the longest text to score by default, in tokens."""
    import json

    config = Path() if model is None else model / "config.json"
    positions = json.loads(config.read_bytes()).get("max_position_embeddings") if config.is_file() else None
    return min(DEFAULT_TOKENS, positions) if isinstance(positions, int) else DEFAULT_TOKENS


@command
def materialize(
    pool: Annotated[Path, typer.Argument(metavar="POOL", help="Pool folder.")],
    recipe: Annotated[Path, typer.Argument(metavar="RECIPE.yaml", help="Steps: operators with parameters.")],
    signals: Annotated[Path, typer.Option(metavar="DIR", help="Signals folder.")],
    out: Annotated[Path, typer.Option(metavar="DIR", help="Folder to write.")],
    seed: Annotated[int, typer.Option(metavar="SEED", help="Seed of random operators.")] = 42,
    extension: Annotated[
        list[str] | None, typer.Option(metavar="MODULE", help="Extension module; repeatable.")
    ] = None,
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
    from autosel_runtime.steps.materialize import subset_files

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
    out.mkdir(parents=True, exist_ok=True)
    for name, content in subset_files(opened, execution).items():
        (out / name).write_bytes(content)
    digest = subset_digest(opened.ids().to_pylist(), execution.mask)
    if json_output:
        emit_json(
            {"out": str(out), "size": execution.size, "subset_digest": digest, "state": dict(execution.state)}
        )
        return
    say(f"{execution.size:,} of {opened.rows:,} samples in {out}")
    for index, step in enumerate(execution.trace, 1):
        why = "; ".join(f"{count:,} {reason}" for reason, count in step.reasons.items()) or "nothing dropped"
        say(f"  {index}. {step.operator}: {step.kept:,} left; {why}")
    say(f"digest {digest}")
