"""What is known of a pool without reading a row of it: the names that recipes may use, and their bounds."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

# What ``Columns`` returns a column as.
ColumnKind = Literal["scalar", "groups", "pairs", "features"]
KIND_WORDS: Mapping[ColumnKind, str] = {
    "scalar": "a number per sample",
    "groups": "groups of equal samples",
    "pairs": "pairs of similar samples",
    "features": "sparse features",
}


@dataclass(frozen=True, kw_only=True)
class PoolFacts:
    """``names`` of signals, groups and pairs; ``sources`` in pool order, None before they are known; ``floors``: the
    least similarity for which pairs of a name are stored; ``kinds`` of the names, of those that are known."""

    names: frozenset[str]
    sources: tuple[str, ...] | None = None
    floors: Mapping[str, float] = field(default_factory=dict[str, float])
    kinds: Mapping[str, ColumnKind] = field(default_factory=dict[str, ColumnKind])

    def of_kind(self, kind: ColumnKind) -> list[str]:
        """Return the names of one kind, sorted."""
        return sorted(name for name in self.names if self.kinds.get(name) == kind)
