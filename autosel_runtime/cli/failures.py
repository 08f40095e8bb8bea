"""Errors as a person or a script sees them: one sentence, a sysexits code, the problems of documents."""

import errno
from dataclasses import dataclass

from autosel_runtime.errors import AutoselError, ExtensionError, InvalidDocumentError, Problem, disk_full

INTERNAL = 70

_CANNOT_WRITE = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EEXIST, errno.ENOTEMPTY})
_CANNOT_READ = frozenset(
    {errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.ELOOP, errno.ENAMETOOLONG, errno.EINVAL}
)
_NOT_ALLOWED = frozenset({errno.EACCES, errno.EPERM})


@dataclass(frozen=True, kw_only=True)
class Failure:
    """An error that a user can act on."""

    message: str
    exit_code: int
    problems: tuple[Problem, ...] = ()
    trace: str = ""  # of an extension's own code


def failure_of(error: Exception) -> Failure:
    """Return what to say of an error; what no user can cause is an internal error with code 70."""
    if isinstance(error, InvalidDocumentError):
        count = len(error.problems)
        message = str(error) if count == 1 else f"{count} problems found"
        return Failure(message=message, exit_code=error.exit_code, problems=error.problems)
    if isinstance(error, AutoselError):
        trace = error.trace if isinstance(error, ExtensionError) else ""
        return Failure(message=str(error), exit_code=error.exit_code, trace=trace)
    if isinstance(error, OSError) and error.filename is not None:
        return Failure(
            message=f"{error.filename}: {error.strerror or error}", exit_code=_system_code(error.errno)
        )
    if isinstance(error, OSError) and error.errno is not None:  # of libraries: the file stands in the words
        return Failure(message=" ".join(str(error.strerror).split()), exit_code=_system_code(error.errno))
    if disk_full(error):
        return Failure(message="the disk is full or the quota is used up; free some space", exit_code=73)
    return Failure(message=f"internal error: {type(error).__name__}: {error}", exit_code=INTERNAL)


def _system_code(number: int | None) -> int:
    """Return the sysexits code of a system error: 66 no input, 73 no output, 77 not allowed, 74 anything else."""
    for numbers, code in ((_CANNOT_READ, 66), (_CANNOT_WRITE, 73), (_NOT_ALLOWED, 77)):
        if number in numbers:
            return code
    return 74
