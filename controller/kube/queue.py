"""A work queue of keys: each key at most once, never two workers on one key, failures tried again ever later.

Keys only say where to look; whoever handles one reads all there is to know. So events that come while a key waits
are one piece of work, and events that come while it is handled mean handling it once more.
"""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

Key = TypeVar("Key")

FIRST_BACKOFF_SECONDS = 1.0
LONGEST_BACKOFF_SECONDS = 120.0


def backoff_seconds(failures: int, share: float) -> float:
    """Return the pause after ``failures`` (from 1) in a row: doubled each time, capped, between half and all of it.

    ``share`` in [0, 1] is the jitter.
    """
    pause = min(LONGEST_BACKOFF_SECONDS, FIRST_BACKOFF_SECONDS * 2.0 ** min(failures - 1, 30))
    return pause * (0.5 + 0.5 * share)


@dataclass(kw_only=True)
class WorkQueue(Generic[Key]):
    """Keys that are ready, delayed or being handled.

    ``run`` hands them to at most ``workers`` handlers at once. A handler returns the seconds after which to come
    again, or None; when it raises, its key comes again after a back-off, or later if the error has a
    ``retry_after``, and ``on_error`` is told.
    """

    workers: int = 8
    clock: Callable[[], float] = time.monotonic
    jitter: Callable[[], float] = random.random
    _ready: dict[Key, float] = field(default_factory=dict)
    _delayed: dict[Key, float] = field(default_factory=dict)
    _running: dict[Key, float] = field(default_factory=dict)
    _again: set[Key] = field(default_factory=set)
    _failures: dict[Key, int] = field(default_factory=dict)
    _changed: asyncio.Event = field(default_factory=asyncio.Event)
    _stopped: bool = False

    def add(self, key: Key) -> None:
        """Have ``key`` handled soon; while it is being handled, once more after that."""
        if self._stopped:
            return
        if key in self._running:
            self._again.add(key)
        elif key not in self._ready and key not in self._failures:
            self._delayed.pop(key, None)
            self._ready[key] = self.clock()
        # A key that backs off keeps its pause: events must not turn failures into a storm of calls.
        self._changed.set()

    def add_after(self, key: Key, seconds: float) -> None:
        """Have ``key`` handled in ``seconds``, unless it is due earlier."""
        if self._stopped or key in self._ready:
            return
        due = self.clock() + seconds
        self._delayed[key] = min(due, self._delayed.get(key, due))
        self._changed.set()

    def forget(self, key: Key) -> None:
        """Drop the key's back-off, for a key whose object is gone."""
        self._failures.pop(key, None)

    def depth(self) -> int:
        """Return the number of keys that are ready or being handled."""
        return len(self._ready) + len(self._running)

    def oldest_seconds(self) -> float:
        """Return how long the oldest key has been ready or in work; 0 when there is none."""
        waiting = [*self._ready.values(), *self._running.values()]
        return self.clock() - min(waiting) if waiting else 0.0

    def stop(self) -> None:
        """Take nothing new; ``run`` returns once the handlers at work have ended."""
        self._stopped = True
        self._ready.clear()
        self._delayed.clear()
        self._again.clear()
        self._changed.set()

    async def run(
        self, handle: Callable[[Key], Awaitable[float | None]], on_error: Callable[[Key, Exception], None]
    ) -> None:
        """Handle keys until ``stop``."""
        async with asyncio.TaskGroup() as group:
            while not self._stopped:
                self._changed.clear()
                pause = self._promote()
                while self._ready and len(self._running) < self.workers:
                    key = next(iter(self._ready))
                    self._running[key] = self._ready.pop(key)
                    group.create_task(self._work(key, handle, on_error))
                try:
                    async with asyncio.timeout(pause):
                        await self._changed.wait()
                except TimeoutError:
                    continue

    async def _work(
        self,
        key: Key,
        handle: Callable[[Key], Awaitable[float | None]],
        on_error: Callable[[Key, Exception], None],
    ) -> None:
        after: float | None = None
        try:
            after = await handle(key)
            self._failures.pop(key, None)
        except Exception as error:  # every fault of one search must leave the others alone
            on_error(key, error)
            self._failures[key] = self._failures.get(key, 0) + 1
            asked = getattr(error, "retry_after", None) or 0.0
            after = max(float(asked), backoff_seconds(self._failures[key], self.jitter()))
        finally:
            del self._running[key]
            again = key in self._again
            self._again.discard(key)
            if again and key not in self._failures:
                self.add(key)
            elif after is not None:
                self.add_after(key, after)
            self._changed.set()

    def _promote(self) -> float | None:
        """Make due keys ready; return the seconds until the next one is due, None when there is none."""
        now = self.clock()
        for key in [key for key, due in self._delayed.items() if due <= now]:
            due = self._delayed.pop(key)
            if key in self._running:
                self._again.add(key)
            else:
                self._ready.setdefault(key, due)
        return max(0.0, min(self._delayed.values()) - now) if self._delayed else None
