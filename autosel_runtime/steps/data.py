"""The pool, the columns and subsets of a search, as steps read them."""

from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

from autosel_runtime.api.recipe_search import RecipeSearchSpec
from autosel_runtime.pool.pool import Pool
from autosel_runtime.recipe.model import Mask
from autosel_runtime.signals.table import SignalColumns
from autosel_runtime.steps.context import StepContext
from autosel_runtime.steps.summary import named_quantities


def open_pool(context: StepContext) -> Pool:
    """Open the pool that the step's inputs name."""
    return Pool.open(context.fetch(context.input("pool")))


def open_columns(context: StepContext, pool: Pool) -> SignalColumns:
    """Open the signals that the step's inputs name."""
    return SignalColumns.open(context.fetch(context.input("signals")), pool)


def recorded_names(spec: RecipeSearchSpec, pool: Pool) -> frozenset[str]:
    """Return which quantities by target and by source the search records of a subset; big sources come first."""
    sources = sorted(pool.manifest.source_rows, key=lambda source: (-source.rows, source.name))
    return named_quantities([target.name for target in spec.targets], [source.name for source in sources])


def load_mask(folder: Path) -> Mask:
    """Read a subset's mask."""
    return np.load(folder / "mask.npy", allow_pickle=False)


class SubsetMasks(Mapping[str, Mask]):
    """Masks of finished subsets by recipe digest, read from the store when they are first asked for."""

    def __init__(self, context: StepContext, prefixes: Mapping[str, str]) -> None:
        self._context, self._prefixes = context, dict(prefixes)
        self._masks: dict[str, Mask] = {}

    def __getitem__(self, name: str) -> Mask:
        if name not in self._masks:
            self._masks[name] = load_mask(self._context.fetch(self._prefixes[name], ["mask.npy"]))
        return self._masks[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._prefixes)

    def __len__(self) -> int:
        return len(self._prefixes)
