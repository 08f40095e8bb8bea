"""Results of recipe prefixes, so that candidates that begin alike are not computed twice."""

from collections import OrderedDict
from dataclasses import dataclass, field, replace
from threading import Lock
from typing import Any

from autosel_runtime.errors import ConfigError
from autosel_runtime.recipe.model import Mask, StepTrace
from autosel_runtime.recipe.prepared import PreparedColumns

Entry = tuple[Mask, StepTrace]


@dataclass(kw_only=True)
class PrefixCache:
    """The most recently used prefixes of one pool, at most ``max_bytes`` of masks.

    Keys are digests of everything that a result depends on: seed, start mask, canonical steps, the content of
    united subsets. One cache serves one pool and one catalog and may be shared by threads.
    """

    max_bytes: int = 256 << 20
    hits: int = 0
    misses: int = 0
    _entries: OrderedDict[str, Entry] = field(default_factory=OrderedDict[str, Entry])
    _bytes: int = 0
    _pool: PreparedColumns | None = None
    _lock: Any = field(default_factory=Lock)

    def bind(self, prepared: PreparedColumns) -> PreparedColumns:
        """Return ``prepared`` with the memory of the pool that the cache serves, so that constants of the pool
        are computed once even if the caller never prepared it; ConfigError if the cache serves another pool."""
        with self._lock:
            if self._pool is None:
                self._pool = prepared
            elif self._pool.base is not prepared.base:
                raise ConfigError("this prefix cache belongs to another pool; use one cache for each pool")
            return replace(prepared, memory=self._pool.memory, lock=self._pool.lock)

    def get(self, key: str) -> Entry | None:
        """Return a stored result and make it the most recent one."""
        with self._lock:
            entry = self._entries.get(key)
            if entry is None:
                self.misses += 1
                return None
            self.hits += 1
            self._entries.move_to_end(key)
            return entry

    def put(self, key: str, entry: Entry) -> None:
        """Store a result; the mask must not be written afterwards. The least recent ones make room."""
        with self._lock:
            if key in self._entries:
                return
            entry[0].setflags(write=False)
            self._entries[key] = entry
            self._bytes += entry[0].nbytes
            while self._bytes > self.max_bytes and len(self._entries) > 1:
                _, (mask, _) = self._entries.popitem(last=False)
                self._bytes -= mask.nbytes
