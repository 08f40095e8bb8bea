"""autosel run: a whole search on this machine."""

import signal
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from autosel_runtime.cli.output import Json, command, emit_json, example, note, say
from autosel_runtime.errors import AutoselError, NoInputError
from autosel_runtime.progress import plural

if TYPE_CHECKING:
    from controller.reconcile.model import SearchState

TERMINATED = 143


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(epilog=example("autosel run examples/quickstart/search.yaml --out runs/quickstart"))(run)


@command
def run(
    document: Annotated[Path, typer.Argument(metavar="SEARCH.yaml", help="RecipeSearch document.")],
    out: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Run folder; runs/NAME when left out.")
    ] = None,
    json_output: Json = False,
) -> None:
    """Run a search here, to its end.

    Run it again to go on after ctrl-c, a crash or a raised budget: what is finished is not done twice.
    """
    from autosel_runtime.api.load import load_search
    from controller.local.display import Display
    from controller.local.folder import remove_scratch
    from controller.local.run import run as run_search

    folder = out or Path("runs") / load_search(document).metadata.name
    signal.signal(signal.SIGTERM, _stop)
    display = Display(folder=folder)

    def warn(text: str) -> None:
        display.close()  # or it would stand behind the live line
        note(text)

    try:
        outcome = run_search(document, folder, listen=display.show, warn=warn)
    finally:
        display.close()
    _write_report(folder, outcome.state)
    if outcome.state.finished:
        remove_scratch(folder)
    if outcome.state.stalled:
        where = f"logs are under {folder / 'steps'}" if outcome.log is None else f"log: {outcome.log}"
        error = AutoselError(f"the search stopped: {outcome.state.message}; {where}")
        error.exit_code = outcome.exit_code
        raise error
    if json_output:
        emit_json({"folder": str(folder), **asdict(outcome.state)})
    else:
        _tell(folder, outcome.state)


def _stop(_signal: int, _frame: Any) -> None:
    raise KeyboardInterrupt(TERMINATED)


def _write_report(folder: Path, state: "SearchState") -> None:
    """Write the newest report. A search that stopped without pool and signals has none, which needs no words, nor does
    what the search itself stopped for."""
    from controller.local.report import report_of, write_report

    try:
        write_report(folder, report_of(folder))
    except NoInputError as error:
        if not state.stalled:
            note(f"no report: {error}")
    except AutoselError as error:
        if str(error) not in state.message:
            note(f"no report: {error}")


def _tell(folder: Path, state: Any) -> None:
    report = folder / "report.html"
    if state.best is not None:
        say(
            f"best {state.best}: {100 * state.best_score:.1f} ± {100 * state.best_stderr:.1f} points on the "
            f"search half after {plural(state.evaluations, 'evaluation')}"
        )
    if report.exists():
        say(f"report: {report}")
        say(f"details: autosel report {folder}")
