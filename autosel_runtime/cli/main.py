"""The commands of ``autosel``. Each lives in a file of its own and imports what it needs when it is called."""

from typing import Annotated

import typer

from autosel_runtime import __version__
from autosel_runtime.cli import documents, pools, runs, search, single

app = typer.Typer(
    name="autosel",
    help="Find the data recipe that makes the best training set.",
    no_args_is_help=True,
    add_completion=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version and exit.", is_eager=True)
    ] = False,
) -> None:
    if version:
        typer.echo(__version__)
        raise typer.Exit


for module in (search, documents, pools, single, runs):
    module.register(app)


def main() -> None:
    """Entry point of the console script."""
    app()
