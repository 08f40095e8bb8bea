"""How commands speak: one JSON document with --json, readable lines otherwise; errors as one sentence."""

import sys
from collections.abc import Callable
from functools import wraps
from typing import Any, ParamSpec

import orjson
import typer

from autosel_runtime.errors import AutoselError, InvalidDocumentError

P = ParamSpec("P")

INTERRUPTED = 130


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


def command(function: Callable[P, None]) -> Callable[P, None]:
    """Turn expected errors of a command into a sentence and a sysexits code."""

    @wraps(function)
    def guarded(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            function(*args, **kwargs)
        except AutoselError as error:
            _report(error, as_json=bool(kwargs.get("json_output")))
            raise typer.Exit(error.exit_code) from None
        except KeyboardInterrupt:
            note("stopped; run the same command again to go on")
            raise typer.Exit(INTERRUPTED) from None
        except BrokenPipeError:
            raise typer.Exit(0) from None

    return guarded


def _report(error: AutoselError, *, as_json: bool) -> None:
    if as_json:
        problems = getattr(error, "problems", ())
        emit_json(
            {
                "error": str(error),
                "exit_code": error.exit_code,
                "problems": [
                    {"file": p.file, "line": p.line, "field": p.field, "message": p.message} for p in problems
                ],
            }
        )
        return
    if isinstance(error, InvalidDocumentError):
        for problem in error.problems:
            note(str(problem))
        count = len(error.problems)
        note(f"error: {count} problem{'s' if count != 1 else ''} found")
        return
    note(f"error: {error}")
