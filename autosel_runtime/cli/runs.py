"""autosel report, explain, lock, verify: what a run folder tells."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from autosel_runtime.cli.output import command, emit_json, note, say
from autosel_runtime.errors import DataError

Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Run = Annotated[Path, typer.Argument(metavar="RUN", help="Run folder.")]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command(epilog="Example: autosel report runs/quickstart --json")(report)
    app.command(epilog="Example: autosel explain runs/quickstart t00004 full-pool")(explain)
    app.command(epilog="Example: autosel lock runs/quickstart")(lock)
    app.command(epilog="Example: autosel verify runs/quickstart/recipe.lock")(verify)


@command
def report(
    run: Run,
    all_trials: Annotated[bool, typer.Option("--all", help="Show all trials, not the best 20.")] = False,
    json_output: Annotated[bool, typer.Option("--json", help="Print the versioned report document.")] = False,
) -> None:
    """Show a search as far as it has come; also rewrites report.html and report.json in RUN."""
    from autosel_runtime.report.model import report_json
    from autosel_runtime.report.table import print_report
    from controller.local.report import report_of, write_report

    found = report_of(run)
    write_report(run, found)
    if json_output:
        say(report_json(found).rstrip("\n"))
        return
    print_report(found, all_trials=all_trials)
    say(f"page: {run / 'report.html'}")


@command
def explain(
    run: Run,
    a: Annotated[str, typer.Argument(metavar="A", help="Trial or baseline.")],
    b: Annotated[str, typer.Argument(metavar="B", help="Trial or baseline.")],
    style: Annotated[Literal["text", "markdown"], typer.Option("--format", help="Output style.")] = "text",
    examples: Annotated[int, typer.Option(help="Example samples to show.")] = 20,
    json_output: Json = False,
) -> None:
    """Show which samples differ between two trials' subsets, and why."""
    from autosel_runtime.report.explain import explain as compare
    from autosel_runtime.report.explain_text import explanation_markdown, explanation_text
    from controller.local.subsets import open_subsets

    subsets = open_subsets(run)
    found = compare(subsets.side(a), subsets.side(b), subsets.columns, subsets.read, examples=examples)
    if json_output:
        emit_json(found.model_dump(mode="json"))
    else:
        say(explanation_markdown(found) if style == "markdown" else explanation_text(found))


@command
def lock(
    run: Run,
    trial: Annotated[str | None, typer.Option(help="Trial to lock; the chosen one when left out.")] = None,
    json_output: Json = False,
) -> None:
    """Write RUN/recipe.lock: pool, columns, recipe, seeds, versions and the subset's digest."""
    from autosel_runtime.report.lock import lock_text
    from controller.local.subsets import lock_of

    found = lock_of(run, trial)
    path = run / "recipe.lock"
    path.write_text(lock_text(found))
    if json_output:
        emit_json(found.model_dump(mode="json"))
    else:
        say(f"{path}: trial {found.trial}")


@command
def verify(
    lock_file: Annotated[Path, typer.Argument(metavar="LOCK", help="recipe.lock.")],
    run: Annotated[
        Path | None, typer.Option(help="Run folder with pool and signals; the lock's own folder.")
    ] = None,
    json_output: Json = False,
) -> None:
    """Execute the locked recipe again and compare every digest; exit code 65 if one differs."""
    from controller.local.subsets import verify_run

    problems = verify_run(lock_file, run or lock_file.parent)
    if json_output:
        emit_json({"lock": str(lock_file), "valid": not problems, "problems": problems})
    for problem in problems:
        note(problem)
    if problems:
        raise DataError(
            f"{lock_file} does not hold: {len(problems)} difference{'s' if len(problems) > 1 else ''}"
        )
    if not json_output:
        say(f"{lock_file} holds")
