"""The commands of ``autosel``. Each lives in a file of its own and imports what it needs when it is called."""

import sys
from collections.abc import Sequence
from typing import Annotated, Any, NoReturn, cast

import typer

from autosel_runtime import __version__
from autosel_runtime.cli import cluster, documents, finals, models, pools, runs, search, single
from autosel_runtime.cli.failures import Failure
from autosel_runtime.cli.output import CLOSED_PIPE, example, forget_streams, note, say, tell

app = typer.Typer(
    name="autosel",
    help="Find the data recipe that makes the best training set.",
    epilog=example("autosel run examples/quickstart/search.yaml --out runs/quickstart"),
    no_args_is_help=True,
    add_completion=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)

USAGE = 64
# The base of all complaints about arguments; typer gives it no name of its own.
_UsageError = cast(type[Exception], typer.BadParameter.__base__)


def _print_version(wanted: bool) -> None:
    if wanted:
        say(__version__)
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool,
        typer.Option("--version", help="Print the version and exit.", is_eager=True, callback=_print_version),
    ] = False,
) -> None:
    pass


for module in (search, documents, pools, single, models, runs, cluster, finals):
    module.register(app)


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Entry point of the console script: run one command and exit with its code."""
    sys.exit(run(list(sys.argv[1:] if arguments is None else arguments)))


def run(arguments: list[str]) -> int:
    """Run one command and return its exit code."""
    try:
        code = app(arguments, prog_name="autosel", standalone_mode=False)
        sys.stdout.flush()
    except _UsageError as error:
        return _misused(error, as_json="--json" in arguments)
    except BrokenPipeError:
        forget_streams()
        return CLOSED_PIPE
    return code if isinstance(code, int) else 0


def _misused(error: Any, *, as_json: bool) -> int:
    """Say what is wrong with the arguments, and where to read on."""
    message = str(error.format_message()).strip()
    path = error.ctx.command_path if error.ctx is not None else "autosel"
    if "\n" in message and not as_json:  # no arguments at all: the message is the help
        note(message)
        return USAGE
    if "\n" in message:
        message = "a command is missing"
    message = message.replace(": Value error, ", ": ", 1)  # pydantic's words, which typer passes on
    message = f"{message[:1].lower()}{message[1:].removesuffix('.')}; see {path} --help"
    tell(Failure(message=message, exit_code=USAGE), as_json=as_json)
    return USAGE
