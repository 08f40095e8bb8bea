"""Artifacts on every store: complete or absent, one winner, verified copies."""

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autosel_runtime.errors import DataError, NoInputError, TransientError
from autosel_runtime.store.folder import FolderStore
from autosel_runtime.store.marker import parse_marker
from autosel_runtime.store.port import Store, read_bytes
from autosel_runtime.store.publish import Marker, fetch, files_in, find, local_path, publish, sweep
from tests.seaweed import Seaweed
from tests.store.conftest import OpenS3
from tests.store.fault_proxy import Fault, fault_proxy

FILES = {"data.bin": b"\0\1\2" * 1000, "nested/ids.txt": b"a\nb\n", "empty": b""}


def _publish(store: Store, attempt: str = "a1", prefix: str = "pools/p1") -> Marker:
    return publish(store, prefix, FILES, step="prepare", summary={"rows": 2}, attempt=attempt)


def test_publish_find_fetch(store: Store, tmp_path: Path) -> None:
    assert find(store, "pools/p1") is None
    marker = _publish(store)
    assert find(store, "pools/p1") == marker
    assert marker.summary == {"rows": 2}
    folder = fetch(store, marker, tmp_path / "copy", cache=tmp_path / "cache")
    assert {name: path.read_bytes() for name, path in files_in(folder).items()} == FILES
    some = fetch(store, marker, tmp_path / "some", ["data.bin"])
    assert list(files_in(some)) == ["data.bin"]
    assert local_path(store, marker, "nested/ids.txt", tmp_path / "cache").read_bytes() == b"a\nb\n"


def test_a_second_publish_changes_nothing(store: Store) -> None:
    marker = _publish(store)
    before = list(store.list(""))
    assert _publish(store, "a2") == marker
    assert list(store.list("")) == before


def test_a_race_has_one_winner_and_leaves_no_losers(store: Store) -> None:
    barrier = Barrier(5)

    def attempt(number: int) -> Marker:
        barrier.wait()
        return publish(
            store,
            "models/m",
            {"w": b"%d" % number * 100},
            step="train",
            summary={"n": number},
            attempt="same" if number % 2 else f"a{number}",
        )

    with ThreadPoolExecutor(max_workers=5) as pool:
        markers = list(pool.map(attempt, range(5)))
    assert len({marker.to_json() for marker in markers}) == 1
    winner = markers[0]
    assert list(store.list("")) == sorted(["models/m/_SUCCESS.json", winner.objects["w"].key])
    assert read_bytes(store, winner.objects["w"].key) == b"%d" % winner.summary["n"] * 100


def test_sweep_removes_what_killed_attempts_left(store: Store) -> None:
    store.put("pools/p1/dead.123/data.bin", b"half")
    assert sweep(store, "pools/p1") == 0
    marker = _publish(store)
    assert sweep(store, "pools/p1") == 1
    assert find(store, "pools/p1") == marker
    assert len(list(store.list("pools/p1"))) == 1 + len(FILES)


def test_a_second_fetch_reads_nothing_from_the_store(open_s3: OpenS3, tmp_path: Path) -> None:
    store = open_s3()
    marker = _publish(store)
    fetch(store, marker, tmp_path / "one", cache=tmp_path / "cache")
    for stored in marker.objects.values():
        store.delete(stored.key)
    fetch(store, marker, tmp_path / "two", cache=tmp_path / "cache")
    fetch(store, marker, tmp_path / "one")
    assert {name: path.read_bytes() for name, path in files_in(tmp_path / "two").items()} == FILES
    with pytest.raises(DataError, match="it does not exist"):
        fetch(store, marker, tmp_path / "three", cache=tmp_path / "other")


def test_copies_replace_files_that_are_wrong(store: Store, tmp_path: Path) -> None:
    marker = _publish(store)
    (tmp_path / "copy").mkdir()
    (tmp_path / "copy" / "data.bin").write_bytes(b"\0\1\3" * 1000)
    fetch(store, marker, tmp_path / "copy")
    assert (tmp_path / "copy" / "data.bin").read_bytes() == FILES["data.bin"]


@pytest.mark.parametrize("damage", [b"\0\1\3" * 1000, b"short", None])
def test_damaged_objects_are_named(store: Store, tmp_path: Path, damage: bytes | None) -> None:
    marker = _publish(store)
    key = marker.objects["data.bin"].key
    if damage is None:
        store.delete(key)
    else:
        store.put(key, damage)
    with pytest.raises(DataError, match=f"object {key} .* is damaged") as caught:
        fetch(store, marker, tmp_path / "copy", cache=tmp_path / "cache")
    assert not (tmp_path / "copy" / "data.bin").exists()
    assert "delete its marker" in str(caught.value)
    assert not list((tmp_path / "cache").rglob("*.partial"))


