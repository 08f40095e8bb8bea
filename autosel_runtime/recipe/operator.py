"""What an operator is: a name, one schema of parameters, a pure function and what the search may tune."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from autosel_runtime.errors import ConfigError
from autosel_runtime.recipe.columns import Columns
from autosel_runtime.recipe.model import Mask
from autosel_runtime.recipe.prepared import PreparedColumns

Family = Literal["filter", "mix", "dedup", "union"]


class Params(BaseModel):
    """Base of every operator's parameters: strict types, no unknown field, no NaN or infinity."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)


@dataclass(frozen=True, kw_only=True)
class Tunable:
    """A parameter that a search may draw and retune.

    ``low`` and ``high`` bound a number on its scale; ``choices`` lists the values of a choice. A composition is a
    mapping from the pool's sources, which a search puts into ``choices``, to weights. ``when`` = (name, value, absent)
    makes it apply only while the choice ``name``, listed before, has ``value``; ``absent`` is what it has when left
    out. ``by_default``: a search that lists no operators tunes it, too; else it keeps what it is when left out. Any
    combination of an operator's tunables that apply, with all other parameters left out, is a valid step.
    """

    name: str
    scale: Literal["linear", "log", "choice", "composition"]
    low: float = 0.0
    high: float = 1.0
    integer: bool = False
    choices: tuple[object, ...] = ()
    when: tuple[str, object, object] | None = None
    by_default: bool = True


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What an operator did. ``reasons`` maps a reason to the mask of the rows dropped for it (disjoint);
    ``notes`` are small facts for the trace: the signals read, the score at the cut."""

    mask: Mask
    reasons: Mapping[str, Mask] = field(default_factory=lambda: MappingProxyType({}))
    notes: Mapping[str, object] = field(default_factory=lambda: MappingProxyType({}))


Apply = Callable[[Mask, PreparedColumns, Any, int], Outcome]
Needs = Callable[[Any, Collection[str]], Sequence[str]]
Check = Callable[[Any, Columns], Sequence[str]]


def needs_nothing(params: Any, available: Collection[str]) -> Sequence[str]:  # noqa: ARG001
    """Return no signal name."""
    return ()


def no_problem(params: Any, columns: Columns) -> Sequence[str]:  # noqa: ARG001
    """Return no problem."""
    return ()


@dataclass(frozen=True, kw_only=True)
class Operator:
    """One entry of the catalog.

    ``apply(mask, columns, params, seed)`` is pure: equal arguments, equal outcome; it never writes its
    arguments. Its result lies inside the input mask unless ``adds`` (a union). ``needs(params, available)``
    names the columns it will read; a name that is not available makes the recipe invalid.
    ``check(params, columns)`` adds what only the pool can tell ("field: problem").
    ``searchable``: a step made of tunables alone is valid, so a search may insert it. ``by_default``: a search that
    lists no operators does so, too. ``scalars``: the parameters that name a scalar column. ``extension``: the name of
    the extension that it comes from.
    """

    name: str
    params: type[Params]
    apply: Apply
    family: Family
    summary: str
    paper: str = ""
    needs: Needs = needs_nothing
    check: Check = no_problem
    tunables: tuple[Tunable, ...] = ()
    adds: bool = False
    searchable: bool = True
    by_default: bool = True
    scalars: tuple[str, ...] = ()
    extension: str | None = None


Catalog = Mapping[str, Operator]


def make_catalog(operators: Sequence[Operator], base: Catalog = MappingProxyType({})) -> Catalog:
    """Return ``base`` with more operators, by name; ConfigError if two share a name."""
    catalog = dict(base)
    for operator in operators:
        if operator.name in catalog:
            raise ConfigError(f"two operators are called {operator.name!r}; rename one")
        catalog[operator.name] = operator
    return MappingProxyType(catalog)
