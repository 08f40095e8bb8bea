"""What signals read of a pool; ``autosel_runtime.pool.Pool`` offers all of it."""

from collections.abc import Iterator
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from autosel_runtime.pool.sample import Sample


class PoolLike(Protocol):
    """A pool on disk."""

    @property
    def rows(self) -> int:
        """Number of samples, n."""
        ...

    @property
    def digest(self) -> str:
        """Identity of the pool."""
        ...

    @property
    def source_names(self) -> tuple[str, ...]:
        """Names of the sources, in pool order."""
        ...

    def source_codes(self) -> NDArray[np.uint16]:
        """Index into ``source_names`` [n]."""
        ...

    def words(self) -> NDArray[np.uint32]:
        """White-space words of all contents [n]."""
        ...

    def samples(self, rows: NDArray[np.int64] | None = None) -> Iterator[Sample]:
        """Yield the samples of ``rows`` in that order, all of them when left out."""
        ...