def test_a_folder_store_gives_its_own_files(tmp_path: Path) -> None:
    store = FolderStore(tmp_path / "store")
    marker = _publish(store)
    path = local_path(store, marker, "data.bin", tmp_path / "cache")
    assert path == store.path_of(marker.objects["data.bin"].key)
    fetch(store, marker, tmp_path / "copy", cache=tmp_path / "cache")
    assert path.samefile(tmp_path / "copy" / "data.bin")
    assert not (tmp_path / "cache").exists()


def test_a_missing_name_is_answered_with_what_there_is(store: Store, tmp_path: Path) -> None:
    marker = _publish(store)
    with pytest.raises(DataError, match=r"no object 'mask\.npy'; it has data\.bin, empty, nested/ids\.txt"):
        fetch(store, marker, tmp_path, ["mask.npy"])


def test_summaries_are_bounded(store: Store) -> None:
    with pytest.raises(DataError, match=r"summary of step score has 4,1\d\d bytes"):
        publish(store, "s/1", {}, step="score", summary={"text": "x" * 4096}, attempt="a1")
    with pytest.raises(NoInputError, match="cannot read"):
        publish(store, "s/1", {"a": Path("/no/such/file")}, step="score", summary={}, attempt="a1")
    with pytest.raises(DataError, match="store key"):
        publish(store, "s/1", {"../a": b""}, step="score", summary={}, attempt="a1")
    assert list(store.list("")) == []


def _forged(marker: Marker) -> dict[str, bytes]:
    document = json.loads(marker.to_json())
    stored = document["objects"]["data.bin"]

    def with_object(**changes: object) -> bytes:
        objects = document["objects"] | {"data.bin": stored | changes}
        return json.dumps(document | {"objects": objects}).encode()

    return {
        "not JSON": b"{",
        "empty": b"",
        "a list": b"[]",
        "another version": json.dumps(document | {"schemaVersion": 2}).encode(),
        "unknown field": json.dumps(document | {"extra": 1}).encode(),
        "another prefix": json.dumps(document | {"prefix": "pools/p2"}).encode(),
        "a key outside": with_object(key="pools/p2/secret"),
        "a key that climbs": with_object(key="pools/p1/../../etc/passwd"),
        "a bad digest": with_object(sha256="sha256:12"),
        "a negative size": with_object(size=-1),
        "a long summary": json.dumps(document | {"summary": {"t": "x" * 5000}}).encode(),
        "a name that climbs": json.dumps(document | {"objects": {"../../x": stored}}).encode(),
        "NaN": json.dumps(document | {"summary": {"score": float("nan")}}).encode(),
    }


def test_forged_markers_are_refused(tmp_path: Path) -> None:
    store = FolderStore(tmp_path)
    accepted: list[str] = []
    messages: list[str] = []
    for what, data in _forged(_publish(store)).items():
        store.put("pools/p1/_SUCCESS.json", data)
        try:
            find(store, "pools/p1")
        except DataError as error:
            messages.append(str(error))
        else:
            accepted.append(what)
    assert accepted == []
    assert all(message.startswith("marker pools/p1/_SUCCESS.json ") for message in messages)


@given(st.binary(max_size=200))
def test_random_bytes_are_no_marker(data: bytes) -> None:
    with pytest.raises(DataError):
        parse_marker(data, prefix="p")


@pytest.mark.parametrize("kind", ["drop", "unavailable", "lose_answer"])
@pytest.mark.parametrize("part", ["_SUCCESS.json", "data.bin"])
def test_publish_through_faults_ends_in_one_marker(
    open_s3: OpenS3, s3_server: Seaweed, tmp_path: Path, kind: str, part: str
) -> None:
    """Any number of faults: the publisher fails as transient or not at all, and a rerun makes one marker."""
    with fault_proxy(s3_server.port) as proxy:
        store = open_s3(endpoint=proxy.endpoint)
        for times in (1, 7):
            prefix = f"p/{times}"
            proxy.faults = [Fault(kind=kind, method="PUT", path_part=part, times=times)]  # type: ignore[arg-type]
            for _ in range(5):
                try:
                    marker = _publish(store, prefix=prefix)
                    break
                except TransientError:
                    continue
            else:
                pytest.fail("publishing never ended")
            assert find(store, prefix) == marker
            fetch(store, marker, tmp_path / kind / str(times))
            sweep(store, prefix)
            kept = {stored.key for stored in marker.objects.values()} | {f"{prefix}/_SUCCESS.json"}
            assert set(store.list(prefix)) == kept
