"""autosel transfer, autosel ood: the chosen subset on other models, the chosen model on other tasks."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from autosel_runtime.cli.inputs import local_model, local_path, model_folder, read_tasks
from autosel_runtime.cli.output import Json, command, emit_json, example, note, show, width_of_output

if TYPE_CHECKING:
    from autosel_runtime.report.model import Estimate
    from controller.local.finals import Scores

Run = Annotated[Path, typer.Argument(metavar="RUN", help="Run folder.")]

WIDE = 100
HEADS: Mapping[str, str] = {
    "untuned": "untuned",
    "full_pool": "full pool",
    "random_subset": "random subset",
    "search": "chosen",
}


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command(epilog=example("autosel transfer runs/quickstart runs/tuned"))(transfer)
    app.command(epilog=example("autosel ood runs/quickstart --tasks examples/quickstart/more_tasks.yaml"))(
        ood
    )


@command
def transfer(
    run: Run,
    models: Annotated[list[str], typer.Argument(metavar="MODEL", help="Model folders, here or s3://.")],
    json_output: Json = False,
) -> None:
    """Try the chosen subset on other models.

    Each model is scored on the report half as it is, tuned on the full pool, and tuned on the chosen subset. What
    the store of RUN has already is not done again.
    """
    from controller.local.finals import open_finals, own_scores, transfer_scores

    for uri in models:
        if not uri.startswith("s3://"):
            model_folder(local_path(uri))
    finals = open_finals(run, warn=note)
    folders = {local_model(uri, finals.context.inputs).resolve(): uri for uri in models}
    own = own_scores(finals)
    found = [
        *((own,) if own is not None else ()),
        *(transfer_scores(finals, folder, label=label, tell=note) for folder, label in folders.items()),
    ]
    if json_output:
        rows = [{**_row(one), "searched": one is own} for one in found]
        emit_json({"run": str(run), "trial": finals.chosen.trial.name, "half": "report", "models": rows})
        return
    rows = [
        (
            one.label + (" (searched)" if one is own else ""),
            {half.role: half.overall for half in one.halves},
            one.difference(),
        )
        for one in found
    ]
    show(_table(f"Report half, points; subset of trial {finals.chosen.trial.name}", "model", rows))


@command
def ood(
    run: Run,
    tasks: Annotated[
        Path | None,
        typer.Option(metavar="FILE.yaml", help="List of tasks; spec.evaluation.outOfDomain when left out."),
    ] = None,
    json_output: Json = False,
) -> None:
    """Score the chosen model on other tasks.

    The chosen model and the baselines are scored on all items of the tasks. What the store of RUN has already is
    not done again.
    """
    from controller.local.finals import open_finals, out_of_domain_scores

    finals = open_finals(run, warn=note)
    found = out_of_domain_scores(finals, None if tasks is None else read_tasks(tasks), tell=note)
    if json_output:
        emit_json({"run": str(run), "trial": finals.chosen.trial.name, **_row(found)})
        return
    rows = [("overall", {half.role: half.overall for half in found.halves}, found.difference())]
    rows += [
        (task, {half.role: half.tasks[task] for half in found.halves}, found.difference(task))
        for task in found.tasks
    ]
    show(_table(f"Out of domain, points; trial {finals.chosen.trial.name}", "task", rows))


def _row(scores: "Scores") -> dict[str, Any]:
    return {
        "model": scores.label,
        "scores": [half.model_dump(mode="json") for half in scores.halves],
        "gains": [gain.model_dump(mode="json") for gain in scores.gains],
    }


def _table(
    title: str,
    first: str,
    rows: "Sequence[tuple[str, Mapping[Any, Estimate | None], Estimate | None]]",
) -> Any:
    """Return a table of scores with standard errors; the last column is the paired gain with its interval."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    from autosel_runtime.report.formats import interval, points, signed_points

    roles = [role for role in HEADS if any(role in scores for _, scores, _ in rows)]
    between = ""
    over = next((HEADS[role] for role in ("full_pool", "random_subset", "untuned") if role in roles), None)
    table = Table(box=SIMPLE_HEAD, title=title, title_justify="left", title_style="bold", pad_edge=False)
    table.add_column(first, overflow="fold")
    for role in roles:
        table.add_column(HEADS[role], justify="right", style="bold" if role == "search" else None)
    if over is not None:
        # In a narrow terminal the interval goes below the gain, and the head below itself.
        between = "\n" if width_of_output() < WIDE else " "
        table.add_column(f"gain over{between}{over}", justify="right", no_wrap=True)
    for label, scores, gain in rows:
        cells: list[str] = []
        for role in roles:
            score = scores.get(role)
            error = "" if score is None or score.stderr is None else f" ± {100 * score.stderr:.1f}"
            cells.append(points(score.value if score else None) + error)
        if over is not None:
            ends = interval(gain, signed=True)
            value = signed_points(gain.value if gain else None)
            cells.append(f"{value}{between}({ends})" if ends else value)
        table.add_row(label, *cells)
    return table
