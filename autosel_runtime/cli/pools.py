"""autosel pool build: canonicalise raw files into a pool."""

from pathlib import Path
from typing import Annotated

import typer

from autosel_runtime.cli.output import command, emit_json, say
from autosel_runtime.errors import UsageError


def register(app: typer.Typer) -> None:
    """Add the commands."""
    group = typer.Typer(help="Work with pools.", no_args_is_help=True)
    group.command(epilog="Example: autosel pool build gsm8k=data/gsm8k.jsonl data/alpaca.json --out pool")(
        build
    )
    app.add_typer(group, name="pool")


@command
def build(
    sources: Annotated[
        list[str], typer.Argument(metavar="[NAME=]SOURCE...", help="Files, folders or globs.")
    ],
    out: Annotated[Path, typer.Option(help="Pool folder to write.")],
    record_format: Annotated[str, typer.Option("--format", help="Record format of all sources.")] = "auto",
    max_reject_fraction: Annotated[
        float, typer.Option(help="Stop above this share of rejected records.")
    ] = 0.5,
    json_output: Annotated[bool, typer.Option("--json", help="Print the manifest as JSON.")] = False,
) -> None:
    """Read, convert, check and identify samples; write a pool, its digest and its rejects."""
    from pydantic import ValidationError

    from autosel_runtime.api.pool import PoolSpec
    from autosel_runtime.pool.build import build_pool

    named = [_named(source) for source in sources]
    try:
        spec = PoolSpec.model_validate(
            {
                "sources": [{"name": name, "uri": uri, "format": record_format} for name, uri in named],
                "maxRejectFraction": max_reject_fraction,
            }
        )
    except ValidationError as error:
        first = error.errors()[0]
        raise UsageError(f"{'.'.join(map(str, first['loc']))}: {first['msg']}") from error
    manifest = build_pool(spec, base=Path.cwd(), out=out)
    if json_output:
        emit_json({"out": str(out), **manifest.model_dump(mode="json")})
        return
    say(f"{manifest.rows:,} samples in {out}, digest {manifest.digest}")
    for source in manifest.sources:
        say(
            f"  {source.name}: {source.rows:,} kept, {source.rejected:,} rejected, "
            f"{source.duplicates:,} repetitions, format {source.format}"
        )
    if any(source.rejected for source in manifest.sources):
        say(f"rejected records and why: {out / 'rejects.jsonl'}")


def _named(source: str) -> tuple[str, str]:
    name, found, uri = source.partition("=")
    if found and "/" not in name:
        return name, uri
    stem = Path(source).name.split(".")[0].lower().replace(" ", "_")
    return stem or "pool", source
