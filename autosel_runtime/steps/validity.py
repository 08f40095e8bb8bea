"""All that can be known of a search before it runs, beyond the rules of its fields: what ``validate`` and ``run`` ask.

Nothing here loads a model or reads records; an input in a bucket is left to prepare.
"""

from collections.abc import Iterator
from pathlib import Path

import orjson

from autosel_runtime.api.evaluation import Task
from autosel_runtime.api.findings import Finding
from autosel_runtime.api.pool import FieldMapping
from autosel_runtime.api.recipe_search import RecipeSearch, RecipeSearchSpec
from autosel_runtime.api.uris import is_s3
from autosel_runtime.api.yaml_tree import Path_
from autosel_runtime.errors import AutoselError, InvalidDocumentError, NoInputError
from autosel_runtime.evaluate.definition import load_definition
from autosel_runtime.pool.template import parse_template
from autosel_runtime.steps.recipes import spec_problems

_SUFFIXES = (".yaml", ".yml", ".json")  # of definitions whose files are looked for anyway


def search_problems(search: RecipeSearch, base: Path) -> list[Finding]:
    """Return every problem of a search whose document lies in the folder ``base``."""
    spec = search.spec
    found = [*spec_problems(spec), *_template_problems(spec), *_task_problems(spec, base)]
    found += _length_problems(spec, base)
    return [finding.below(("spec",)) for finding in found]


def _template_problems(spec: RecipeSearchSpec) -> Iterator[Finding]:
    places: list[tuple[Path_, FieldMapping | None]] = [
        *((("pool", "sources", i, "mapping"), source.mapping) for i, source in enumerate(spec.pool.sources)),
        *((("targets", i, "mapping"), target.mapping) for i, target in enumerate(spec.targets)),
    ]
    for place, mapping in places:
        for name in FieldMapping.model_fields if mapping is not None else ():
            text = getattr(mapping, name)
            try:
                parse_template(text or "")
            except AutoselError as error:
                yield Finding(field=(*place, name), message=str(error))


def _task_problems(spec: RecipeSearchSpec, base: Path) -> Iterator[Finding]:
    for field, tasks in (("tasks", spec.evaluation.tasks), ("outOfDomain", spec.evaluation.out_of_domain)):
        for index, task in enumerate(tasks):
            name = "name" if task.definition is None else "definition"
            reads: tuple[Path_, ...] = (("lmEval",), ("definition",), ("uri",))
            for message in _definition_problems(task, base):
                finding = Finding(field=(name,), message=message, reads=reads)
                yield finding.below(("evaluation", field, index))


def _definition_problems(task: Task, base: Path) -> Iterator[str]:
    wanted = task.definition or task.name
    if task.lm_eval is not None or is_s3(wanted):
        return
    try:
        definition, folder = load_definition(task, base)
    except InvalidDocumentError as error:
        yield from (str(problem) for problem in error.problems)
        return
    except NoInputError as error:
        # a file that is not here is told with all others, and one at an absolute path may lie in a pod
        if not wanted.startswith(("/", "file://")) and not wanted.endswith(_SUFFIXES):
            yield str(error)
        return
    except AutoselError as error:
        yield str(error)
        return
    if task.uri is not None:
        return
    if definition.items is None:
        yield f"task {task.name}: set uri to the file of items; the definition names none"
    elif "://" not in definition.items and not Path(definition.items).is_absolute():
        items = folder / Path(definition.items) if isinstance(folder, Path) else None
        if items is not None and not items.exists():
            yield f"task {task.name}: there is no file of items {items}"


def _length_problems(spec: RecipeSearchSpec, base: Path) -> Iterator[Finding]:
    """Yield texts that are to be longer than the model that reads them allows."""
    for name, wanted in (
        ("languageModel", spec.signals.language_model),
        ("embedding", spec.signals.embedding),
    ):
        uri = wanted.model or spec.model.uri
        if not wanted.enabled or is_s3(uri):
            continue
        positions = _positions(base / Path(uri.removeprefix("file://")).expanduser())
        if positions is not None and wanted.max_tokens > positions:
            yield Finding(
                field=("signals", name, "maxTokens"),
                message=f"found {wanted.max_tokens}; the model {uri} has {positions} positions, set at most that",
                reads=(("model",), ("signals", name)),
            )


def _positions(model: Path) -> int | None:
    """Return the longest text of a model folder, None where it is not known; what is no model is told elsewhere."""
    try:
        config = orjson.loads((model / "config.json").read_bytes())
    except (OSError, orjson.JSONDecodeError):
        return None
    positions = config.get("max_position_embeddings") if isinstance(config, dict) else None
    return positions if isinstance(positions, int) else None
