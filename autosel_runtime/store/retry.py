"""Trying a transient failure again, with growing and random waits."""

import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from autosel_runtime.errors import TransientError

T = TypeVar("T")
# Waits are no part of any result, so they are free to differ from run to run.
_random = random.SystemRandom()


@dataclass(frozen=True, kw_only=True)
class Retry:
    """``attempts`` calls in all; before attempt k + 1 a wait drawn from 0..min(longest, first * 2^k) seconds."""

    attempts: int = 7
    first: float = 0.25
    longest: float = 20.0

    def call(self, action: Callable[[], T]) -> T:
        """Return ``action()``, called again on TransientError; the last error is raised."""
        for attempt in range(self.attempts - 1):
            try:
                return action()
            except TransientError:
                time.sleep(_random.uniform(0.0, min(self.longest, self.first * 2.0**attempt)))
        return action()
