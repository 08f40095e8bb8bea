"""autosel run: a whole search on this machine."""

import signal
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from autosel_runtime.cli.output import command, emit_json, note, say
from autosel_runtime.errors import ConfigError, NoInputError


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(epilog="Example: autosel run examples/quickstart/search.yaml --out runs/quickstart")(run)


@command
def run(
    document: Annotated[Path, typer.Argument(metavar="SEARCH.yaml", help="RecipeSearch document.")],
    out: Annotated[Path | None, typer.Option(help="Run folder; runs/NAME when left out.")] = None,
    json_output: Annotated[bool, typer.Option("--json", help="Print the final state as JSON.")] = False,
) -> None:
    """Run a search here, to its end. Run it again to go on after ctrl-c, a crash or a raised budget."""
    from autosel_runtime.api.load import load_search
    from controller.local.display import Display
    from controller.local.run import run as run_search

    if not document.exists():
        raise NoInputError(f"{document} does not exist")
    folder = out or Path("runs") / load_search(document).metadata.name
    signal.signal(signal.SIGTERM, _stop)
    display = Display(folder=folder)
    outcome = run_search(document, folder, listen=display.show, warn=note)
    display.close()
    _write_report(folder)
    if json_output:
        emit_json({"folder": str(folder), **asdict(outcome.state)})
    else:
        _tell(folder, outcome.state)
    if outcome.state.stalled:
        raise ConfigError(f"the search stopped: {outcome.state.message}; logs are under {folder / 'steps'}")


def _stop(_signal: int, _frame: Any) -> None:
    raise KeyboardInterrupt


def _write_report(folder: Path) -> None:
    from controller.local.report import report_of, write_report

    try:
        write_report(folder, report_of(folder))
    except NoInputError as error:
        note(str(error))


def _tell(folder: Path, state: Any) -> None:
    report = folder / "report.html"
    if state.best is not None:
        say(
            f"best {state.best}: {state.best_score:.4f} ± {state.best_stderr:.4f} after {state.evaluations} evaluations"
        )
    if report.exists():
        say(f"report: {report}")
        say(f"details: autosel report {folder}")
