"""What the page shows, worked out before the template: order, cuts, texts and charts."""

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from autosel_runtime.report import chart_curve, chart_data, chart_scores, marks, svg
from autosel_runtime.report.chart_scores import LABELS
from autosel_runtime.report.formats import (
    accelerator_time,
    count,
    duration,
    interval,
    moment,
    number,
    percent,
    plural,
    points,
    short_count,
    signed_points,
)
from autosel_runtime.report.headline import primary_gain
from autosel_runtime.report.model import Histogram, Report, Trial
from autosel_runtime.report.page_table import TableRow, table_row
from autosel_runtime.report.page_tree import TreePhase, tree

# Longer lists scroll in a box of their own, so that the page stays a page.
LONG = 30
SHOWN_SOURCES = 20
SHOWN_SIGNALS = 9


@dataclass(frozen=True, kw_only=True)
class Tile:
    """One number of the overview."""

    label: str
    value: str
    unit: str = ""
    note: str = ""


@dataclass(frozen=True, kw_only=True)
class SignalPanel:
    """One histogram with its captions."""

    name: str
    shift: str
    chart: Markup
    missing: str


@dataclass(frozen=True, kw_only=True)
class View:
    """Everything that the template asks for beside the report itself."""

    title: str
    claim: str
    bounds: str
    level: str
    logo: Markup
    sections: tuple[tuple[str, str], ...]
    chosen: Trial | None
    tiles: tuple[Tile, ...]
    forest: Markup | None
    funnel: tuple[Markup, ...]
    role_legend: Markup
    dots: svg.Chart | None
    tasks: tuple[str, ...]
    outside: svg.Chart | None
    outside_tasks: tuple[str, ...]
    curve: svg.Chart | None
    phases: tuple[TreePhase, ...]
    ramp: Markup | None
    low: str
    high: str
    long: bool
    data_legend: Markup
    sources: svg.Chart | None
    more_sources: str
    signals: tuple[SignalPanel, ...]
    more_signals: tuple[SignalPanel, ...]
    step_legend: Markup
    wall_bar: svg.Chart | None
    wall_total: str
    accelerator_bar: svg.Chart | None
    accelerator_total: str
    trial_cost: svg.Chart | None
    rows: tuple[TableRow, ...]
    trial_count: str
    digests: tuple[tuple[str, str], ...]
    settings: tuple[tuple[str, str], ...]


def page_view(report: Report) -> View:
    """Return the view of ``report``."""
    chosen_name = report.incumbent.trial if report.incumbent else None
    chosen = next((trial for trial in report.trials if trial.name == chosen_name), None)
    tasks = tuple(task.name for task in report.search.tasks)
    outside_tasks = tuple(task.name for task in report.search.out_of_domain)
    scores = [trial.score.value for trial in report.trials if trial.role == "search" and trial.score]
    panels = _panels(report.signals)
    mix = sorted(report.sources, key=lambda source: -source.pool_rows)
    searched = sum(trial.role == "search" for trial in report.trials)
    claim, bounds = _claim(report.headline)
    return View(
        title="/".join(part for part in (report.search.namespace, report.search.name) if part),
        claim=claim,
        bounds=bounds,
        level=f"{100 * report.search.confidence:g}\u202f%",
        logo=marks.logo(),
        sections=_sections(report),
        chosen=chosen,
        tiles=tuple(_tiles(report, chosen)),
        forest=chart_scores.forest(report.gains),
        funnel=tuple(chart_data.funnel(report.pool_rows or 0, chosen.steps)) if chosen else (),
        role_legend=marks.role_legend(report),
        dots=chart_scores.dots(report.report_half, tasks, "Overall"),
        tasks=tasks,
        outside=chart_scores.dots(report.out_of_domain, outside_tasks, None),
        outside_tasks=outside_tasks,
        curve=chart_curve.curve(report),
        phases=tree(report, chosen_name),
        ramp=marks.ramp() if len(set(scores)) > 1 else None,
        low=points(min(scores, default=None)),
        high=points(max(scores, default=None)),
        long=searched > LONG,
        data_legend=marks.data_legend(),
        sources=chart_data.sources(mix[:SHOWN_SOURCES]) if len(mix) > 1 else None,
        more_sources=_more_sources(len(mix)),
        signals=panels[:SHOWN_SIGNALS],
        more_signals=panels[SHOWN_SIGNALS:],
        step_legend=marks.step_legend(report),
        wall_bar=chart_data.cost_bar(report.cost, accelerators=False),
        wall_total=duration(sum(use.seconds for use in report.cost)),
        accelerator_bar=chart_data.cost_bar(report.cost, accelerators=True),
        accelerator_total=accelerator_time(sum(use.accelerator_seconds or 0.0 for use in report.cost)),
        trial_cost=chart_data.trial_cost(report.trials),
        rows=tuple(table_row(trial, i, chosen_name) for i, trial in enumerate(report.trials)),
        trial_count=f"{plural(searched, 'trial')}, {plural(len(report.trials) - searched, 'baseline')}",
        digests=_digests(report),
        settings=_settings(report),
    )


