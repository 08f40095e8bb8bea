"""Items of a task: read, checked, identified, rendered as chats with a gold answer."""

import hashlib
import posixpath
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from autosel_runtime.api.evaluation import Task
from autosel_runtime.api.uris import S3_SCHEME, is_s3, split_s3
from autosel_runtime.digest import canonical_json
from autosel_runtime.errors import DataError, NoInputError
from autosel_runtime.evaluate.answers import LETTERS, extract, is_gold
from autosel_runtime.evaluate.definition import Choices, TaskDefinition, load_definition
from autosel_runtime.pool.files import Bring, find_inputs
from autosel_runtime.pool.read import Broken, counts_lines, read_records
from autosel_runtime.pool.template import parse_template, text_of


@dataclass(frozen=True, kw_only=True)
class Item:
    """One question.

    ``id``: 24 hex digits of the SHA-256 of the item's canonical JSON, ``~k`` for the k-th repetition.
    ``messages``: the prompt as a chat. ``question``: what the template inserts into it, without the options.
    ``gold``: the right answer (a letter for choices). ``options``: texts of the options in the order shown.
    """

    id: str
    task: str
    messages: tuple[Mapping[str, str], ...]
    gold: str
    options: tuple[str, ...] = ()
    question: str = ""


@dataclass(frozen=True, kw_only=True)
class LoadedTask:
    """A task ready to run: its definition and its items, in file order."""

    task: Task
    definition: TaskDefinition
    items: tuple[Item, ...]


def load_task(task: Task, base: Path, *, split_seed: int = 0, bring: Bring | None = None) -> LoadedTask:
    """Return a task's definition and items; see ``load_items``."""
    definition, folder = load_definition(task, base, bring=bring)
    items = tuple(_read(task, definition, base, folder, split_seed, bring))
    return LoadedTask(task=task, definition=definition, items=items)


def load_items(task: Task, base: Path, *, split_seed: int = 0) -> list[Item]:
    """Return the items of a task, in file order; ``task.limit`` of them when there are more, drawn by hash.

    Raises NoInputError for a missing file, DataError for a broken item (with file, line and field) and for a
    task without items.
    """
    return list(load_task(task, base, split_seed=split_seed).items)


def draw(seed: int, *names: str) -> str:
    """Return 64 hex digits that depend on ``seed`` and ``names`` alone: the source of every draw by item."""
    return hashlib.sha256(canonical_json([seed, *names])).hexdigest()


def _read(
    task: Task,
    definition: TaskDefinition,
    base: Path,
    folder: Path | str,
    split_seed: int,
    bring: Bring | None,
) -> list[Item]:
    uri, start = task.uri, base
    if uri is None and isinstance(folder, Path):
        uri, start = definition.items, folder
    elif uri is None and definition.items is not None:
        uri = _beside(folder, definition.items)
    if uri is None:
        raise DataError(f"task {task.name}: set uri to the file of items; the definition names none")
    path = uri if is_s3(uri) else start / uri.removeprefix("file://")
    if "://" not in uri and not (start / uri).exists():
        raise NoInputError(f"task {task.name}: there is no file of items {path}")
    items: list[Item] = []
    seen: dict[str, int] = {}
    for file in find_inputs(uri, start, bring=bring).files:
        unit = "line" if counts_lines(file) else "item"
        for place, record in read_records(file):
            where = f"task {task.name}: {file.label if is_s3(uri) else file.path}: {unit} {place}"
            if isinstance(record, Broken):
                raise DataError(f"{where}: {record.reason}: {record.detail}")
            if definition.keep is not None:
                value = record.get(definition.keep.field)
                if value is None:
                    raise DataError(f"{where}: field {definition.keep.field} is missing (keep.field)")
                if str(value) not in definition.keep.values:
                    continue
            key = hashlib.sha256(canonical_json(record)).hexdigest()[:24]
            seen[key] = seen.get(key, 0) + 1
            name = key if seen[key] == 1 else f"{key}~{seen[key]}"
            try:
                items.append(_item(name, task.name, definition, record))
            except DataError as error:
                raise DataError(f"{where}: {error}") from None
    if not items:
        raise DataError(
            f"task {task.name}: {path} has no items" + (" that keep lets in" if definition.keep else "")
        )
    if task.limit is not None and task.limit < len(items):
        order = sorted(
            range(len(items)), key=lambda i: (draw(split_seed, "limit", task.name, items[i].id), i)
        )
        items = [items[i] for i in sorted(order[: task.limit])]
    return items


