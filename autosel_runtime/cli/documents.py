"""autosel validate, autosel crd: documents without running them."""

from pathlib import Path
from typing import Annotated

import typer

from autosel_runtime.cli.output import Json, command, emit_json, example, say
from autosel_runtime.errors import InvalidDocumentError, NoInputError


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command(epilog=example("autosel validate examples/quickstart/search.yaml"))(validate)
    app.command(epilog=example("autosel crd | kubectl apply -f -"))(crd)


@command
def validate(
    files: Annotated[
        list[Path], typer.Argument(metavar="FILE", help="YAML files with RecipeSearch documents.")
    ],
    json_output: Json = False,
) -> None:
    """Check search documents.

    Every problem is reported with file, line and field; the exit code is 65 if there is one.
    """
    from autosel_runtime.api.load import check_documents
    from autosel_runtime.steps.validity import search_problems

    if len(files) == 1 and not files[0].is_file():
        raise NoInputError(
            f"{files[0]} {'is a folder, not a file' if files[0].is_dir() else 'does not exist'}"
        )
    problems = check_documents(files, also=search_problems)
    if problems:
        raise InvalidDocumentError(problems)
    if json_output:
        emit_json({"valid": True, "files": [str(path) for path in files]})
    else:
        say(f"{len(files)} file{'s' if len(files) != 1 else ''} valid")


@command
def crd(json_output: Json = False) -> None:
    """Print the CustomResourceDefinitions.

    They are generated from the same models that check documents here. With --json, a list of two objects.
    """
    from autosel_runtime.api.crd import crds, crds_yaml

    if json_output:
        emit_json(crds())
    else:
        say(crds_yaml().rstrip("\n"))