def _claim(headline: str) -> tuple[str, str]:
    """Return the headline in two parts: the claim, and the interval that ends it, which is set lighter."""
    claim, bracket, bounds = headline.rpartition(" (")
    return (claim, f"({bounds}") if bracket and bounds.endswith(").") else (headline, "")


def _sections(report: Report) -> tuple[tuple[str, str], ...]:
    found = [
        ("recipe", "Recipe", bool(report.incumbent)),
        ("benchmarks", "Benchmarks", bool(report.report_half)),
    ]
    found += [
        ("search", "Search", True),
        ("data", "Data", bool(report.signals)),
        ("cost", "Cost", bool(report.cost)),
    ]
    found += [("trials", "Trials", True), ("provenance", "Provenance", True)]
    return tuple((anchor, name) for anchor, name, present in found if present)


def _tiles(report: Report, chosen: Trial | None) -> list[Tile]:
    tiles: list[Tile] = []
    unseen = next((half.overall for half in report.report_half if half.role == "search"), None)
    if unseen is not None:
        tiles.append(Tile(label="Score on unseen items", value=points(unseen.value), note=interval(unseen)))
    elif chosen is not None and chosen.score is not None:
        note = interval(chosen.score)
        tiles.append(Tile(label="Score on the search half", value=points(chosen.score.value), note=note))
    gain = primary_gain(report.gains)
    if gain is not None:
        tiles.append(
            Tile(
                label=f"Gain over {LABELS[gain.role].lower()}",
                value=signed_points(gain.difference.value),
                unit="points",
                note=interval(gain.difference, signed=True) + ("" if gain.conclusive else ", includes zero"),
            )
        )
    if chosen is not None and chosen.size is not None:
        whole = f"of {plural(report.pool_rows, 'sample')}" if report.pool_rows is not None else "samples"
        share = percent(chosen.retain) if chosen.retain is not None else count(chosen.size)
        tiles.append(Tile(label="Data kept", value=share, note=f"{count(chosen.size)} {whole}"))
    budget = report.budget
    lost = sum(trial.state in ("failed", "invalid") for trial in report.trials)
    tiles.append(
        Tile(
            label="Evaluations",
            value=count(budget.evaluations),
            unit=f"of {count(budget.evaluations_limit)}",
            note=f"{lost} failed or invalid" if lost else "none failed",
        )
    )
    seconds = sum(use.accelerator_seconds or 0.0 for use in report.cost)
    tokens = sum(use.tokens or 0 for use in report.cost)
    if seconds > 0:
        note = f"{short_count(tokens)} tokens" if tokens else ""
        tiles.append(Tile(label="Accelerator time", value=accelerator_time(seconds), note=note))
    elif budget.seconds is not None:
        note = f"{short_count(tokens)} tokens" if tokens else ""
        tiles.append(Tile(label="From start to end", value=duration(budget.seconds), note=note))
    return tiles


def _panels(signals: Sequence[Histogram]) -> tuple[SignalPanel, ...]:
    ordered = sorted(signals, key=lambda item: (-abs(item.shift or 0.0), item.signal))
    panels: list[SignalPanel] = []
    for item in ordered:
        chart = chart_data.histogram(item)
        if chart is None:
            continue
        missing = f"{count(item.pool_missing)} rows of the pool have no value" if item.pool_missing else ""
        shift = (
            "" if item.shift is None else f"{'+' if item.shift > 0 else ''}{number(round(item.shift, 2))} SD"
        )
        panels.append(SignalPanel(name=item.signal, shift=shift, chart=chart, missing=missing))
    return tuple(panels)


def _more_sources(total: int) -> str:
    hidden = total - SHOWN_SOURCES
    return f"{plural(hidden, 'smaller source')} not shown; the JSON report has all." if hidden > 0 else ""


def _digests(report: Report) -> tuple[tuple[str, str], ...]:
    found = report.digests.model_dump()
    return tuple((name.capitalize(), value) for name, value in found.items() if value) or (
        ("None", "not recorded"),
    )


def _settings(report: Report) -> tuple[tuple[str, str], ...]:
    search, budget = report.search, report.budget
    facts = [
        ("Started", moment(search.started)),
        ("Finished", moment(search.finished)),
        ("Seed", str(search.seed)),
        ("Proposer", search.proposer),
        ("Ranker", search.ranker),
        ("Search half", f"{percent(search.search_fraction)} of each task's items"),
        ("Tasks", ", ".join(f"{task.name} × {task.weight:g}" for task in search.tasks)),
    ]
    if budget.accelerator_seconds_limit is not None:
        spent, limit = budget.accelerator_seconds, budget.accelerator_seconds_limit
        facts.append(("Accelerator budget", f"{accelerator_time(spent)} of {accelerator_time(limit)}"))
    if budget.deadline_seconds is not None:
        facts.append(("Time budget", f"{duration(budget.seconds)} of {duration(budget.deadline_seconds)}"))
    return tuple(facts)
