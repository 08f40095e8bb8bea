"""What executing a recipe gives: a subset, why each step dropped what it dropped, and the state vector."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

Mask = NDArray[np.uint8]


@dataclass(frozen=True, kw_only=True)
class StepTrace:
    """What one step did. ``reasons`` counts dropped rows by reason; ``examples`` are dropped rows, at most 8
    a reason; ``notes`` are small facts: the signals read, the score at the cut."""

    operator: str
    params: Mapping[str, object]
    kept: int
    dropped: int
    reasons: Mapping[str, int]
    examples: Mapping[str, tuple[int, ...]]
    seconds: float
    notes: Mapping[str, object] = field(default_factory=dict[str, object])


@dataclass(frozen=True, kw_only=True)
class Execution:
    """A realised recipe: ``mask`` packed bits over pool rows, ``size`` rows kept, ``trace`` by step, ``state``
    the state vector (name to number; a quantity that is unknown is left out)."""

    mask: Mask
    size: int
    trace: tuple[StepTrace, ...]
    state: Mapping[str, float]
