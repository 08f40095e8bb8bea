"""An explanation as plain text and as Markdown."""

import re

from autosel_runtime.report.explain import Counts, Example, Explanation
from autosel_runtime.report.formats import count, number, percent, plural, signed_points

SHOWN_SIGNALS = 8
SHOWN_SOURCES = 12

_MARKDOWN = re.compile(r"([\\`*_\[\]<>|#~$])")


def explanation_text(found: Explanation) -> str:
    """Return the explanation as plain text, ending in a newline."""
    lines = [*_summary(found), ""]
    lines += _columns("Sources", ["source", "only A", "only B", "both"], _source_rows(found))
    lines += ["", *_columns("Signals", _signal_head(), _signal_rows(found)), ""]
    for title, examples in _example_groups(found):
        lines.append(title)
        for example in examples:
            lines += [f"  {example.id}  {example.source}{_facts(example)}", f"    {_printable(example.text)}"]
        lines.append("")
    return "\n".join(lines).rstrip() + "\n"


def explanation_markdown(found: Explanation) -> str:
    """Return the explanation as Markdown, ending in a newline; texts of samples are escaped."""
    first, *rest = _summary(found)
    lines = [f"# {_escape(first)}", "", *(f"- {_escape(line)}" for line in rest), ""]
    lines += [
        "## Sources",
        "",
        *_markdown_table(["source", "only A", "only B", "both"], _source_rows(found)),
        "",
    ]
    lines += ["## Signals", "", *_markdown_table(_signal_head(), _signal_rows(found)), ""]
    for title, examples in _example_groups(found):
        lines += [f"## {title}", ""]
        for example in examples:
            about = _escape(f"{example.id}, {example.source}{_facts(example)}")
            lines.append(f"- {about}: {_escape(_printable(example.text))}")
        lines.append("")
    return "\n".join(lines).rstrip() + "\n"


def _summary(found: Explanation) -> list[str]:
    counts = found.counts
    lines = [
        f"A {found.a} against B {found.b}",
        f"A alone has {plural(counts.only_a, 'sample')}, B alone {count(counts.only_b)}, both {count(counts.both)}; "
        f"the overlap is {percent(found.jaccard)} of their union.",
    ]
    step = found.first_difference
    if step is None:
        return [*lines, "The recipes are equal."]
    kept_a = "" if step.kept_a is None else f", {plural(step.kept_a, 'sample')} left"
    kept_b = "" if step.kept_b is None else f", {plural(step.kept_b, 'sample')} left"
    return [
        *lines,
        f"The recipes part at step {step.step}. A: {step.a or 'no such step'}{kept_a}. "
        f"B: {step.b or 'no such step'}{kept_b}.",
    ]


def _source_rows(found: Explanation) -> list[list[str]]:
    changed = sorted(found.sources, key=lambda item: -(item.only_a + item.only_b))
    shown = changed[:SHOWN_SOURCES]
    rows = [[item.source, count(item.only_a), count(item.only_b), count(item.both)] for item in shown]
    if len(changed) > len(shown):
        rest = changed[SHOWN_SOURCES:]
        total = Counts(
            only_a=sum(item.only_a for item in rest),
            only_b=sum(item.only_b for item in rest),
            both=sum(item.both for item in rest),
        )
        rows.append([f"{len(rest)} others", count(total.only_a), count(total.only_b), count(total.both)])
    return rows


def _signal_head() -> list[str]:
    return ["signal", "separation", "only A by quarter", "only B by quarter"]


def _signal_rows(found: Explanation) -> list[list[str]]:
    return [
        [
            item.signal,
            "–" if item.separation is None else signed_points(item.separation),
            _shares(item.only_a),
            _shares(item.only_b),
        ]
        for item in found.signals[:SHOWN_SIGNALS]
    ]


def _shares(counts: tuple[int, ...]) -> str:
    total = sum(counts)
    return " ".join(percent(value / total) for value in counts) if total else "–"


def _example_groups(found: Explanation) -> list[tuple[str, list[Example]]]:
    groups = [
        (f"Only in A, {found.a}", [example for example in found.examples if example.region == "only_a"]),
        (f"Only in B, {found.b}", [example for example in found.examples if example.region == "only_b"]),
    ]
    return [(title, examples) for title, examples in groups if examples]


def _facts(example: Example) -> str:
    facts = [f"{name} {number(value)}" for name, value in example.signals.items()]
    facts += [f"dropped at {example.dropped}"] if example.dropped else []
    return f" ({', '.join(facts)})" if facts else ""


def _columns(title: str, head: list[str], rows: list[list[str]]) -> list[str]:
    table = [head, *rows]
    widths = [max(len(row[i]) for row in table) for i in range(len(head))]
    lines = [
        "  "
        + "  ".join(
            cell.ljust(width) if i == 0 else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in table
    ]
    return [title, *(line.rstrip() for line in lines)]


def _markdown_table(head: list[str], rows: list[list[str]]) -> list[str]:
    lines = ["| " + " | ".join(_escape(cell) for cell in row) + " |" for row in [head, *rows]]
    return [lines[0], "|" + " --- |" * len(head), *lines[1:]]


def _escape(text: str) -> str:
    return _MARKDOWN.sub(r"\\\1", text)


def _printable(text: str) -> str:
    """Return ``text`` without control characters, which could rewrite a terminal."""
    return "".join(ch if ch.isprintable() else "�" for ch in text)
