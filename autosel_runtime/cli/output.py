"""How commands speak: results on standard output, everything else on standard error."""

import os
import shutil
import sys
import textwrap
import traceback
from collections.abc import Callable
from functools import wraps
from typing import Annotated, Any, ParamSpec

import orjson
import typer

from autosel_runtime.cli.failures import INTERNAL, Failure, failure_of
from autosel_runtime.errors import AutoselError

P = ParamSpec("P")

Json = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]

PLAIN_WIDTH = 100
INTERRUPTED = 130
CLOSED_PIPE = 141  # what a shell reports of a process that SIGPIPE ended


def emit_json(value: Any) -> None:
    """Print one JSON document."""
    sys.stdout.buffer.write(
        orjson.dumps(value, option=orjson.OPT_INDENT_2 | orjson.OPT_SERIALIZE_NUMPY) + b"\n"
    )
    sys.stdout.flush()


def say(text: str = "") -> None:
    """Print a line of a result."""
    typer.echo(text)


def note(text: str) -> None:
    """Print a line of progress or advice on standard error."""
    typer.echo(text, err=True)


def folded(text: str) -> str:
    """Return ``text`` folded at words to the width of the terminal; unchanged when nobody watches."""
    if not sys.stdout.isatty():
        return text
    width = shutil.get_terminal_size().columns
    lines: list[str] = []
    for line in text.splitlines():
        indent = " " * (len(line) - len(line.lstrip()) + 2)
        lines += textwrap.wrap(line, width, subsequent_indent=indent, break_on_hyphens=False) or [""]
    return "\n".join(lines)


def width_of_output() -> int:
    """Return the width of standard output in characters; 100 when it is no terminal."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else PLAIN_WIDTH


def show(renderable: Any) -> None:
    """Print a rich table or text; 100 columns wide and without colours when nobody watches."""
    from rich.console import Console

    console = Console(width=width_of_output(), highlight=False, emoji=False, markup=False)
    closed_is_broken(lambda: console.print(renderable))


def closed_is_broken(write: Callable[[], None]) -> None:
    """Call ``write``, which prints with rich. rich answers a closed pipe with SystemExit; here it is an error."""
    try:
        write()
    except SystemExit:
        raise BrokenPipeError from None


def tell(failure: Failure, *, as_json: bool) -> None:
    """Print an error: as JSON on standard output, else one line a problem on standard error."""
    if as_json:
        emit_json(
            {
                "error": failure.message,
                "exit_code": failure.exit_code,
                "problems": [
                    {"file": p.file, "line": p.line, "field": p.field, "message": p.message}
                    for p in failure.problems
                ],
                **({"trace": failure.trace} if failure.trace else {}),
            }
        )
        return
    if failure.trace:
        note(failure.trace)
    if len(failure.problems) > 1:  # a single one is the message
        for problem in failure.problems:
            note(str(problem))
    note(f"error: {failure.message}")


def command(function: Callable[P, None]) -> Callable[P, None]:
    """Turn expected errors of a command into a sentence and an exit code."""

    @wraps(function)
    def guarded(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            function(*args, **kwargs)
        except typer.Exit:
            raise
        except BrokenPipeError:
            forget_streams()
            raise typer.Exit(CLOSED_PIPE) from None
        except KeyboardInterrupt as stop:
            note("stopped; run the same command again to go on")
            raise typer.Exit(stop.args[0] if stop.args else INTERRUPTED) from None
        except Exception as error:
            failure = failure_of(error)
            if failure.exit_code == INTERNAL and not isinstance(error, AutoselError):
                traceback.print_exc()  # a fault of autosel's own; the trace is for whoever mends it
            tell(failure, as_json=bool(kwargs.get("json_output")))
            raise typer.Exit(failure.exit_code) from None

    return guarded


def example(*lines: str) -> str:
    """Return the end of a command's help: an example to copy, one line a part."""
    text = " \\\n    ".join(lines)
    return f"\b\nExample:\n  {text}"  # click leaves the lines after \\b as they are


def forget_streams() -> None:
    """Let what is still unwritten go nowhere, so that the interpreter has nothing to complain about at its end."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (sys.stdout, sys.stderr):
        os.dup2(nowhere, stream.fileno())
