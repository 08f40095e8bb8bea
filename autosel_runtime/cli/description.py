"""A described search as text."""

from collections.abc import Iterator

from autosel_runtime.report.formats import plural, points
from controller.views.describe import Description
from controller.views.rows import BASELINES, Row, totals_words


def description_text(found: Description) -> str:
    """Return the description as lines of text."""
    return "\n".join(_lines(found))


def _lines(found: Description) -> Iterator[str]:
    name = found.name if found.namespace is None else f"{found.namespace}/{found.name}"
    yield f"{name}  {found.state}"
    width = max(len(key) for key in found.spec)
    for key, text in found.spec.items():
        yield f"  {key:<{width}}  {text}"
    yield ""
    yield f"Now: {found.message or found.state}"
    yield f"Waits for: {found.next}"
    yield f"Progress: {totals_words(found.totals)}"
    yield f"Budget: {', '.join(found.limits)}"
    yield ""
    if found.best is not None:
        size = "" if found.best.samples is None else f", {plural(found.best.samples, 'sample')}"
        yield f"Best so far: {found.best.name}, {_score(found.best)}{size}"
        yield f"  {found.best_recipe}"
    else:
        yield "Best so far: no trial has a score yet"
    for row in found.baselines:
        yield f"Baseline {BASELINES.get(row.role, row.name)}: {_score(row) if row.score is not None else row.state}"
    if found.steps:
        yield ""
        yield "Running steps"
        for step in found.steps:
            parts = [f"attempt {step.attempt}", f"since {step.since}", step.progress]
            yield f"  {step.name}  {', '.join(part for part in parts if part)}"
            if step.waits and not any(pod.waits for pod in step.pods):
                yield f"    waits: {step.waits}"
            for pod in step.pods:
                where = f" on {pod.node}" if pod.node else ""
                yield f"    pod {pod.name}{where}: {f'waits: {pod.waits}' if pod.waits else 'runs'}"
    if found.conditions:
        yield ""
        yield "Conditions"
        for entry in found.conditions:
            why = f"{entry['reason']}: {entry['message']}" if entry["message"] else entry["reason"]
            yield f"  {entry['type']:<12} {entry['status']:<8} {why}"
    if found.events:
        yield ""
        yield "Events"
        for event in found.events:
            times = f" (x{event.count})" if event.count > 1 else ""
            yield f"  {event.time}  {event.type:<7}  {event.object}  {event.reason}: {event.message}{times}"


def _score(row: Row) -> str:
    ends = "" if row.low is None or row.high is None else f" ({points(row.low)} to {points(row.high)})"
    return f"{points(row.score)}{ends} on the search half"
