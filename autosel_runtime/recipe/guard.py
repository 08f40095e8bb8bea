"""Code of an extension, called so that its faults are told as its own: what failed, where, and its trace alone."""

import inspect
import traceback
from collections.abc import Callable
from dataclasses import replace
from functools import wraps
from types import FrameType, TracebackType
from typing import Any, ParamSpec, TypeVar

from autosel_runtime.errors import AutoselError, ExtensionError
from autosel_runtime.recipe.operator import Operator

P = ParamSpec("P")
T = TypeVar("T")
E = TypeVar("E", bound=ExtensionError)

OURS = "autosel_runtime"


def guarded(function: Callable[P, T], what: str) -> Callable[P, T]:
    """Return ``function`` with its faults raised as ExtensionError; a function of autosel itself stays as it is."""
    if _package(function) == OURS:
        return function

    @wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return function(*args, **kwargs)
        except (AutoselError, MemoryError):
            raise
        except Exception as error:
            raise fault(f"{what} failed", function, error) from error

    return call


def guarded_operator(operator: Operator, extension: str) -> Operator:
    """Return an operator of an extension whose functions are guarded."""
    what = f"operator {operator.name!r} of extension {extension}"
    return replace(
        operator,
        extension=extension,
        apply=guarded(operator.apply, what),
        needs=guarded(operator.needs, what),
        check=guarded(operator.check, what),
    )


def fault(what: str, function: Any, error: Exception, kind: type[E] = ExtensionError) -> E:
    """Return what to say of an error that somebody else's ``function``, called by the caller of this, has raised."""
    begin = error.__traceback__.tb_next if error.__traceback__ is not None else None
    said = " ".join(str(error).split())
    where = _place(begin, function)
    lines = traceback.TracebackException(type(error), error, begin).format()
    return kind(
        f"{what}: {type(error).__name__}{f': {said}' if said else ''}{f' ({where})' if where else ''}",
        trace="".join(lines).rstrip("\n"),
    )


def _place(begin: TracebackType | None, function: Any) -> str:
    """Return file, line and function of the innermost frame that is the extension's; where ``function`` is written
    when it could not even be called."""
    frames: list[tuple[FrameType, int]] = []
    while begin is not None:
        frames.append((begin.tb_frame, begin.tb_lineno))
        begin = begin.tb_next
    if frames:
        own = [entry for entry in frames if _frame_package(entry[0]) == _package(function)]
        frame, line = (own or frames[:1])[-1]
        return f"{frame.f_code.co_filename}:{line} in {frame.f_code.co_name}"
    code = getattr(inspect.unwrap(function), "__code__", None)
    return "" if code is None else f"{code.co_filename}:{code.co_firstlineno}"


def _package(function: Any) -> str:
    module = getattr(function, "__module__", None) or type(function).__module__
    return str(module).partition(".")[0]


def _frame_package(frame: FrameType) -> str:
    return str(frame.f_globals.get("__name__", "")).partition(".")[0]
