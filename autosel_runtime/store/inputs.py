"""Inputs in object storage as local files: what a uri named when it was first read, and nothing else ever after.

A snapshot fixes the objects of a uri by key, size and SHA-256. Bringing it to a machine gives a folder that mirrors
bucket and keys, so that files, folders and patterns are read just as local ones are; objects lie once in a cache by
content. An object that was replaced since is an error, unless its content is the same.
"""

import fcntl
import hashlib
import os
import shutil
import uuid
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict

from autosel_runtime.api.uris import split_s3
from autosel_runtime.digest import digest, short
from autosel_runtime.errors import DataError, NoInputError, OutputError, ReplacedError
from autosel_runtime.store.input_progress import ByteProgress
from autosel_runtime.store.s3_glob import fixed_part, is_pattern, matches

if TYPE_CHECKING:  # boto3 is an extra and slow to import
    from autosel_runtime.store.s3_source import Found, S3Source

THREADS = 8
_BLOCK = 1 << 20


class StoredInput(BaseModel):
    """One object as it was read."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    key: str
    size: int
    sha256: str


class Snapshot(BaseModel):
    """What a uri named when it was read."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    uri: str
    bucket: str
    objects: tuple[StoredInput, ...]


def survey(source: "S3Source", uri: str) -> "list[Found]":
    """Return the objects that ``uri`` names, by key: an object, what lies in a folder, or the matches of a pattern.

    NoInputError when there is none.
    """
    bucket, key = split_s3(uri)
    if key and not key.endswith("/"):
        one = source.head(bucket, key)
        if one is not None:
            return [one]
    folder = f"{key.removesuffix('/')}/" if key else ""
    found = source.list(bucket, folder)
    if found:
        return found
    if is_pattern(key):
        found = [one for one in source.list(bucket, fixed_part(key)) if matches(one.key, key)]
        if found:
            return found
        raise NoInputError(f"{uri} matches no object at {source.endpoint}")
    raise NoInputError(f"{uri} does not exist at {source.endpoint}: there is no such object or folder")


