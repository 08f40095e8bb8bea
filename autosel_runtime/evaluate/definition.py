"""A task as data: how an item becomes a prompt, where its gold answer is, how a reply is scored."""

import re
from functools import cached_property
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import Field, ValidationError, field_validator, model_validator

from autosel_runtime.api.common import Model, Name
from autosel_runtime.api.evaluation import Task
from autosel_runtime.api.problems import problems_of
from autosel_runtime.api.uris import is_s3, split_s3
from autosel_runtime.api.yaml_tree import BoundedLoader, Document
from autosel_runtime.errors import DataError, InvalidDocumentError, NoInputError, Problem
from autosel_runtime.evaluate.answers import DEFAULT_PATTERNS, Metric
from autosel_runtime.pool.files import Bring
from autosel_runtime.pool.template import parse_template

Text = Annotated[str, Field(min_length=1, max_length=65_536)]
Pattern = Annotated[str, Field(min_length=1, max_length=4096)]
FieldName = Annotated[str, Field(min_length=1, max_length=256)]


class Shot(Model):
    """A solved example, shown as two earlier turns of the chat."""

    user: Text = Field(description="What the user says.", examples=["What is 2 + 3?"])
    assistant: Text = Field(description="The answer in the wanted form.", examples=["Answer: 5"])


class Choices(Model):
    """The options of a multiple-choice item; exactly one of the three ways to name them."""

    field: FieldName | None = Field(None, description="Field with the list of options.", examples=["choices"])
    fields: Annotated[list[FieldName], Field(min_length=2, max_length=26)] | None = Field(
        None, description="One field for each option.", examples=[["A", "B", "C", "D"]]
    )
    correct: FieldName | None = Field(
        None,
        description="Field with the correct option; goes with wrong, and the order is drawn.",
        examples=["correct_answer"],
    )
    wrong: FieldName | None = Field(
        None, description="Field with the list of wrong options.", examples=["incorrect_answers"]
    )
    line: Text = Field(
        "{letter}. {text}", description="How {choices} writes one option.", examples=["({letter}) {text}"]
    )
    seed: int = Field(
        0,
        ge=0,
        le=2**31 - 1,
        description="Seed of the drawn order; the order of an item never changes.",
        examples=[0],
    )

    @model_validator(mode="after")
    def _one_way(self) -> "Choices":
        ways = [self.field is not None, self.fields is not None, self.correct is not None]
        if sum(ways) != 1:
            raise ValueError("give exactly one of field, fields, and correct with wrong")
        if (self.correct is None) != (self.wrong is None):
            raise ValueError("correct and wrong go together")
        return self


class Gold(Model):
    """Where the right answer of an item is."""

    field: FieldName = Field(
        description="Field with the answer; for choices a 0-based index, a letter or the option's text.",
        examples=["answer"],
    )
    patterns: Annotated[list[Pattern], Field(max_length=16)] = Field(
        default_factory=list[str],
        description="Regular expressions that cut the answer out of the field.",
        examples=[["####\\s*(\\S+)"]],
    )


class Keep(Model):
    """Items that take part, by the value of a field."""

    field: FieldName = Field(description="Field that is looked at.", examples=["task"])
    values: Annotated[list[str], Field(min_length=1, max_length=256)] = Field(
        description="Values that are kept.", examples=[["cycle", "connectivity"]]
    )


class TaskDefinition(Model):
    """One benchmark."""

    name: Name = Field(description="Name.", examples=["gsm8k"])
    description: Text = Field(description="What it measures.", examples=["Grade-school arithmetic"])
    version: int = Field(1, ge=1, le=10_000, description="Raised when scores change meaning.", examples=[1])
    items: Annotated[str, Field(min_length=1, max_length=1024)] | None = Field(
        None,
        description="File of items; relative paths start at the definition's folder.",
        examples=["support_items.jsonl"],
    )
    keep: Keep | None = Field(None, description="Only these items take part.", examples=[None])
    system: Text | None = Field(None, description="System message.", examples=["Solve the problem."])
    shots: Annotated[list[Shot], Field(max_length=32)] = Field(
        default_factory=list[Shot], description="Solved examples.", examples=[[]]
    )
    user: Text = Field(
        description="Template of the question; {field} inserts a value, {choices} the options.",
        examples=["{question}\n\n{choices}"],
    )
    choices: Choices | None = Field(None, description="Options.", examples=[{"field": "choices"}])
    gold: Gold | None = Field(
        None, description="The right answer; left out with choices.correct.", examples=[{"field": "answer"}]
    )
    metric: Metric = Field(description="How an answer is compared.", examples=["numeric"])
    patterns: Annotated[list[Pattern], Field(max_length=32)] = Field(
        default_factory=list[str],
        description="Regular expressions that find the answer in a reply; the metric's own when left out.",
        examples=[["Verdict: (\\w+)"]],
    )
    tolerance: float = Field(
        1e-6, ge=0.0, le=1e12, description="Largest difference of equal numbers.", examples=[1e-6]
    )
    scoring: Literal["generate", "choice_loglikelihood"] = Field(
        "generate",
        description="Read a reply, or compare the probabilities of the options.",
        examples=["choice_loglikelihood"],
    )
    continuation: Literal["letter", "text"] = Field(
        "letter",
        description="What choice_loglikelihood scores: the option's letter, or its text by character.",
        examples=["text"],
    )
    lead: Annotated[str, Field(max_length=1024)] = Field(
        "", description="Text that the assistant's turn starts with.", examples=["Answer:"]
    )
    max_new_tokens: int = Field(256, ge=1, le=32_768, description="Longest reply, in tokens.", examples=[256])
    stop: Annotated[list[Text], Field(max_length=16)] = Field(
        default_factory=list[str], description="A reply ends before the first of these.", examples=[["\nQ:"]]
    )

    @field_validator("user")
    @classmethod
    def _template_parses(cls, value: str) -> str:
        try:
            parse_template(value)
        except DataError as error:
            raise ValueError(str(error)) from None
        return value

    @field_validator("patterns")
    @classmethod
    def _patterns_compile(cls, value: list[str]) -> list[str]:
        return _check_patterns(value)

    @model_validator(mode="after")
    def _parts_agree(self) -> "TaskDefinition":
        if self.gold is not None:
            _check_patterns(self.gold.patterns)
        if (self.metric == "choice") != (self.choices is not None):
            raise ValueError("metric choice and choices go together")
        if self.scoring == "choice_loglikelihood" and self.choices is None:
            raise ValueError("scoring choice_loglikelihood needs choices")
        drawn = self.choices is not None and self.choices.correct is not None
        if drawn == (self.gold is not None):
            raise ValueError("give gold, or choices.correct, and not both")
        if ("choices" in parse_template(self.user).fields) != (self.choices is not None):
            raise ValueError("user has {choices} exactly if choices are given")
        return self

    @cached_property
    def answer_patterns(self) -> tuple[str, ...]:
        """The patterns in use."""
        return tuple(self.patterns) or DEFAULT_PATTERNS[self.metric]


