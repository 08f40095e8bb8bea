"""``python -m tests.kube.shifted SECONDS ARGUMENTS...``: the operator in a process whose wall clock is wrong."""

import datetime
import sys
import time

SHIFT = float(sys.argv.pop(1))
_time, _datetime = time.time, datetime.datetime


class _AnyDatetime(type):
    def __instancecheck__(cls, instance: object) -> bool:
        return isinstance(instance, _datetime)


class _Shifted(_datetime, metaclass=_AnyDatetime):
    @classmethod
    def now(cls, tz: datetime.tzinfo | None = None) -> _datetime:
        return _datetime.fromtimestamp(time.time(), tz)


def main() -> int:
    """Shift the clocks, then import the operator: it finds no others."""
    time.time = lambda: _time() + SHIFT
    datetime.datetime = _Shifted  # type: ignore[misc]
    from controller.kube.app import main

    return main()


if __name__ == "__main__":
    sys.exit(main())
