"""The edits that made one recipe from another, in words."""

from autosel_runtime.api.search import Recipe, RecipeStep
from autosel_runtime.digest import canonical_json
from autosel_runtime.report.words import operator_words, param_words, step_words
from autosel_runtime.search.difference import StepEdit, difference


def changes(parent: Recipe, child: Recipe) -> tuple[str, ...]:
    """Return the edits that lead from ``parent`` to ``child``, in order of the child's steps; empty if equal."""
    return tuple(_sentence(edit, parent, child) for edit in difference(parent, child))


def _sentence(edit: StepEdit, parent: Recipe, child: Recipe) -> str:
    match edit.kind, edit.old, edit.new:
        case "swap", int(i), int(j):
            first, second = (operator_words(parent.steps[place].operator) for place in (i, j))
            return f"Swap {first} (step {i + 1}) and {second} (step {j + 1})"
        case "replace", int(i), int(j):
            return f"Replace {operator_words(parent.steps[i].operator)}: {_lower(step_words(child.steps[j]))}"
        case _, int(i), int(j):
            old = parent.steps[i]
            return f"Retune {operator_words(old.operator)}: {_retuned(old, child.steps[j])}"
        case _, int(i), None:
            return f"Remove {operator_words(parent.steps[i].operator)} (step {i + 1})"
        case _, _, j:
            place = j or 0
            return f"Insert as step {place + 1}: {_lower(step_words(child.steps[place]))}"


def _retuned(old: RecipeStep, new: RecipeStep) -> str:
    return ", ".join(
        f"{name} {_value(old, name)} → {_value(new, name)}"
        for name in sorted(old.params.keys() | new.params.keys())
        if (name in old.params) != (name in new.params)
        or canonical_json(old.params.get(name)) != canonical_json(new.params.get(name))
    )


def _value(step: RecipeStep, name: str) -> str:
    return param_words(name, step.params[name]) if name in step.params else "default"


def _lower(sentence: str) -> str:
    return f"{sentence[:1].lower()}{sentence[1:]}"
