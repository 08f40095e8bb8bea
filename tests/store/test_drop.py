"""Dropping artifacts: on every store, interrupted anywhere, beside a writer that makes the artifact again."""

from pathlib import Path
from typing import Any, BinaryIO

import pytest

from autosel_runtime.errors import TransientError
from autosel_runtime.store.drop import DROPPED_NAME, drop, find_dropped
from autosel_runtime.store.folder import FolderStore
from autosel_runtime.store.port import Store
from autosel_runtime.store.publish import Marker, fetch, find, publish, sweep

PREFIX = "models/m1"
FILES = {"model.safetensors": b"weights" * 1000, "config.json": b"{}", "nested/x": b""}


def _publish(store: Store, attempt: str = "a1") -> Marker:
    return publish(store, PREFIX, FILES, step="train", summary={"seconds": 3600.0}, attempt=attempt)


class Dying:
    """A store whose process dies at the n-th call that changes anything, before or after it took effect."""

    def __init__(self, store: Store, calls: int, *, after: bool) -> None:
        self._store, self._left, self._after = store, calls, after
        self.uri = store.uri

    def open(self, key: str) -> BinaryIO:
        return self._store.open(key)

    def list(self, prefix: str) -> Any:
        return self._store.list(prefix)

    def put(self, key: str, source: bytes | Path, *, if_absent: bool = False) -> bool:
        return self._change(lambda: self._store.put(key, source, if_absent=if_absent))

    def delete(self, key: str) -> None:
        self._change(lambda: self._store.delete(key))

    def _change(self, call: Any) -> Any:
        self._left -= 1
        if self._left == 0 and not self._after:
            raise TransientError("killed")
        result = call()
        if self._left == 0:
            raise TransientError("killed")
        return result


def test_the_data_goes_and_the_account_stays(store: Store) -> None:
    marker = _publish(store)
    assert find_dropped(store, PREFIX) is None
    assert drop(store, PREFIX)
    assert list(store.list("")) == [f"{PREFIX}/{DROPPED_NAME}"]
    assert find(store, PREFIX) is None
    assert find_dropped(store, PREFIX) == marker
    assert drop(store, PREFIX), "again is no error"
    assert list(store.list("")) == [f"{PREFIX}/{DROPPED_NAME}"]


def test_what_never_was_is_not_dropped(store: Store) -> None:
    assert not drop(store, PREFIX)
    assert find_dropped(store, PREFIX) is None
    assert list(store.list("")) == []


def test_a_dropped_artifact_can_be_made_and_dropped_again(store: Store, tmp_path: Path) -> None:
    _publish(store)
    drop(store, PREFIX)
    second = _publish(store, "a2")
    assert find(store, PREFIX) == second
    assert find_dropped(store, PREFIX) is None
    folder = fetch(store, second, tmp_path / "copy")
    assert (folder / "model.safetensors").read_bytes() == FILES["model.safetensors"]
    sweep(store, PREFIX)
    assert find(store, PREFIX) == second
    drop(store, PREFIX)
    assert find_dropped(store, PREFIX) == second


@pytest.mark.parametrize("after", [False, True])
def test_an_interrupted_drop_is_finished_by_the_next_one(tmp_path: Path, after: bool) -> None:
    calls = 0
    while True:
        calls += 1
        store = FolderStore(tmp_path / f"{calls}-{after}")
        marker = _publish(store)
        try:
            drop(Dying(store, calls, after=after), PREFIX)
        except TransientError:
            # Whole, or gone for readers with its account: never a marker without data.
            found = find(store, PREFIX)
            assert found in (marker, None)
            if found is not None:
                fetch(store, found, tmp_path / f"copy-{calls}-{after}")
            else:
                assert find_dropped(store, PREFIX) == marker
            assert drop(store, PREFIX)
            assert list(store.list("")) == [f"{PREFIX}/{DROPPED_NAME}"]
            continue
        break
    assert calls > len(FILES) + 2


def test_a_repeated_drop_leaves_an_attempt_alone_that_makes_the_artifact_again(
    store: Store, tmp_path: Path
) -> None:
    _publish(store)
    drop(store, PREFIX)
    # Another attempt has written its data and not yet its marker.
    for name, content in FILES.items():
        store.put(f"{PREFIX}/a2.0123456789ab/{name}", content)
    drop(store, PREFIX)
    assert {key.rsplit("ab/", 1)[-1] for key in store.list(PREFIX)} >= set(FILES)
    fetch(store, _publish(store, "a3"), tmp_path / "copy")
