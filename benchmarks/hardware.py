"""What the numbers of a benchmark were measured on: processor, cores, load, Python and packages."""

import os
import platform
import sys
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path


def hardware(packages: Sequence[str]) -> list[str]:
    """Return the lines to print above a table; a package that is not installed says so."""
    versions = ", ".join(f"{name} {_version(name)}" for name in packages)
    return [
        f"processor  {processor()}, {cores()} cores usable, {memory()}",
        f"load       {', '.join(f'{value:.1f}' for value in os.getloadavg())} (1, 5, 15 minutes)",
        f"system     {platform.system()} {platform.release()}, Python {sys.version.split()[0]}",
        f"packages   {versions}",
    ]


def processor() -> str:
    """Return the model name of the processor."""
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


def cores() -> int:
    """Return the number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def memory() -> str:
    """Return the machine's memory."""
    try:
        size = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (ValueError, OSError):
        return "memory unknown"
    return f"{size / 2**30:.0f} GiB memory"


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"
