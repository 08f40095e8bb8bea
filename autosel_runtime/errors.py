"""The errors a user can cause or meet, each with one sentence and a sysexits code.

The command line prints the sentence and exits with the code; a step does the same, and the controller
reads the code: 64 to 74 and 76 to 78 are permanent, 75 means "try again".
"""

import errno
import os
from collections.abc import Sequence
from dataclasses import dataclass

_FULL = (errno.ENOSPC, errno.EDQUOT)


class AutoselError(Exception):
    """Base of every expected failure. The message is one sentence for the person who can act on it."""

    exit_code = 70


class UsageError(AutoselError):
    """The command line was used wrongly."""

    exit_code = 64


class DataError(AutoselError):
    """Input data or a document is invalid."""

    exit_code = 65


class NoInputError(AutoselError):
    """An input file, folder or object does not exist or cannot be read."""

    exit_code = 66


class UnavailableError(AutoselError):
    """A library, model or service that the work needs is not there."""

    exit_code = 69


class OutputError(AutoselError):
    """An output could not be created or written (disk full, folder in use)."""

    exit_code = 73


class TransientError(AutoselError):
    """The same call may succeed later: a store or an endpoint that is down, a timeout."""

    exit_code = 75


class DeniedError(AutoselError):
    """Somebody who could allow it does not: credentials that are not accepted, a right that is missing."""

    exit_code = 77


class ReplacedError(AutoselError):
    """An input was replaced while it was read. Not transient for the call that met it, but for the step."""

    exit_code = 75


class ConfigError(AutoselError):
    """The configuration names something that cannot work together."""

    exit_code = 78


class ExtensionError(ConfigError):
    """Code of an extension failed or broke its contract; ``trace`` is the trace of that code alone, for its author."""

    def __init__(self, message: str, *, trace: str = "") -> None:
        self.trace = trace
        super().__init__(message)


def disk_full(error: BaseException) -> bool:
    """Say whether an error, also one of a library's own kind, tells that a disk or a quota is used up."""
    if isinstance(error, OSError) and error.errno in _FULL:
        return True
    return any(os.strerror(number) in str(error) for number in _FULL)


@dataclass(frozen=True, kw_only=True)
class Problem:
    """One finding in a document, precise enough to be mended without a search.

    ``line`` is 1-based and None when the document has no lines (an API object, say).
    """

    file: str
    line: int | None
    field: str
    message: str

    def __str__(self) -> str:
        place = self.file if self.line is None else f"{self.file}:{self.line}"
        return f"{place}: {self.field}: {self.message}" if self.field else f"{place}: {self.message}"


class InvalidDocumentError(DataError):
    """All problems found in one or more documents, reported together."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(str(p) for p in self.problems))
