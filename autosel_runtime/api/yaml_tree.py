"""YAML documents as plain values that remember their lines.

Booleans and numbers are read as Kubernetes reads them (``2e-5`` is a number, dates are text), and what YAML
lets pass in silence, a key given twice or one that is no text, is a problem.
"""

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from autosel_runtime.errors import NoInputError, Problem

MAX_BYTES = 4 << 20
_MAX_DEPTH = 64
_MAX_VALUES = 200_000
TOO_DEEP = f"values are nested deeper than {_MAX_DEPTH} levels"

Path_ = tuple[str | int, ...]


@dataclass(frozen=True, kw_only=True)
class Document:
    """One YAML document. ``lines`` holds the 1-based line of every value by its path of keys and indices; that of the
    whole, (), is None where lines are not known."""

    value: Any
    lines: Mapping[Path_, int | None]

    def line_of(self, path: Path_) -> int | None:
        """Return the line of ``path``, or of the nearest value around it that exists."""
        while path not in self.lines:
            path = path[:-1]
        return self.lines[path]


class BoundedLoader(yaml.SafeLoader):
    """SafeLoader with an end to nesting: it calls itself for each level, so few kilobytes could exhaust the stack."""

    _depth = 0

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        self._depth += 1
        if self._depth > _MAX_DEPTH + 1:
            raise yaml.MarkedYAMLError(problem=TOO_DEEP, problem_mark=self.peek_event().start_mark)
        node = super().compose_node(parent, index)
        self._depth -= 1
        return node


class _Loader(BoundedLoader):
    """The numbers of YAML 1.2, no dates."""


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in rules if tag != "tag:yaml.org,2002:timestamp"]
    for first, rules in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"^[-+]?(\d+\.?\d*|\.\d+)[eE][-+]?\d+$"), list("-+.0123456789")
)


def read_documents(path: Path) -> tuple[list[Document], list[Problem]]:
    """Return the documents of a file and all problems of its YAML; empty documents are left out.

    NoInputError when the file cannot be read. After a syntax error the rest of the file is not read.
    """
    file = str(path)
    try:
        data = path.read_bytes()
    except OSError as error:
        raise NoInputError(f"cannot read {path}: {error.strerror}") from error
    if len(data) > MAX_BYTES:
        return [], [_problem(file, None, f"the file has {len(data):,} bytes, at most {MAX_BYTES:,} are read")]
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        return [], [_problem(file, data[: error.start].count(b"\n") + 1, "the file is not UTF-8 text")]
    documents: list[Document] = []
    problems: list[Problem] = []
    try:
        for node in _nodes(text):
            reader = _Reader(file)
            value = reader.read(node, (), ())
            problems += reader.problems
            if value is not None:
                documents.append(Document(value=value, lines=reader.lines))
    except yaml.YAMLError as error:
        problems.append(_syntax_problem(file, text, error))
    return documents, problems


def _nodes(text: str) -> Iterator[yaml.Node]:
    loader = _Loader(text)
    try:
        while loader.check_node():
            node = loader.get_node()
            if node is not None:
                yield node
    finally:
        loader.dispose()


# kubectl takes a bare y or n for a boolean
_Loader.add_implicit_resolver("tag:yaml.org,2002:bool", re.compile(r"^[yYnN]$"), list("yYnN"))


class _Constructor(yaml.constructor.SafeConstructor):
    bool_values = {**yaml.constructor.SafeConstructor.bool_values, "y": True, "n": False}  # noqa: RUF012


class _Reader:
    """Turns the nodes of one document into values and collects lines and problems."""

    def __init__(self, file: str) -> None:
        self.file = file
        self.lines: dict[Path_, int] = {}
        self.problems: list[Problem] = []
        self._constructor = _Constructor()

    def read(self, node: yaml.Node, path: Path_, open_nodes: tuple[int, ...]) -> Any:
        line = node.start_mark.line + 1
        self.lines.setdefault(path, line)
        if id(node) in open_nodes:
            raise _at(node, "an alias contains itself")
        if len(open_nodes) > _MAX_DEPTH:
            raise _at(node, TOO_DEEP)
        if len(self.lines) > _MAX_VALUES:
            raise _at(node, f"the document has more than {_MAX_VALUES:,} values")
        inner = (*open_nodes, id(node))
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, path, inner)
        if isinstance(node, yaml.SequenceNode):
            return [self.read(item, (*path, index), inner) for index, item in enumerate(node.value)]
        return self._scalar(node, path)

    def _mapping(self, node: yaml.MappingNode, path: Path_, inner: tuple[int, ...]) -> dict[str, Any]:
        result: dict[str, Any] = {}
        first_line: dict[str, int] = {}
        for key_node, value_node in node.value:
            line = key_node.start_mark.line + 1
            key = key_node.value if isinstance(key_node, yaml.ScalarNode) else None
            if key is None or (key_node.tag != "tag:yaml.org,2002:str" and not key_node.style):
                shown = key if key is not None else "a list or mapping"
                what = "merge keys (<<) are" if key == "<<" else f"keys are text: {shown} is"
                self._add(line, path, f"{what} not allowed; put the key in quotes or write it out")
                continue
            if key in first_line:
                self._add(line, (*path, key), f"the key is given twice, first in line {first_line[key]}")
                continue
            first_line[key] = line
            self.lines[(*path, key)] = line
            result[key] = self.read(value_node, (*path, key), inner)
        return result

    def _scalar(self, node: yaml.Node, path: Path_) -> Any:
        line = node.start_mark.line + 1
        try:
            value: Any = self._constructor.construct_object(node)
        except (yaml.YAMLError, ValueError) as error:
            reason = error.problem if isinstance(error, yaml.MarkedYAMLError) else str(error)
            self._add(line, path, f"cannot read {node.value!r}: {reason}")
            return None
        if isinstance(value, float) and not math.isfinite(value):
            self._add(line, path, f"found {node.value}; NaN and infinity are not allowed")
            return 0.0
        if value is not None and not isinstance(value, bool | int | float | str):
            self._add(line, path, f"found {node.tag}; allowed are text, numbers, true, false and null")
            return None
        return value

    def _add(self, line: int, path: Path_, message: str) -> None:
        self.problems.append(Problem(file=self.file, line=line, field=field_text(path), message=message))


def field_text(path: Path_) -> str:
    """Return a path as people write it: ``spec.pool.sources[0].uri``."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text


def _at(node: yaml.Node, message: str) -> yaml.MarkedYAMLError:
    return yaml.MarkedYAMLError(problem=message, problem_mark=node.start_mark)


def _syntax_problem(file: str, text: str, error: yaml.YAMLError) -> Problem:
    if isinstance(error, yaml.reader.ReaderError):
        line = text[: error.position].count("\n") + 1
        return _problem(file, line, "the file has a control character, which YAML does not allow")
    mark = error.problem_mark if isinstance(error, yaml.MarkedYAMLError) else None
    if not isinstance(error, yaml.MarkedYAMLError) or mark is None:
        return _problem(file, None, f"not YAML: {error}")
    message = error.problem or "not YAML"
    if "'\\t'" in message:
        message = "a tab is used for indentation; YAML allows spaces only"
    elif error.context:
        message = f"{message} ({error.context})"
    return _problem(file, mark.line + 1, message)


def _problem(file: str, line: int | None, message: str) -> Problem:
    return Problem(file=file, line=line, field="", message=message)