class InputCache:
    """Objects by content below ``cache`` and trees of them below ``folder``; any number of processes may share both."""

    def __init__(self, *, folder: Path, cache: Path) -> None:
        self._folder, self._cache = folder, cache

    def take(self, source: "S3Source", found: "Sequence[tuple[str, Sequence[Found]]]") -> list[Snapshot]:
        """Bring the objects of surveyed uris into the cache and return their snapshots.

        Objects whose ETag is known from an earlier attempt are not read again. ReplacedError when one is replaced
        meanwhile.
        """
        wanted = {(split_s3(uri)[0], one) for uri, objects in found for one in objects}
        order = sorted(wanted, key=lambda entry: (entry[0], entry[1].key))
        with ByteProgress("inputs", sum(one.size for _, one in order)) as progress:

            def bring(entry: "tuple[str, Found]") -> str:
                bucket, one = entry
                return self._known(source, bucket, one, progress)

            with ThreadPoolExecutor(max_workers=THREADS) as pool:
                digests = dict(zip(order, pool.map(bring, order), strict=True))
        return [
            Snapshot(
                uri=uri,
                bucket=split_s3(uri)[0],
                objects=tuple(
                    StoredInput(key=one.key, size=one.size, sha256=digests[split_s3(uri)[0], one])
                    for one in objects
                ),
            )
            for uri, objects in found
        ]

    def tree(self, source: "Callable[[], S3Source]", snapshot: Snapshot) -> Path:
        """Return a folder in which ``bucket/key`` is the content of each object of a snapshot; it must not be changed.

        ``source`` is asked for only when something is missing here. NoInputError when an object was replaced or deleted
        since the snapshot was taken.
        """
        names = [[one.key, one.sha256] for one in snapshot.objects]
        tree = self._folder / "trees" / short(digest([snapshot.bucket, names]), 24)
        if tree.is_dir():
            return tree
        with self._alone(tree.name):
            if not tree.is_dir():
                self._complete(source, snapshot)
                self._build(snapshot, tree)
        return tree

    def _complete(self, source: "Callable[[], S3Source]", snapshot: Snapshot) -> None:
        missing = [one for one in snapshot.objects if not self._has(one.sha256, one.size)]
        if not missing:
            return
        opened = source()
        with ByteProgress("inputs", sum(one.size for one in missing)) as progress:

            def bring(one: StoredInput) -> None:
                self._again(opened, snapshot.bucket, one, progress)

            with ThreadPoolExecutor(max_workers=THREADS) as pool:
                list(pool.map(bring, missing))

    def _known(self, source: "S3Source", bucket: str, one: "Found", progress: ByteProgress) -> str:
        """Return the SHA-256 of an object's content, which lies in the cache then."""
        name = short(digest([source.endpoint, bucket, one.key, one.size, one.etag]), 64)
        note = self._folder / "known" / name[:2] / name
        if note.is_file():
            sha256 = note.read_text().strip()
            if self._has(sha256, one.size):
                progress.skip(one.size)
                return sha256
        sha256, seen = self._download(source, bucket, one.key, progress)
        if seen != one:
            raise ReplacedError(f"s3://{bucket}/{one.key} was replaced between listing and reading it")
        with _writing(note):
            temporary = note.with_name(f"{name}.{uuid.uuid4().hex}")
            temporary.write_text(sha256)
            temporary.replace(note)
        return sha256

    def _again(self, source: "S3Source", bucket: str, one: StoredInput, progress: ByteProgress) -> None:
        place = f"s3://{bucket}/{one.key}"
        try:
            sha256, seen = self._download(source, bucket, one.key, progress, size=one.size)
        except NoInputError as error:
            raise NoInputError(
                f"{place} was there when the search was prepared and is not any more ({error}); restore it, or start "
                "a new search"
            ) from error
        if sha256 != one.sha256:
            was, now = (
                f"{one.size:,} bytes, {one.sha256[:19]}",
                f"{seen.size:,} bytes, {sha256[:19] or 'not read'}",
            )
            raise NoInputError(
                f"{place} is not what it was when the search was prepared (then {was}; now {now}); restore it, or "
                "start a new search"
            )

    def _download(
        self, source: "S3Source", bucket: str, key: str, progress: ByteProgress, *, size: int | None = None
    ) -> "tuple[str, Found]":
        """Bring an object into the cache; return its SHA-256 and version. It is not read when ``size`` is another."""
        stream, seen = source.open(bucket, key)
        with stream:
            if size is not None and seen.size != size:
                return "", seen
            temporary = self._cache / ".partial" / uuid.uuid4().hex
            sha256 = hashlib.sha256()
            with _writing(temporary):
                try:
                    with temporary.open("xb") as target:
                        while block := stream.read(_BLOCK):
                            sha256.update(block)
                            target.write(block)
                            progress.advance(len(block))
                        os.fchmod(target.fileno(), 0o444)
                    name = f"sha256:{sha256.hexdigest()}"
                    path = self._path(name)
                    path.parent.mkdir(parents=True, exist_ok=True)
                    temporary.replace(path)
                finally:
                    temporary.unlink(missing_ok=True)
        return name, seen

    def _build(self, snapshot: Snapshot, tree: Path) -> None:
        temporary = tree.with_name(f"{tree.name}.{uuid.uuid4().hex}")
        try:
            with _writing(tree):
                for one in snapshot.objects:
                    target = temporary / snapshot.bucket / _safe(snapshot.bucket, one.key)
                    try:
                        target.parent.mkdir(parents=True, exist_ok=True)
                        _link(self._path(one.sha256), target)
                    except (FileExistsError, NotADirectoryError):
                        raise DataError(
                            f"s3://{snapshot.bucket}/{one.key}: a folder cannot hold a file and a folder of one name; "
                            "rename one of the two"
                        ) from None
                temporary.replace(tree)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)

    def _path(self, sha256: str) -> Path:
        digits = short(sha256, 64)
        return self._cache / digits[:2] / digits

    def _has(self, sha256: str, size: int) -> bool:
        # A name in the cache is given only to verified content, so that a hit costs one look at the size.
        path = self._path(sha256)
        return path.is_file() and path.stat().st_size == size

    @contextmanager
    def _alone(self, name: str) -> Generator[None]:
        """Let one process at a time bring a tree: the others find it then."""
        path = self._folder / "locks" / name
        with _writing(path):
            stream = path.open("a")
        with stream:
            fcntl.flock(stream, fcntl.LOCK_EX)
            yield


def inputs_json(snapshots: Sequence[Snapshot]) -> bytes:
    """Return the record of snapshots; equal snapshots give equal bytes."""
    rows = b",\n".join(one.model_dump_json().encode() for one in sorted(snapshots, key=lambda one: one.uri))
    return b"[" + rows + b"]\n"


def _safe(bucket: str, key: str) -> str:
    if any(part in ("", ".", "..") for part in key.split("/")) or "\0" in key:
        raise DataError(
            f"s3://{bucket}/{key} has an empty segment, . or .. in its key, which no folder can hold"
        )
    return key


def _link(source: Path, target: Path) -> None:
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)  # another file system, or one without links


@contextmanager
def _writing(path: Path) -> Generator[None]:
    """Make the folder of a file and turn what the system says of a write into a sentence."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield
    except OSError as error:
        raise OutputError(f"inputs cannot be kept in {path.parent}: {error.strerror or error}") from error
