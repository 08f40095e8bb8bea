"""A limit on the rate of calls."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field


@dataclass(kw_only=True)
class RateLimit:
    """A token bucket on the monotonic clock: ``burst`` calls at once, then ``per_second``; waiters keep their order."""

    per_second: float = 20.0
    burst: int = 40
    clock: Callable[[], float] = time.monotonic
    _tokens: float = field(init=False)
    _seen: float = field(init=False)
    _lock: asyncio.Lock = field(default_factory=asyncio.Lock)

    def __post_init__(self) -> None:
        self._tokens, self._seen = float(self.burst), self.clock()

    async def take(self) -> None:
        """Wait until a call may be made."""
        async with self._lock:
            now = self.clock()
            self._tokens = min(float(self.burst), self._tokens + (now - self._seen) * self.per_second)
            self._seen = now
            self._tokens -= 1.0
            if self._tokens < 0.0:
                await asyncio.sleep(-self._tokens / self.per_second)
