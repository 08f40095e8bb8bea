"""Local copies of artifacts, verified by size and SHA-256."""

import hashlib
import os
import shutil
import uuid
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from autosel_runtime.digest import digest_file, short
from autosel_runtime.errors import DataError, NoInputError, OutputError
from autosel_runtime.store.folder import FolderStore
from autosel_runtime.store.marker import Marker, StoredObject
from autosel_runtime.store.port import Store

_BLOCK = 1 << 20
# Files of local stores that this process has verified: path, size, modification time, digest.
_verified: set[tuple[str, int, int, str]] = set()


def local_path(store: Store, marker: Marker, name: str, cache: Path) -> Path:
    """Return a local file with the content of object ``name``; it must not be changed.

    For a folder store it is the store's own file, verified once a process. Otherwise it lies in ``cache``, named by
    its SHA-256, and is downloaded at most once. DataError when the object is missing or damaged.
    """
    stored = marker.object(name)
    if isinstance(store, FolderStore):
        return _verified_file(store, stored)
    digits = short(stored.sha256, 64)
    path = cache / digits[:2] / digits
    # A name in the cache is given only to verified content, so that a hit costs one look at the size.
    if not (path.is_file() and path.stat().st_size == stored.size):
        _download(store, stored, path)
    return path


def fetch(
    store: Store,
    marker: Marker,
    folder: Path,
    names: Iterable[str] | None = None,
    *,
    cache: Path | None = None,
    threads: int = 4,
) -> Path:
    """Put the objects of an artifact (all, or ``names``) under ``folder`` by name and return ``folder``.

    Files are hard links to the cache or to a folder store, copies where links are impossible; treat them as
    read-only. Without ``cache``, downloads go straight to ``folder``, and files there that are whole already stay.
    ``threads`` objects are downloaded at once. DataError names the object that is missing or damaged.
    """
    wanted = sorted(marker.objects if names is None else set(names))

    def place(name: str) -> None:
        target = folder / name
        if cache is not None or isinstance(store, FolderStore):
            _place(local_path(store, marker, name, cache or folder), target)
            return
        stored = marker.object(name)
        whole = (
            target.is_file() and target.stat().st_size == stored.size and digest_file(target) == stored.sha256
        )
        if not whole:
            _download(store, stored, target)

    with ThreadPoolExecutor(max_workers=threads) as pool:
        list(pool.map(place, wanted))
    return folder


def _verified_file(store: FolderStore, stored: StoredObject) -> Path:
    path = store.path_of(stored.key)
    try:
        state = path.stat()
        identity = (str(path), state.st_size, state.st_mtime_ns, stored.sha256)
        if identity in _verified:
            return path
        if state.st_size != stored.size:
            raise _damaged(store, stored, f"{state.st_size:,} bytes instead of {stored.size:,}")
        if digest_file(path) != stored.sha256:
            raise _damaged(store, stored, "its SHA-256 differs from the marker's")
    except FileNotFoundError:
        raise _damaged(store, stored, "it does not exist") from None
    except OSError as error:
        raise NoInputError(f"cannot read {path}: {error.strerror}") from error
    _verified.add(identity)
    return path


def _download(store: Store, stored: StoredObject, path: Path) -> None:
    temporary = path.with_name(f"{path.name}.{uuid.uuid4().hex}.partial")
    sha256, size = hashlib.sha256(), 0
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            source = store.open(stored.key)
        except NoInputError:
            raise _damaged(store, stored, "it does not exist") from None
        with source, temporary.open("xb") as target:
            while block := source.read(_BLOCK):
                sha256.update(block)
                size += len(block)
                target.write(block)
            os.fchmod(target.fileno(), 0o444)
        if size != stored.size:
            raise _damaged(store, stored, f"{size:,} bytes instead of {stored.size:,}")
        if f"sha256:{sha256.hexdigest()}" != stored.sha256:
            raise _damaged(store, stored, "its SHA-256 differs from the marker's")
        temporary.replace(path)
    except OSError as error:
        raise OutputError(f"cannot write {path}: {error.strerror}") from error
    finally:
        temporary.unlink(missing_ok=True)


def _place(source: Path, target: Path) -> None:
    """Make ``target`` a link to or a copy of ``source``, whatever was there before."""
    temporary = target.with_name(f"{target.name}.{uuid.uuid4().hex}.partial")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        if target.exists() and target.samefile(source):
            return
        try:
            os.link(source, temporary)
        except OSError:
            shutil.copyfile(source, temporary)  # another file system, or one without links
        temporary.replace(target)
    except OSError as error:
        raise OutputError(f"cannot write {target}: {error.strerror}") from error
    finally:
        temporary.unlink(missing_ok=True)


def _damaged(store: Store, stored: StoredObject, what: str) -> DataError:
    return DataError(
        f"object {stored.key} in {store.uri} is damaged: {what}; delete its marker to make it again"
    )
