"""Progress of downloads that run side by side, in bytes."""

import threading
from types import TracebackType
from typing import Self

from autosel_runtime.progress import Progress

MEGABYTE = 1_000_000


class ByteProgress:
    """Counts bytes of several threads and reports whole megabytes."""

    def __init__(self, label: str, total: int) -> None:
        self._progress = Progress(label, total=max(1, total // MEGABYTE), unit="MB")
        self._bytes = 0
        self._lock = threading.Lock()

    def __enter__(self) -> Self:
        self._progress.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.__exit__(kind, error, trace)

    def advance(self, count: int) -> None:
        """Add bytes that were read."""
        with self._lock:
            self._bytes += count
            self._progress.advance(self._bytes // MEGABYTE - self._progress.done)

    def skip(self, count: int) -> None:
        """Count bytes that were here already; the rate of the others stays what it is."""
        with self._lock:
            if self._progress.total is not None:
                self._progress.total = max(1, self._progress.total - count // MEGABYTE)
