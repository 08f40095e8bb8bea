"""Ctrl-c and SIGTERM as a request that is answered between two actions, never in the middle of one."""

import os
import signal
import threading
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM)


@dataclass(kw_only=True)
class StopRequest:
    """``descriptor`` turns readable when a signal came, so that whoever waits for something wakes at once."""

    descriptor: int
    signal_number: int | None = None

    def check(self) -> None:
        """Raise KeyboardInterrupt with the exit code of a shell (130, 143) when a signal came."""
        if self.signal_number is not None:
            raise KeyboardInterrupt(128 + self.signal_number)


@contextmanager
def stop_request() -> Generator[StopRequest]:
    """Collect signals while the block runs. In a thread other than the main one signals stay as they are."""
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    request = StopRequest(descriptor=reader)

    def note(number: int, _frame: FrameType | None) -> None:
        if request.signal_number is None:
            request.signal_number = number
            os.write(writer, b"x")

    main = threading.current_thread() is threading.main_thread()
    before = {number: signal.signal(number, note) for number in SIGNALS} if main else {}
    try:
        yield request
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        os.close(reader)
        os.close(writer)


@contextmanager
def ignored() -> Generator[None]:
    """Ignore both signals while the block runs; programs that are started in it ignore them for good."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, signal.SIG_IGN) for number in SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
