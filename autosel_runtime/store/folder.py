"""A store in a local folder: one file a key, written beside and renamed into place."""

import errno
import os
import shutil
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from autosel_runtime.errors import AutoselError, ConfigError, NoInputError, OutputError, TransientError
from autosel_runtime.store.port import RESERVED_SEGMENT, check_key, check_prefix

# Unfinished files of killed writers are removed when they have not grown for this long.
_ABANDONED_SECONDS = 24 * 3600.0
_NO_LINKS = frozenset({errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK, errno.EXDEV})
_NOT_A_PATH = frozenset({errno.ENOTDIR, errno.EISDIR, errno.ENOTEMPTY, errno.EEXIST})


class FolderStore:
    """Store in folder ``root``, which is created. OutputError when it cannot be."""

    def __init__(self, root: Path) -> None:
        self._root = root.absolute()
        self._partial = self._root / RESERVED_SEGMENT
        try:
            self._partial.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise _write_error(error, self._root) from error
        self._remove_abandoned()

    @property
    def uri(self) -> str:
        """The folder's absolute path."""
        return str(self._root)

    def path_of(self, key: str) -> Path:
        """Return the file that holds ``key``, whether it exists or not. Its content must not be changed."""
        return self._root / check_key(key)

    def open(self, key: str) -> BinaryIO:
        """Open the file of ``key``."""
        path = self.path_of(key)
        try:
            return path.open("rb")
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
            raise NoInputError(f"object {key} does not exist in {self.uri}") from None
        except OSError as error:
            raise _read_error(error, path) from error

    def put(self, key: str, source: bytes | Path, *, if_absent: bool = False) -> bool:
        """Write beside, flush to disk, then rename (or link, which fails when the name exists)."""
        path = self.path_of(key)
        if if_absent and path.exists():
            return False
        temporary = self._partial / uuid.uuid4().hex
        try:
            _write_flushed(temporary, source)
            return _give_name(temporary, path, if_absent=if_absent)
        except OSError as error:
            raise _write_error(error, path) from error
        finally:
            temporary.unlink(missing_ok=True)

    def list(self, prefix: str) -> Iterator[str]:
        """Walk the folder; unfinished files are never listed."""
        start = self._root / check_prefix(prefix)
        keys: list[str] = []
        for folder, folders, files in os.walk(start, onerror=_raise_unless_absent):
            if Path(folder) == self._root and RESERVED_SEGMENT in folders:
                folders.remove(RESERVED_SEGMENT)
            relative = Path(folder).relative_to(self._root)
            keys.extend((relative / name).as_posix() for name in files)
        yield from sorted(keys, key=str.encode)

    def delete(self, key: str) -> None:
        """Remove the file, and the folders that it leaves empty."""
        path = self.path_of(key)
        try:
            path.unlink(missing_ok=True)
            for folder in path.parents:
                if folder == self._root:
                    break
                folder.rmdir()
        except NotADirectoryError:
            return
        except OSError as error:
            # A folder that is not empty, or that another process has just removed, is no failure.
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOENT):
                raise _write_error(error, path) from error

    def _remove_abandoned(self) -> None:
        limit = time.time() - _ABANDONED_SECONDS
        for file in self._partial.iterdir():
            try:
                if file.stat().st_mtime < limit:
                    file.unlink()
            except OSError:
                continue  # another process has finished or removed it, or owns it


def _write_flushed(path: Path, source: bytes | Path) -> None:
    """Write a new file and flush it to disk. It is read-only: objects never change in place."""
    with path.open("xb") as stream:
        if isinstance(source, bytes):
            stream.write(source)
        else:
            try:
                origin = source.open("rb")
            except OSError as error:
                raise NoInputError(f"cannot read {source}: {error.strerror}") from error
            with origin:
                shutil.copyfileobj(origin, stream, 1 << 20)
        stream.flush()
        os.fchmod(stream.fileno(), 0o444)
        os.fsync(stream.fileno())


def _give_name(temporary: Path, path: Path, *, if_absent: bool) -> bool:
    """Move a finished file to its name and flush the folder. False when ``if_absent`` and the name exists."""
    for chance in range(10):
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            if not if_absent:
                temporary.replace(path)
            elif not _link(temporary, path):
                return False
            break
        except FileNotFoundError:
            # delete() of the folder's last object has just removed the folder
            if chance == 9:
                raise
    _flush_folder(path.parent)
    return True


def _link(temporary: Path, path: Path) -> bool:
    """Give a finished file its name. False when the name exists."""
    try:
        os.link(temporary, path)
    except FileExistsError:
        return False
    except OSError as error:
        if error.errno in _NO_LINKS:
            raise ConfigError(
                f"the file system of {path.parent} has no hard links, which autosel needs so that two processes "
                "never overwrite each other's results; use a folder on another file system"
            ) from error
        raise
    return True


def _flush_folder(folder: Path) -> None:
    """Flush a folder, so that a rename survives power loss."""
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except FileNotFoundError:
        return  # another process has deleted the object and its folder already
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _raise_unless_absent(error: OSError) -> None:
    if not isinstance(error, FileNotFoundError | NotADirectoryError):
        raise _read_error(error, Path(error.filename)) from error


def _read_error(error: OSError, path: Path) -> AutoselError:
    if isinstance(error, PermissionError):
        return NoInputError(f"cannot read {path}: permission denied")
    return TransientError(f"cannot read {path}: {error.strerror}")


def _write_error(error: OSError, path: Path) -> AutoselError:
    """Return the sentence for a failed write; what a person can mend is an OutputError."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return OutputError(f"cannot write {path}: the disk is full or the quota is used up; free some space")
    if isinstance(error, PermissionError) or error.errno == errno.EROFS:
        return OutputError(f"cannot write {path}: permission denied or read-only")
    if error.errno in _NOT_A_PATH:
        return OutputError(
            f"cannot write {path}: a file stands where a folder is needed, or a folder where a file is"
        )
    return TransientError(f"cannot write {path}: {error.strerror}")
