"""What is known of a pool without reading a row of it: the names that recipes may use, and their bounds."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, kw_only=True)
class PoolFacts:
    """``names`` of signals, groups and pairs; ``sources`` in pool order, None before they are known; ``floors``: the
    least similarity for which pairs of a name are stored."""

    names: frozenset[str]
    sources: tuple[str, ...] | None = None
    floors: Mapping[str, float] = field(default_factory=dict[str, float])
