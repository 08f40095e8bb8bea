"""The two CustomResourceDefinitions, generated from the API models.

``python -m autosel_runtime.api.crd FOLDER`` writes one file a definition; without FOLDER both are printed.
"""

import sys
from pathlib import Path
from typing import Any

import yaml

from autosel_runtime.api.common import GROUP, VERSION
from autosel_runtime.api.evaluation import LIMIT_OF_HALVES
from autosel_runtime.api.recipe_search import MUTABLE_FIELDS, RecipeSearch, RecipeSearchSpec, mutability
from autosel_runtime.api.recipe_trial import RecipeTrial
from autosel_runtime.api.resources import MULTI_NODE_STEP, ONLY_MULTI_NODE, ONLY_SHARDED, SHARDED_STEPS
from autosel_runtime.api.schema import Schema, structural_schema

SEARCH_NAME_LENGTH = 40


def crds() -> list[Schema]:
    """Return the definitions of RecipeSearch and RecipeTrial."""
    return [_recipe_search(), _recipe_trial()]


def crds_yaml() -> str:
    """Return both definitions as one YAML text; the same models give the same text."""
    return "---\n".join(_to_yaml(definition) for definition in crds())


def write_crds(folder: Path) -> list[Path]:
    """Write one file a definition and return the paths."""
    folder.mkdir(parents=True, exist_ok=True)
    paths: list[Path] = []
    for definition in crds():
        path = folder / f"{definition['metadata']['name']}.yaml"
        path.write_text(_to_yaml(definition))
        paths.append(path)
    return paths


def immutable_fields() -> list[str]:
    """Return the fields of a search's spec that are fixed at its start, as documents write them."""
    fields = RecipeSearchSpec.model_fields
    return sorted(field.alias or name for name, field in fields.items() if name not in MUTABLE_FIELDS)


def _recipe_search() -> Schema:
    schema = structural_schema(RecipeSearch)
    spec = schema["properties"]["spec"]
    for field, below in spec["properties"].items():
        _tell_mutability(below, mutability(field))
    for field in immutable_fields():
        _add_rule(spec["properties"][field], "self == oldSelf", f"{field} is fixed once the search exists")
    _add_rule(
        spec,
        "self.parallelism <= self.budget.evaluations",
        "parallelism must not exceed budget.evaluations",
        ".parallelism",
    )
    _add_rule(
        spec,
        "self.search.proposer != 'llm' || has(self.search.llm)",
        "search.proposer llm needs search.llm",
        ".search",
    )
    # Rules judge defaults, too, before the defaults of their own fields are filled in.
    for step, resources in spec["properties"]["steps"]["properties"].items():
        if step not in SHARDED_STEPS:
            _add_rule(
                resources,
                "!has(self.shards) || self.shards == 1",
                f"{step}.shards must be 1: {ONLY_SHARDED}",
                ".shards",
            )
        if step != MULTI_NODE_STEP:
            _add_rule(
                resources,
                "!has(self.nodes) || self.nodes == 1",
                f"{step}.nodes must be 1: {ONLY_MULTI_NODE}",
                ".nodes",
            )
    for records in (spec["properties"]["pool"]["properties"]["sources"], spec["properties"]["targets"]):
        rule = "has(self.mapping) == (self.format == 'mapping')"
        _add_rule(records["items"], rule, "mapping and format: mapping go together")
    evaluation = spec["properties"]["evaluation"]["properties"]
    for tasks in ("tasks", "outOfDomain"):
        _add_rule(
            evaluation[tasks]["items"],
            "!has(self.lmEval) || !(has(self.definition) || has(self.uri))",
            "lmEval excludes definition and uri",
        )
    _add_rule(evaluation["tasks"]["items"], "!has(self.limit) || self.limit >= 2", LIMIT_OF_HALVES, ".limit")
    _add_rule(
        schema,
        f"size(self.metadata.name) <= {SEARCH_NAME_LENGTH}",
        f"metadata.name must not exceed {SEARCH_NAME_LENGTH} characters",
    )
    _add_rule(
        schema,
        "!self.metadata.name.contains('.')",
        "metadata.name must not contain a dot",
    )
    columns = [
        _condition_column("State", "Ready", "reason", "Where the search stands"),
        _column("Best", ".status.summary.best", "Best score on the search half, percent"),
        _column("Gain", ".status.summary.gain", "Gain over the full pool on the report half, points"),
        _column("Evaluations", ".status.summary.evaluations", "Evaluations done and allowed"),
        _column("Running", ".status.progress.running", "Trials that run", kind="integer"),
        _column("Failed", ".status.progress.failed", "Trials that failed", kind="integer"),
        _column("Reused", ".status.progress.reused", "Scores reused", kind="integer", wide=True),
        _column("Stage", ".status.progress.stage", "What happens now", wide=True),
        _column("Queue", ".spec.scheduling.queueName", "Kueue queue", wide=True),
        _column("Age", ".metadata.creationTimestamp", "Time since creation", kind="date"),
    ]
    return _definition("RecipeSearch", "recipesearches", "rsearch", schema, columns)


