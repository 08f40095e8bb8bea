"""Extensions: modules that add operators, signals and hooks.

An extension is an importable module, or an entry point of the group ``autosel.extensions``, that defines at least
one of three functions:

    operators() -> Sequence[Operator]
    signals() -> Sequence[(name, function)]   function: a sample of the pool -> number, None where it has none
    hooks() -> Sequence[Hook]

A signal's name is the extension's own name, a dot and the signal's. Only extensions that are named are loaded:
what is merely installed never changes a search.
"""

import importlib
import re
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import entry_points
from pathlib import Path
from types import ModuleType
from typing import Any, cast

from autosel_runtime.errors import ConfigError, ExtensionError, UnavailableError
from autosel_runtime.recipe.catalog import CATALOG
from autosel_runtime.recipe.guard import fault, guarded_operator
from autosel_runtime.recipe.hooks import Hook
from autosel_runtime.recipe.operator import Catalog, Operator, make_catalog
from autosel_runtime.recipe.shape import fits, hook_faults, operator_faults, shown

ENTRY_POINTS = "autosel.extensions"
RESERVED_PREFIXES = ("mona", "relevance", "score", "source_share")
SIGNAL_NAME = re.compile(r"[a-z][a-z0-9_]*(\.[a-z0-9_]+)+")

Signal = tuple[str, Callable[[Any], float | None]]


@dataclass(frozen=True, kw_only=True)
class Extensions:
    """Everything that the named extensions add, in their order."""

    names: tuple[str, ...] = ()
    operators: tuple[Operator, ...] = ()
    signals: tuple[Signal, ...] = ()
    hooks: tuple[Hook, ...] = ()


def load_extensions(names: Sequence[str]) -> Extensions:
    """Load extensions by entry point name or module name.

    UnavailableError if a module cannot be imported; ConfigError if it is no extension, if it gives something
    else than it should, or if two things share a name, with one another or with a built-in operator.
    """
    operators: list[Operator] = []
    signals: list[Signal] = []
    hooks: list[Hook] = []
    for name in dict.fromkeys(names):
        module = _module(name)
        found = [getattr(module, kind, None) for kind in ("operators", "signals", "hooks")]
        if all(function is None for function in found):
            raise ConfigError(f"extension {name!r} defines none of operators(), signals() and hooks()")
        given = _items(name, "operators", found[0], fits(Operator, operator_faults))
        operators += [guarded_operator(operator, name) for operator in given]
        signals += _items(name, "signals", found[1], _signal_fault)
        hooks += _items(name, "hooks", found[2], fits(Hook, hook_faults))
    make_catalog(operators, CATALOG)  # refuses operators of one name
    _check_signal_names([name for name, _ in signals])
    _check_unique("hook", [hook.name for hook in hooks])
    return Extensions(
        names=tuple(dict.fromkeys(names)),
        operators=tuple(operators),
        signals=tuple(signals),
        hooks=tuple(hooks),
    )


def extend_catalog(catalog: Catalog, extensions: Extensions) -> Catalog:
    """Return the catalog with the extensions' operators; ConfigError if two operators share a name."""
    return make_catalog(extensions.operators, catalog)


def _module(name: str) -> ModuleType:
    """Import an extension; an entry point goes before a module of the same name."""
    points = list(entry_points(group=ENTRY_POINTS, name=name))
    target = points[0].module if points else name
    try:
        return importlib.import_module(target)
    except ImportError as error:
        raise UnavailableError(
            f"extension {name!r} cannot be imported: {error}; install it, or add its folder to PYTHONPATH"
        ) from error
    except Exception as error:
        raise _import_fault(name, error) from error


def _import_fault(name: str, error: Exception) -> ExtensionError:
    """Return what to say of a module that raises while it is imported; its own lines are the last of the trace."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [index for index, frame in enumerate(frames) if "importlib" not in frame.filename][1:]
    shown = frames[own[0] :] if own else frames[-1:]
    home = Path(shown[0].filename).parent  # what it calls elsewhere is not where its author looks first
    last = [frame for frame in shown if Path(frame.filename).is_relative_to(home)][-1]
    kind, said = (
        type(error).__name__,
        " ".join(str(error.msg if isinstance(error, SyntaxError) else error).split()),
    )
    where = f" ({last.filename}:{last.lineno})" if own else ""
    if isinstance(error, SyntaxError):
        where = f" ({error.filename}:{error.lineno})"
    lines = [*traceback.format_list(shown if own else []), *traceback.format_exception_only(error)]
    return ExtensionError(
        f"extension {name!r} failed while it was imported: {kind}: {said}{where}",
        trace="".join(lines).rstrip("\n"),
    )


def _items(name: str, kind: str, function: Any, fault_of: Callable[[Any], str | None]) -> list[Any]:
    """Call one of an extension's functions and check what it gives; ``fault_of`` an object is the end of a sentence."""
    if function is None:
        return []
    if not callable(function):
        raise ConfigError(f"extension {name!r}: {kind} must be a function")
    try:
        items: list[Any] = list(cast("Callable[[], Sequence[Any]]", function)())
    except Exception as error:
        raise fault(f"extension {name!r}: {kind}() failed", function, error) from error
    for item in items:
        wrong = fault_of(item)
        if wrong is not None:
            raise ConfigError(f"extension {name!r}: {kind}() {wrong}")
    return items


def _signal_fault(item: Any) -> str | None:
    if isinstance(item, tuple) and len(item) == 2 and isinstance(item[0], str) and callable(item[1]):
        return None
    return f"must give (name, function) objects, found {shown(item)}"


def _check_signal_names(names: Sequence[str]) -> None:
    for name in names:
        if not SIGNAL_NAME.fullmatch(name) or name.split(".")[0] in RESERVED_PREFIXES:
            raise ConfigError(
                f"extension signal {name!r}: a name is the extension's own name, a dot and the signal's, in lower "
                f"case, and does not begin with {', '.join(RESERVED_PREFIXES)}"
            )
    _check_unique("signal", names)


def _check_unique(what: str, names: Sequence[str]) -> None:
    for name in names:
        if names.count(name) > 1:
            raise ConfigError(f"two extension {what}s are called {name!r}; rename one")
