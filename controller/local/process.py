"""What the run needs of a child process, however it was started."""

import os
import subprocess
import sys
from collections.abc import Sequence
from multiprocessing import connection
from typing import Protocol


class Process(Protocol):
    """A child process. ``sentinel`` is a descriptor that turns readable when it ends."""

    @property
    def sentinel(self) -> int:
        """Descriptor to wait for."""
        ...

    @property
    def exitcode(self) -> int | None:
        """None while it runs; minus the signal's number when a signal ended it."""
        ...

    def join(self, timeout: float | None = None) -> None:
        """Wait for its end, at most ``timeout`` seconds."""
        ...


class ProgramProcess:
    """``python -m MODULE ARGUMENTS`` in a session of its own; ``keep`` is a descriptor that it inherits."""

    def __init__(self, module: str, arguments: Sequence[str], *, keep: int) -> None:
        # Nobody writes to this pipe: its reading end turns readable when the last writing end is closed.
        self._reader, writer = os.pipe()
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-m", module, *arguments],
                pass_fds=(keep, writer),
                stdin=subprocess.DEVNULL,
                start_new_session=True,
                env={**os.environ, "PYTHONPATH": os.pathsep.join(part for part in sys.path if part)},
            )
        finally:
            os.close(writer)

    def __del__(self) -> None:
        os.close(self._reader)

    @property
    def sentinel(self) -> int:
        """Descriptor to wait for."""
        return self._reader

    @property
    def exitcode(self) -> int | None:
        """None while it runs; minus the signal's number when a signal ended it."""
        return self._process.poll()

    def join(self, timeout: float | None = None) -> None:
        """Wait for its end, at most ``timeout`` seconds."""
        if connection.wait([self._reader], timeout):
            self._process.wait()