def built_in_names() -> tuple[str, ...]:
    """Return the names of the built-in tasks."""
    folder = resources.files("autosel_runtime.evaluate").joinpath("tasks")
    return tuple(sorted(p.name.removesuffix(".yaml") for p in folder.iterdir() if p.name.endswith(".yaml")))


def load_definition(
    task: Task, base: Path, *, bring: Bring | None = None
) -> tuple[TaskDefinition, Path | str]:
    """Return a task's definition and the folder that its own paths start at, ``s3://bucket/folder`` in a bucket.

    ``task.definition`` (the task's name when left out) is a built-in name, or a YAML file, below ``base`` or in a
    bucket.

    Raises DataError for an unknown name, NoInputError for a missing file, InvalidDocumentError with every
    problem of a definition.
    """
    wanted = task.definition or task.name
    if wanted in built_in_names():
        source = resources.files("autosel_runtime.evaluate").joinpath("tasks", f"{wanted}.yaml")
        return parse_definition(source.read_text("utf-8"), f"built-in task {wanted}"), base
    if is_s3(wanted):
        if bring is None:
            raise DataError(
                f"task {task.name}: {wanted} lies in object storage, which this command does not read"
            )
        bucket, key = split_s3(wanted)
        path = bring(wanted) / bucket / key
        if not path.is_file():
            raise DataError(f"task {task.name}: definition {wanted} is a folder; it must be a YAML file")
        return parse_definition(_text(path, wanted), wanted), wanted.rpartition("/")[0]
    path = base / wanted.removeprefix("file://")
    if path.is_file():
        return parse_definition(_text(path, str(path)), str(path)), path.parent
    if "/" in wanted or path.suffix in (".yaml", ".yml"):
        raise NoInputError(f"task {task.name}: definition {path} does not exist")
    raise DataError(
        f"task {task.name}: no built-in task is called {wanted!r}; there are {', '.join(built_in_names())}; "
        "for your own, set definition to a YAML file"
    )


def _text(path: Path, name: str) -> str:
    try:
        return path.read_text("utf-8")
    except OSError as error:
        raise NoInputError(f"{name} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError:
        raise DataError(f"{name} is not UTF-8 text; a task definition is YAML") from None


def parse_definition(text: str, name: str) -> TaskDefinition:
    """Return the definition in YAML ``text``; InvalidDocumentError lists every problem with its field."""
    try:
        document: Any = yaml.load(text, BoundedLoader)  # noqa: S506 - a SafeLoader
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = None if mark is None else mark.line + 1
        found = getattr(error, "problem", None) or "cannot be read"
        raise InvalidDocumentError(
            [Problem(file=name, line=line, field="", message=f"not YAML: {found}")]
        ) from None
    if not isinstance(document, dict):
        raise InvalidDocumentError(
            [Problem(file=name, line=None, field="", message="a task definition is a mapping of fields")]
        )
    try:
        return TaskDefinition.model_validate(document)
    except ValidationError as error:
        whole = Document(value=document, lines={(): None})
        raise InvalidDocumentError(
            problems_of(error, model=TaskDefinition, document=whole, file=name)
        ) from None


def _check_patterns(patterns: list[str]) -> list[str]:
    for pattern in patterns:
        try:
            compiled = re.compile(pattern.replace("{letters}", "A-D"))
        except re.error as error:
            raise ValueError(f"{pattern!r} is no regular expression: {error}") from None
        if compiled.groups < 1:
            raise ValueError(f"{pattern!r} has no group (…) around the answer")
    return patterns
