"""The command line: ``autosel``. Results go to standard output, progress and complaints to standard error."""

from autosel_runtime.cli.main import main

__all__ = ["main"]
