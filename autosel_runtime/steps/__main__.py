"""``python -m autosel_runtime.steps NAME --spec URI``: the entry point of every Job."""

import argparse
import signal
import sys
from types import FrameType
from typing import get_args

from autosel_runtime.api.resources import StepName
from autosel_runtime.steps.run import run_document


def main() -> int:
    """Parse the arguments and run the step."""
    parser = argparse.ArgumentParser(prog="python -m autosel_runtime.steps", description="Run one step.")
    parser.add_argument("step", choices=get_args(StepName))
    parser.add_argument("--spec", required=True, metavar="URI", help="the step's document")
    arguments = parser.parse_args()
    # The first process of a container ignores SIGTERM unless it says otherwise; the pod would hold its accelerator
    # until the grace period ends.
    signal.signal(signal.SIGTERM, _stop)
    return run_document(arguments.spec)


def _stop(_number: int, _frame: FrameType | None) -> None:
    raise SystemExit(143)


if __name__ == "__main__":
    sys.exit(main())
