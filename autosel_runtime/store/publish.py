"""Artifacts: data first under keys of the attempt's own, then one marker that only one attempt can write.

Any number of attempts may run at once (a lost node, a retry): each writes its own objects, one marker wins, and all
return the winner's. A reader that sees the marker sees complete data.
"""

import contextlib
import os
import uuid
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from autosel_runtime.digest import canonical_json, digest_bytes, digest_file
from autosel_runtime.errors import AutoselError, DataError, NoInputError
from autosel_runtime.store.fetch import fetch, local_path
from autosel_runtime.store.marker import (
    MARKER_BYTES,
    MARKER_NAME,
    SUMMARY_BYTES,
    Marker,
    StoredObject,
    marker_key,
    parse_marker,
)
from autosel_runtime.store.port import Store, check_key, read_bytes

__all__ = ["Marker", "StoredObject", "fetch", "files_in", "find", "local_path", "publish", "sweep"]

_THREADS = 4


def find(store: Store, prefix: str) -> Marker | None:
    """Return the marker of a finished artifact, None when there is none; DataError when it is damaged."""
    try:
        data = read_bytes(store, marker_key(prefix), limit=MARKER_BYTES)
    except NoInputError:
        return None
    return parse_marker(data, prefix=prefix)


def publish(
    store: Store,
    prefix: str,
    files: Mapping[str, Path | bytes],
    *,
    step: str,
    summary: Mapping[str, Any],
    attempt: str,
) -> Marker:
    """Publish ``files`` (name to content) as the artifact ``prefix`` and return its marker.

    When another attempt has finished first, its marker is returned and nothing of this one stays. Objects get keys
    ``prefix/attempt.nonce/name``: the nonce keeps a restarted attempt of the same name off the first one's objects.
    DataError for a summary above 4 KiB; TransientError when the store is down, after which a new call finds or
    finishes the artifact.
    """
    size = len(canonical_json(dict(summary)))
    if size > SUMMARY_BYTES:
        raise DataError(
            f"the summary of step {step} has {size:,} bytes, at most {SUMMARY_BYTES:,} are allowed"
        )
    finished = find(store, prefix)
    if finished is not None:
        return finished
    folder = f"{prefix}/{attempt}.{uuid.uuid4().hex[:12]}"
    objects = {name: _describe(f"{folder}/{name}", source) for name, source in sorted(files.items())}
    try:
        marker = Marker(prefix=prefix, step=step, attempt=attempt, summary=dict(summary), objects=objects)
    except ValidationError as error:
        raise DataError(f"cannot publish {prefix}: {error.errors()[0]['msg']}") from error
    try:
        with ThreadPoolExecutor(max_workers=_THREADS) as pool:
            list(pool.map(lambda name: store.put(objects[name].key, files[name]), objects))
        won = store.put(marker_key(prefix), marker.to_json(), if_absent=True)
    except AutoselError:
        # The marker may be there although its answer was lost; then the objects must stay.
        with contextlib.suppress(AutoselError):
            if find(store, prefix) not in (None, marker):
                _delete_all(store, objects)
        raise
    winner = marker if won else find(store, prefix)
    if winner is None:
        raise DataError(
            f"marker {prefix}/{MARKER_NAME} was deleted while {prefix} was published; run the step again"
        )
    if winner != marker:
        _delete_all(store, objects)
    return winner


def sweep(store: Store, prefix: str) -> int:
    """Delete what killed and losing attempts left under a finished ``prefix``; return how many objects.

    Nothing is deleted before the marker exists. An attempt that still runs can then only lose.
    """
    marker = find(store, prefix)
    if marker is None:
        return 0
    keep = {marker_key(prefix), *(stored.key for stored in marker.objects.values())}
    stale = [key for key in store.list(prefix) if key not in keep]
    for key in stale:
        store.delete(key)
    return len(stale)


def files_in(folder: Path) -> dict[str, Path]:
    """Return the regular files in and below ``folder`` by relative POSIX name, in order, ready to publish."""
    if not folder.is_dir():
        raise NoInputError(f"folder {folder} does not exist")
    found = [Path(top) / name for top, _, names in os.walk(folder) for name in names]
    return {path.relative_to(folder).as_posix(): path for path in sorted(found) if path.is_file()}


def _describe(key: str, source: Path | bytes) -> StoredObject:
    check_key(key)
    if isinstance(source, bytes):
        return StoredObject(key=key, size=len(source), sha256=digest_bytes(source))
    try:
        return StoredObject(key=key, size=source.stat().st_size, sha256=digest_file(source))
    except OSError as error:
        raise NoInputError(f"cannot read {source}: {error.strerror}") from error


def _delete_all(store: Store, objects: Mapping[str, StoredObject]) -> None:
    # Objects of a losing attempt only cost space; a store that is down must not fail a finished step.
    for stored in objects.values():
        with contextlib.suppress(AutoselError):
            store.delete(stored.key)
