"""Hooks: functions that watch an execution and cannot change it.

Every hook gets an event of its own: what it writes into that changes nothing, neither for the execution nor for the
next hook, and masks cannot be written at all. A hook that raises stops the execution with an error that names the hook
and the event: a log that silently misses lines is worse than none.
"""

from collections.abc import Callable, Sequence
from copy import deepcopy
from dataclasses import dataclass
from typing import TypeVar

from autosel_runtime.api.search import Recipe
from autosel_runtime.errors import AutoselError, ExtensionError
from autosel_runtime.recipe.guard import fault
from autosel_runtime.recipe.mask import read_only
from autosel_runtime.recipe.model import Execution, Mask, StepTrace

E = TypeVar("E", "RecipeEvent", "StepEvent", "ErrorEvent")


@dataclass(frozen=True, kw_only=True)
class RecipeEvent:
    """A recipe starts (``execution`` None) or has ended. ``recipe`` is canonical; ``rows`` are the pool's."""

    recipe: Recipe
    seed: int
    rows: int
    execution: Execution | None = None


@dataclass(frozen=True, kw_only=True)
class StepEvent:
    """A step starts or has ended. ``mask``: read-only rows before (before_step) or after it (after_step);
    ``index`` is 0-based; ``trace`` is None before the step."""

    recipe: Recipe
    index: int
    rows: int
    mask: Mask
    trace: StepTrace | None = None


@dataclass(frozen=True, kw_only=True)
class ErrorEvent:
    """A step failed; the error is raised after the hooks were told."""

    recipe: Recipe
    index: int
    rows: int
    message: str


@dataclass(frozen=True, kw_only=True)
class Hook:
    """A named set of functions, each optional, called in the order in which hooks were given."""

    name: str
    before_recipe: Callable[[RecipeEvent], None] | None = None
    before_step: Callable[[StepEvent], None] | None = None
    after_step: Callable[[StepEvent], None] | None = None
    on_error: Callable[[ErrorEvent], None] | None = None
    after_recipe: Callable[[RecipeEvent], None] | None = None


class HookError(ExtensionError):
    """A hook raised; the message names it, the event and what it said."""


def tell_recipe(hooks: Sequence[Hook], name: str, event: RecipeEvent) -> None:
    """Call before_recipe or after_recipe of every hook."""
    for hook in hooks:
        call = hook.before_recipe if name == "before_recipe" else hook.after_recipe
        _call(hook, name, call, event)


def tell_step(hooks: Sequence[Hook], name: str, event: StepEvent) -> None:
    """Call before_step or after_step of every hook."""
    for hook in hooks:
        call = hook.before_step if name == "before_step" else hook.after_step
        _call(hook, name, call, event)


def tell_error(hooks: Sequence[Hook], event: ErrorEvent) -> list[str]:
    """Call on_error of every hook. What they raise is returned and not raised: it must not hide the error that
    they are told of."""
    said: list[str] = []
    for hook in hooks:
        try:
            _call(hook, "on_error", hook.on_error, event)
        except HookError as error:
            said.append(str(error))
    return said


def _call(hook: Hook, name: str, call: Callable[[E], None] | None, event: E) -> None:
    if call is None:
        return
    try:
        call(_own(event))
    except AutoselError as error:
        raise HookError(f"hook {hook.name!r} failed at {name}: {error}") from error
    except Exception as error:
        raise fault(f"hook {hook.name!r} failed at {name}", call, error, HookError) from error


def _own(event: E) -> E:
    """Return a deep copy of an event whose masks cannot be made writeable."""
    masks: list[Mask] = []
    if isinstance(event, StepEvent):
        masks = [event.mask]
    elif isinstance(event, RecipeEvent) and event.execution is not None:
        masks = [event.execution.mask]
    return deepcopy(event, {id(mask): read_only(mask) for mask in masks})
