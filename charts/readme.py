"""Write the table of values in ``charts/autosel/README.md`` from the comments of ``values.yaml``.

``python charts/readme.py`` rewrites the file; ``python charts/readme.py --check`` only says whether it is up to date.
A comment that begins with ``# --`` describes the key below it.
"""

import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

CHART = Path(__file__).parent / "autosel"
BEGIN, END = "<!-- values: begin -->", "<!-- values: end -->"


@dataclass(frozen=True, kw_only=True)
class Value:
    """One documented value: dotted path, default, description."""

    path: str
    default: Any
    description: str


def documented_values(text: str) -> Iterator[Value]:
    """Yield the values of a values.yaml that carry a description, in the order of the file."""
    defaults = yaml.safe_load(text)
    parents: list[tuple[int, str]] = []
    description: str | None = None
    for line in text.splitlines():
        stripped = line.strip()
        if stripped.startswith("# -- "):
            description = stripped.removeprefix("# -- ")
        elif stripped and not stripped.startswith(("#", "- ")):
            indent = len(line) - len(line.lstrip())
            while parents and parents[-1][0] >= indent:
                parents.pop()
            parents.append((indent, stripped.split(":", 1)[0]))
            if description is not None:
                path = [key for _, key in parents]
                default = defaults
                for key in path:
                    default = default[key]
                yield Value(path=".".join(path), default=default, description=description)
                description = None


def values_table(text: str) -> str:
    """Return the Markdown table of the documented values."""
    rows = ["| value | default | meaning |", "|---|---|---|"]
    for value in documented_values(text):
        default = json.dumps(value.default, ensure_ascii=False)
        rows.append(f"| `{value.path}` | `{default}` | {value.description.replace('|', '/')} |")
    return "\n".join(rows)


def with_table(readme: str, table: str) -> str:
    """Return ``readme`` with the text between its two marks replaced by ``table``."""
    before, rest = readme.split(BEGIN, 1)
    return f"{before}{BEGIN}\n{table}\n{END}{rest.split(END, 1)[1]}"


def main(arguments: list[str]) -> int:
    """Rewrite or check the file; 1 when a check finds it out of date."""
    path = CHART / "README.md"
    current = path.read_text()
    wanted = with_table(current, values_table((CHART / "values.yaml").read_text()))
    if arguments == ["--check"]:
        return int(current != wanted)
    path.write_text(wanted)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