def _beside(folder: Path | str, items: str) -> str:
    """Return the uri of items that a definition in a bucket names: relative ones start at the definition's folder."""
    if "://" in items or items.startswith("/"):
        return items
    bucket, key = split_s3(str(folder))
    return f"{S3_SCHEME}{bucket}/{posixpath.normpath(posixpath.join(key, items))}"


def _item(name: str, task: str, definition: TaskDefinition, record: dict[str, Any]) -> Item:
    options, gold = _options_and_gold(name, definition, record)
    fields = dict(record)
    if definition.choices is not None:
        line = definition.choices.line
        fields["choices"] = "\n".join(
            line.replace("{letter}", LETTERS[i]).replace("{text}", text) for i, text in enumerate(options)
        )
    messages: list[Mapping[str, str]] = []
    if definition.system is not None:
        messages.append({"role": "system", "content": definition.system})
    for shot in definition.shots:
        messages.append({"role": "user", "content": shot.user})
        messages.append({"role": "assistant", "content": shot.assistant})
    template = parse_template(definition.user)
    messages.append({"role": "user", "content": template.render(fields)})
    listed = () if definition.choices is None else ("choices",)
    question = "\n".join(template.inserted(fields, leave_out=listed))
    return Item(id=name, task=task, messages=tuple(messages), gold=gold, options=options, question=question)


def _options_and_gold(
    name: str, definition: TaskDefinition, record: dict[str, Any]
) -> tuple[tuple[str, ...], str]:
    if definition.choices is not None and definition.choices.correct is not None:
        return _drawn(name, definition.choices, record)
    options = () if definition.choices is None else _listed(definition.choices, record)
    if definition.gold is None:  # the definition's own check excludes it
        raise DataError("the definition names no gold answer")
    field = definition.gold.field
    value = _value(record, field)
    if options:
        return options, _gold_letter(value, options, field)
    text = text_of(value, field)
    if definition.gold.patterns:
        found = extract(text, definition.gold.patterns)
        if found is None:
            raise DataError(f"field {field}: no gold answer found in {text[-80:]!r} (gold.patterns)")
        text = found
    if not is_gold(text, metric=definition.metric):
        raise DataError(f"field {field}: {text[:80]!r} is no gold answer for metric {definition.metric}")
    return (), text


def _drawn(name: str, choices: Choices, record: dict[str, Any]) -> tuple[tuple[str, ...], str]:
    """Return the options in the item's own order. It is a function of item and seed: no process sees another."""
    correct = text_of(_value(record, str(choices.correct)), str(choices.correct)).strip()
    wrong = [text.strip() for text in _texts(record, str(choices.wrong))]
    options = [correct, *wrong]
    base = name.split("~")[0]
    order = sorted(range(len(options)), key=lambda i: draw(choices.seed, "options", base, str(i)))
    return tuple(options[i] for i in order), LETTERS[order.index(0)]


def _listed(choices: Choices, record: dict[str, Any]) -> tuple[str, ...]:
    if choices.fields is not None:
        return tuple(text_of(_value(record, name), name).strip() for name in choices.fields)
    return tuple(text.strip() for text in _texts(record, str(choices.field)))


def _texts(record: dict[str, Any], field: str) -> list[str]:
    value = _value(record, field)
    if not isinstance(value, list) or not 1 <= len(value) <= len(LETTERS):  # pyright: ignore[reportUnknownArgumentType]
        raise DataError(f"field {field} is no list of 1 to {len(LETTERS)} options: {str(value)[:80]!r}")
    return [text_of(entry, field) for entry in value]  # pyright: ignore[reportUnknownVariableType]


def _gold_letter(value: Any, options: tuple[str, ...], field: str) -> str:
    """A number is a 0-based index, a single letter names the option, other text is the option itself."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        if float(value).is_integer() and 0 <= value < len(options):
            return LETTERS[int(value)]
    elif isinstance(value, str):
        text = value.strip()
        if text in options:
            return LETTERS[options.index(text)]
        letter = text.strip("().").upper()
        if len(letter) == 1 and letter in LETTERS[: len(options)]:
            return letter
        if text.isdigit() and int(text) < len(options):
            return LETTERS[int(text)]
    raise DataError(f"field {field}: {value!r} names none of the {len(options)} options")


def _value(record: dict[str, Any], field: str) -> Any:
    if field not in record or record[field] is None:
        raise DataError(f"field {field} is missing; there are: {', '.join(sorted(record))}")
    return record[field]
