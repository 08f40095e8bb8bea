"""The report in a terminal: the same numbers as on the page, fitted to the width, plain when nobody watches."""

import sys
from collections.abc import Sequence
from typing import TextIO

from rich.box import SIMPLE_HEAD
from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from autosel_runtime.report.chart_scores import LABELS
from autosel_runtime.report.formats import (
    accelerator_time,
    count,
    duration,
    interval,
    percent,
    plural,
    points,
    short_count,
    signed_points,
)
from autosel_runtime.report.model import HalfScores, Report, Trial

# Below this width the columns that a reader can do without are left out.
NARROW = 90
TOP = 20


def print_report(
    report: Report, stream: TextIO | None = None, *, width: int | None = None, all_trials: bool = False
) -> None:
    """Write the report to ``stream`` (standard output when None); colours only on a terminal.

    ``width`` in characters; the terminal's own when None, 100 when there is no terminal. The best 20 trials are
    shown unless ``all_trials``.
    """
    target = sys.stdout if stream is None else stream
    if width is None and not target.isatty():
        width = 100
    console = Console(file=target, width=width, highlight=False, emoji=False, markup=False)
    console.print(report_table(report, width=console.width, all_trials=all_trials))


def report_table(report: Report, *, width: int, all_trials: bool = False) -> RenderableType:
    """Return the report as a rich renderable for a terminal of ``width`` characters."""
    narrow = width < NARROW
    parts: list[RenderableType] = [_head(report), Text(report.headline, style="bold"), Text()]
    parts += [Text(f"! {warning}", style="yellow") for warning in report.warnings]
    chosen = next((t for t in report.trials if report.incumbent and t.name == report.incumbent.trial), None)
    if chosen is not None:
        parts += [Text(), Text(f"Recipe of trial {chosen.ordinal}", style="bold")]
        parts += [Padding(_steps(report, chosen), (0, 0, 0, 2))]
    if report.gains:
        parts += [Text(), _gains(report)]
    if report.report_half:
        parts += [
            Text(),
            _halves("Report half", report.report_half, [task.name for task in report.search.tasks], narrow),
        ]
    if report.out_of_domain:
        tasks = [task.name for task in report.search.out_of_domain]
        parts += [Text(), _halves("Out of domain", report.out_of_domain, tasks, narrow)]
    if report.trials:
        parts += [Text(), _trials(report, narrow, all_trials)]
    if report.cost:
        parts += [Text(), _cost(report)]
    return Group(*parts)


def _head(report: Report) -> Text:
    search, budget = report.search, report.budget
    name = "/".join(part for part in (search.namespace, search.name) if part)
    spent = f"{budget.evaluations} of {plural(budget.evaluations_limit, 'evaluation')}"
    return Text.assemble((name, "bold"), f"  {search.state}  {spent}  {search.model}", style="dim")


def _steps(report: Report, chosen: Trial) -> RenderableType:
    rows = [] if report.pool_rows is None else [Text(f"0. The whole pool: {count(report.pool_rows)}")]
    for i, step in enumerate(chosen.steps, 1):
        kept = "" if step.kept is None else f": {count(step.kept)} left"
        rows.append(Text(f"{i}. {step.words}{kept}"))
    return Group(*(rows or [Text(chosen.words)]))


def _table(title: str, first: str, others: Sequence[str]) -> Table:
    table = Table(box=SIMPLE_HEAD, title=title, title_justify="left", title_style="bold", pad_edge=False)
    table.add_column(first, overflow="fold")
    for name in others:
        table.add_column(name, justify="right", overflow="fold")
    return table


def _gains(report: Report) -> Table:
    level = f"{100 * report.search.confidence:g} % interval"
    table = _table("Gain on the report half, points", "over", ["gain", level, ""])
    for gain in report.gains:
        ends = interval(gain.difference, signed=True)
        verdict = "" if gain.conclusive else "includes zero"
        table.add_row(LABELS[gain.role], signed_points(gain.difference.value), ends, verdict)
    return table


def _halves(title: str, halves: Sequence[HalfScores], tasks: Sequence[str], narrow: bool) -> Table:
    if narrow:
        # Tasks run down instead of across, so that any number of them fits.
        table = _table(title, "task", [LABELS[half.role] for half in halves])
        table.add_row("overall", *(points(half.overall.value if half.overall else None) for half in halves))
        for task in tasks:
            table.add_row(
                task, *(points(half.tasks[task].value if task in half.tasks else None) for half in halves)
            )
        return table
    table = _table(title, "", ["overall", *tasks])
    for half in halves:
        scores = [half.overall, *(half.tasks.get(task) for task in tasks)]
        cells = [f"{points(s.value)}\n{interval(s)}" if s is not None else "–" for s in scores]
        style = "bold" if half.role == "search" else None
        table.add_row(LABELS[half.role], *cells, style=style)
    return table


def _trials(report: Report, narrow: bool, all_trials: bool) -> Table:
    def order(trial: Trial) -> tuple[bool, float, int]:
        return (trial.score is None, -trial.score.value if trial.score else 0.0, trial.ordinal)

    ranked = sorted(report.trials, key=order)
    shown = ranked if all_trials else ranked[:TOP]
    title = f"Trials by search-half score, {len(shown)} of {len(ranked)}"
    names = ["score", "samples"] if narrow else ["score", "interval", "samples", "kept", "state"]
    table = _table(title, "#", [])
    for name in names:
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("recipe", overflow="fold", ratio=1)
    chosen = report.incumbent.trial if report.incumbent else None
    for trial in shown:
        number = str(trial.ordinal) if trial.role == "search" else "–"
        words = trial.words if trial.role == "search" else f"{LABELS[trial.role]}: {trial.words}"
        if trial.score is None:
            words += f" [{trial.state}{': ' + trial.message if trial.message else ''}]"
        score = points(trial.score.value if trial.score else None)
        cells = [score, count(trial.size)]
        if not narrow:
            cells = [score, interval(trial.score), count(trial.size), percent(trial.retain), trial.state]
        table.add_row(number, *cells, Text(words), style="bold" if trial.name == chosen else None)
    return table


def _cost(report: Report) -> Table:
    table = _table("Cost", "step", ["runs", "wall time", "accelerator time", "tokens"])
    for use in report.cost:
        table.add_row(
            use.step,
            count(use.runs),
            duration(use.seconds),
            accelerator_time(use.accelerator_seconds),
            short_count(use.tokens),
        )
    return table
