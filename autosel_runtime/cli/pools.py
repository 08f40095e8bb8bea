"""autosel pool build, autosel pool map: from raw files to a pool."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import gettempdir
from typing import TYPE_CHECKING, Annotated, Any, Literal, cast

import typer

from autosel_runtime.cli.inputs import named_source, object_inputs
from autosel_runtime.cli.output import Json, command, emit_json, example, note, say
from autosel_runtime.errors import DataError, NoInputError, UsageError

if TYPE_CHECKING:
    from autosel_runtime.api.pool import PoolSpec
    from autosel_runtime.api.resources import StorageSpec
    from autosel_runtime.pool.manifest import PoolManifest

Given = Literal["auto", "canonical", "alpaca", "sharegpt", "openai", "prompt_completion", "question_answer"]

CHECKED_RECORDS = 200
SHOWN_SAMPLES = 3
SHOWN_CHARACTERS = 600


def register(app: typer.Typer) -> None:
    """Add the commands."""
    group = typer.Typer(help="Build a pool, or map an unknown format.", no_args_is_help=True)
    group.command(
        epilog=example(
            "autosel pool build expert=examples/quickstart/pool/expert.jsonl",
            "examples/quickstart/pool/crowd.jsonl --out runs/pool",
        )
    )(build)
    group.command(
        "map",
        epilog=example(
            "autosel pool map examples/quickstart/pool/crowd.jsonl",
            "--llm-url http://localhost:8000/v1 --llm-model qwen3",
        ),
    )(propose_map)
    app.add_typer(group, name="pool")


@command
def build(
    out: Annotated[Path, typer.Option(metavar="DIR", help="Pool folder to write.")],
    sources: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[NAME=]PATH",
            help="Files, folders or globs, here or s3://: jsonl, json, parquet or arrow, plain, .gz or .zst.",
        ),
    ] = None,
    spec: Annotated[
        Path | None,
        typer.Option(metavar="SEARCH.yaml", help="Take spec.pool of this document instead of PATHs."),
    ] = None,
    record_format: Annotated[
        Given,
        typer.Option(
            "--format",
            metavar="FORMAT",
            help="Record format of all PATHs: auto, canonical, alpaca, sharegpt, openai, prompt_completion or "
            "question_answer.",
        ),
    ] = "auto",
    max_reject_fraction: Annotated[
        float | None,
        typer.Option(metavar="SHARE", help="Stop above this share of rejected records; 0.5 by default."),
    ] = None,
    json_output: Json = False,
) -> None:
    """Build a pool from files.

    Records are read, converted to chats, checked and identified. DIR gets the pool, its manifest with the digest,
    and the rejected records with their reasons.
    """
    from autosel_runtime.pool.build import build_pool

    if (spec is None) == (not sources):
        raise UsageError("give either PATHs or --spec SEARCH.yaml")
    if spec is not None:
        if record_format != "auto" or max_reject_fraction is not None:
            raise UsageError(f"--format and --max-reject-fraction go with PATHs; {spec} has its own")
        (wanted, storage), base = _pool_of(spec), spec.resolve().parent
    else:
        wanted, storage = _pool_from(sources or [], record_format, max_reject_fraction), None
        base = Path.cwd()
    with object_inputs(storage, base=base, beside=out) as inputs:
        manifest = build_pool(wanted, base=base, out=out, bring=inputs.bring)
    if json_output:
        emit_json({"out": str(out), **manifest.model_dump(mode="json", by_alias=True)})
    else:
        _tell(manifest, out)


@command
def propose_map(
    source: Annotated[
        str, typer.Argument(metavar="[NAME=]PATH", help="File, folder or glob, here or s3://.")
    ],
    llm_url: Annotated[
        str, typer.Option(metavar="URL", help="Base address of an OpenAI-compatible endpoint.")
    ],
    llm_model: Annotated[str, typer.Option(metavar="NAME", help="Model name at that endpoint.")],
    api_key_env: Annotated[
        str | None,
        typer.Option(metavar="VAR", help="Environment variable with the key; none for an open endpoint."),
    ] = None,
    timeout: Annotated[int, typer.Option(metavar="SECONDS", help="Longest wait for one answer.")] = 60,
    json_output: Json = False,
) -> None:
    """Let a language model map an unknown format.

    The model sees five records and proposes text templates; they are tried on the first records and printed as
    a source for a search document, with three samples to look at. Nothing the model says is executed.
    """
    from pydantic import ValidationError

    from autosel_runtime.api.problems import first_problem
    from autosel_runtime.api.search import LlmEndpoint
    from autosel_runtime.llm.client import completion
    from autosel_runtime.pool.convert import mapping_converter
    from autosel_runtime.pool.detect import first_records
    from autosel_runtime.pool.files import find_inputs
    from autosel_runtime.pool.propose import Complete, propose_mapping

    try:
        endpoint = LlmEndpoint(base_url=llm_url, model=llm_model, timeout_seconds=timeout)
    except ValidationError as error:
        problem = first_problem(error, LlmEndpoint)
        for field, option in (
            ("base_url", "--llm-url"),
            ("model", "--llm-model"),
            ("timeout_seconds", "--timeout"),
        ):
            problem = option + problem.removeprefix(field) if problem.startswith(field) else problem
        raise UsageError(problem) from error
    name, path = named_source(source)
    beside = Path(gettempdir()) / "autosel-map"
    with object_inputs(None, base=Path.cwd(), beside=beside) as inputs:
        files = find_inputs(path, Path.cwd(), bring=inputs.bring).files
        records = first_records(files, CHECKED_RECORDS)
    if not records:
        raise DataError(f"{path}: there is no record that can be read, so there is nothing to map")
    ask = cast("Complete", completion(endpoint, _key(api_key_env)))
    note(f"asking {llm_model} at {llm_url} about {path}")
    mapping = propose_mapping(records, ask)
    entry = {"name": name, "uri": path, "format": "mapping", "mapping": mapping.model_dump(exclude_none=True)}
    convert = mapping_converter(mapping)
    samples = [{"messages": convert.chat(record)} for record in records[:SHOWN_SAMPLES]]
    if json_output:
        emit_json({"sources": [entry], "records": len(records), "samples": samples})
    else:
        _show_mapping(entry, samples, len(records))


def _pool_from(sources: Sequence[str], given: str, most_rejected: float | None) -> "PoolSpec":
    from pydantic import ValidationError

    from autosel_runtime.api.pool import PoolSpec
    from autosel_runtime.api.problems import first_problem

    named = [named_source(source) for source in sources]
    names = [name for name, _ in named]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise UsageError(f"two sources are called {twice!r}; give them names: NAME=PATH")
    content: dict[str, Any] = {
        "sources": [{"name": name, "uri": uri, "format": given} for name, uri in named]
    }
    if most_rejected is not None:
        content["maxRejectFraction"] = most_rejected
    try:
        return PoolSpec.model_validate(content)
    except ValidationError as error:
        raise UsageError(first_problem(error, PoolSpec)) from error


def _pool_of(path: Path) -> "tuple[PoolSpec, StorageSpec]":
    """Return pool and storage of a search document; what else the document names need not exist."""
    from autosel_runtime.api.load import load_search

    spec = load_search(path, check_files=False).spec
    return spec.pool, spec.storage


def _tell(manifest: "PoolManifest", out: Path) -> None:
    from autosel_runtime.report.formats import plural

    say(f"{plural(manifest.rows, 'sample')}, {plural(manifest.words, 'word')} in {out}")
    width = max(len(source.name) for source in manifest.sources)
    for source in manifest.sources:
        parts = [f"{source.rows:,} kept"]
        parts += [f"{source.rejected:,} rejected"] if source.rejected else []
        parts += [f"{source.duplicates:,} repeated"] if source.duplicates else []
        say(f"  {source.name:<{width}}  {', '.join(parts)}; {source.format} ({source.why})")
        for name in source.left_out:
            say(f"  {'':<{width}}  left out, for evaluation: {name}")
    if manifest.rejected:
        say(f"rejected records and why: {out / 'rejects.jsonl'}")
    say(f"digest {manifest.digest}")


def _key(variable: str | None) -> str | None:
    if variable is None:
        return None
    key = os.environ.get(variable)
    if not key:
        raise NoInputError(f"--api-key-env: the environment variable {variable} is not set")
    return key


def _show_mapping(entry: Mapping[str, Any], samples: Sequence[Mapping[str, Any]], records: int) -> None:
    import yaml

    say(f"# spec.pool.sources of a search document; tried on the first {records:,} records")
    say(yaml.safe_dump([entry], sort_keys=False, allow_unicode=True, width=1000).rstrip("\n"))
    for number, sample in enumerate(samples, 1):
        say(f"#\n# sample {number}")
        for message in sample["messages"]:
            text = message["content"]
            cut = text if len(text) <= SHOWN_CHARACTERS else f"{text[:SHOWN_CHARACTERS]} ..."
            first, *rest = cut.splitlines() or [""]
            say(f"#   {message['role'] + ':':<11}{first}")
            for line in rest:
                say(f"#   {'':<11}{line}".rstrip())
