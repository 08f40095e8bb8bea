"""What every store does, folder and S3 alike."""

import io
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autosel_runtime.errors import DataError, NoInputError
from autosel_runtime.store.port import Store, check_key, read_bytes


def test_reads_what_was_put(store: Store, tmp_path: Path) -> None:
    source = tmp_path / "source.bin"
    source.write_bytes(b"from a file" * 1000)
    assert store.put("a/bytes", b"from memory")
    assert store.put("a/file", source)
    assert store.put("a/empty", b"")
    assert read_bytes(store, "a/bytes") == b"from memory"
    assert read_bytes(store, "a/file") == source.read_bytes()
    assert read_bytes(store, "a/empty") == b""


def test_put_replaces_unless_told_not_to(store: Store) -> None:
    assert store.put("k", b"one", if_absent=True)
    assert not store.put("k", b"two", if_absent=True)
    assert read_bytes(store, "k") == b"one"
    assert store.put("k", b"three")
    assert read_bytes(store, "k") == b"three"


def test_absent_objects(store: Store) -> None:
    with pytest.raises(NoInputError, match="no/such"):
        store.open("no/such")
    store.delete("no/such")
    store.put("here", b"1")
    store.delete("here")
    with pytest.raises(NoInputError):
        store.open("here")
    assert store.put("here", b"2", if_absent=True)


def test_lists_folders_in_byte_order(store: Store) -> None:
    for key in ["b", "a/2", "a/1", "a-b/3", "a/c/4", "ab"]:
        store.put(key, b"x")
    assert list(store.list("")) == ["a-b/3", "a/1", "a/2", "a/c/4", "ab", "b"]
    assert list(store.list("a")) == list(store.list("a/")) == ["a/1", "a/2", "a/c/4"]
    assert list(store.list("nothing")) == []


def test_streams_seek(store: Store) -> None:
    data = bytes(range(256)) * 4096
    store.put("long", data)
    with store.open("long") as stream:
        assert stream.seek(-10, io.SEEK_END) == len(data) - 10
        assert stream.read() == data[-10:]
        stream.seek(1_000_000)
        assert stream.read(7) == data[1_000_000:1_000_007]
        stream.seek(0)
        assert stream.read() == data


def test_read_bytes_refuses_more_than_the_limit(store: Store) -> None:
    store.put("k", b"12345")
    assert read_bytes(store, "k", limit=5) == b"12345"
    with pytest.raises(DataError, match="longer than 4 bytes"):
        read_bytes(store, "k", limit=4)


def test_one_of_eight_writers_wins(store: Store) -> None:
    for round_ in range(2):
        barrier = Barrier(8)

        def write(writer: int, key: str = f"race/{round_}", barrier: Barrier = barrier) -> bool:
            barrier.wait()
            return store.put(key, b"%d" % writer * 1000, if_absent=True)

        with ThreadPoolExecutor(max_workers=8) as pool:
            won = list(pool.map(write, range(8)))
        assert won.count(True) == 1
        assert read_bytes(store, f"race/{round_}") == b"%d" % won.index(True) * 1000


@pytest.mark.parametrize(
    "key",
    [
        "",
        "/a",
        "a//b",
        "a/../b",
        "..",
        ".",
        "a/",
        "a\\b",
        "a\0b",
        "a\nb",
        "ä",
        "a b",
        "x" * 201,
        "a/" * 256 + "a",
        ".partial/x",
    ],
)
def test_bad_keys_are_refused(store: Store, key: str) -> None:
    with pytest.raises(DataError, match="store key"):
        store.put(key, b"x")
    with pytest.raises(DataError, match="store key"):
        store.open(key)
    with pytest.raises(DataError, match="store key"):
        store.delete(key)


@given(st.text(max_size=40))
def test_a_valid_key_stays_below_the_root(key: str) -> None:
    try:
        check_key(key)
    except DataError:
        return
    root = Path("/some/store")
    assert root in Path(f"{root}/{key}").parents
    assert Path(key).as_posix() == key