def _tell_mutability(schema: Schema, sentence: str) -> None:
    """Add ``sentence`` to the description of a field and of every field below it."""
    schema["description"] = f"{schema['description']} {sentence}"
    for below in (*schema.get("properties", {}).values(), *_fields_of_items(schema)):
        _tell_mutability(below, sentence)


def _fields_of_items(schema: Schema) -> list[Schema]:
    return list(schema.get("items", {}).get("properties", {}).values())


def _recipe_trial() -> Schema:
    schema = structural_schema(RecipeTrial)
    _add_rule(schema["properties"]["spec"], "self == oldSelf", "the spec of a RecipeTrial is fixed")
    columns = [
        _column("Search", ".spec.searchRef", "The search"),
        _column("Role", ".spec.role", "Trial or baseline"),
        _column("State", ".status.state", "Where the trial stands"),
        _column("Score", ".status.score", "Objective on the search half", kind="number"),
        _column("Size", ".spec.size", "Samples", kind="integer"),
        _column("Origin", ".spec.origin", "Where the recipe came from", wide=True),
        _column("Message", ".status.message", "What happened", wide=True),
        _column("Age", ".metadata.creationTimestamp", "Time since creation", kind="date"),
    ]
    return _definition("RecipeTrial", "recipetrials", "rtrial", schema, columns)


def _definition(kind: str, plural: str, short: str, schema: Schema, columns: list[Schema]) -> Schema:
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.{GROUP}"},
        "spec": {
            "group": GROUP,
            "names": {
                "kind": kind,
                "listKind": f"{kind}List",
                "plural": plural,
                "singular": kind.lower(),
                "shortNames": [short],
                "categories": ["autosel"],
            },
            "scope": "Namespaced",
            "versions": [
                {
                    "name": VERSION,
                    "served": True,
                    "storage": True,
                    "schema": {"openAPIV3Schema": schema},
                    "subresources": {"status": {}},
                    "additionalPrinterColumns": columns,
                }
            ],
        },
    }


def _add_rule(schema: Schema, rule: str, message: str, field: str | None = None) -> None:
    entry = {"rule": rule, "message": message}
    if field is not None:
        entry["fieldPath"] = field
    schema.setdefault("x-kubernetes-validations", []).append(entry)


def _column(name: str, path: str, description: str, *, kind: str = "string", wide: bool = False) -> Schema:
    column: Schema = {"name": name, "type": kind, "jsonPath": path, "description": description}
    return column | {"priority": 1} if wide else column


def _condition_column(name: str, condition: str, field: str, description: str) -> Schema:
    # by type: the order of conditions means nothing
    return _column(name, f'.status.conditions[?(@.type=="{condition}")].{field}', description)


class _Dumper(yaml.SafeDumper):
    """Writes everything out: no anchors, lists indented under their key."""

    def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002 - PyYAML's signature
        return True

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:  # noqa: ARG002
        super().increase_indent(flow, False)


def _to_yaml(value: Schema) -> str:
    return yaml.dump(value, Dumper=_Dumper, sort_keys=False, width=120, allow_unicode=True)


def main(arguments: list[str]) -> None:
    """Write the definitions to a folder, or print them."""
    if arguments:
        for path in write_crds(Path(arguments[0])):
            sys.stdout.write(f"{path}\n")
    else:
        sys.stdout.write(crds_yaml())


if __name__ == "__main__":
    main(sys.argv[1:])
