"""autosel validate, autosel crd: documents without running them."""

from pathlib import Path
from typing import Annotated

import typer

from autosel_runtime.cli.output import command, emit_json, say
from autosel_runtime.errors import InvalidDocumentError


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command(epilog="Example: autosel validate search.yaml")(validate)
    app.command(epilog="Example: autosel crd | kubectl apply -f -")(crd)


@command
def validate(
    files: Annotated[list[Path], typer.Argument(help="YAML files with RecipeSearch documents.")],
    json_output: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Check documents and report every problem with file, line and field; exit code 65 if there is one."""
    from autosel_runtime.api.load import check_documents

    problems = check_documents(files)
    if problems:
        raise InvalidDocumentError(problems)
    if json_output:
        emit_json({"valid": True, "files": [str(path) for path in files]})
    else:
        say(f"{len(files)} file{'s' if len(files) != 1 else ''} valid")


@command
def crd(
    json_output: Annotated[bool, typer.Option("--json", help="Print a JSON list instead of YAML.")] = False,
) -> None:
    """Print the CustomResourceDefinitions, generated from the API models."""
    from autosel_runtime.api.crd import crds, crds_yaml

    if json_output:
        emit_json(crds())
    else:
        say(crds_yaml())
