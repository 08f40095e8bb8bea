"""S3 with a real server: refusals, outages, large files, and a network that loses answers."""

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from autosel_runtime.errors import AutoselError, ConfigError, NoInputError, TransientError
from autosel_runtime.progress import PROGRESS_FILE_VARIABLE
from autosel_runtime.store import s3 as s3_module
from autosel_runtime.store.port import read_bytes
from tests.seaweed import SECRET_KEY, Seaweed, seaweed
from tests.store.conftest import OpenS3
from tests.store.fault_proxy import Fault, FaultProxy, fault_proxy


@pytest.fixture
def proxy(s3_server: Seaweed) -> Iterator[FaultProxy]:
    with fault_proxy(s3_server.port) as running:
        yield running


def test_a_wrong_secret_names_bucket_and_prefix_only(open_s3: OpenS3) -> None:
    with pytest.raises(ConfigError, match="no permission in bucket shared under 'mine'") as caught:
        open_s3(prefix="mine", secret_key="wrong-secret-9876", endpoint=_fresh(open_s3))
    assert "wrong-secret-9876" not in str(caught.value)
    assert SECRET_KEY not in str(caught.value)


def test_a_missing_bucket_is_said(open_s3: OpenS3) -> None:
    with pytest.raises(ConfigError, match=r"bucket no-such-bucket does not exist at http://127\.0\.0\.1"):
        open_s3(bucket="no-such-bucket")


def test_a_server_that_is_not_there_is_transient(open_s3: OpenS3) -> None:
    with pytest.raises(TransientError, match="Could not connect"):
        open_s3(endpoint="http://127.0.0.1:9")
    with pytest.raises(ConfigError, match="Invalid endpoint"):
        open_s3(endpoint="not an address")


def test_a_server_without_conditional_writes_is_refused(
    open_s3: OpenS3, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server itself is real; the condition is taken off every request on its way."""
    monkeypatch.setattr(s3_module, "_probed", set())
    make_call = s3_module.S3Store._call

    def without_condition(store: s3_module.S3Store, operation: str, **arguments: object) -> object:
        arguments.pop("IfNoneMatch", None)
        return make_call(store, operation, **arguments)

    monkeypatch.setattr(s3_module.S3Store, "_call", without_condition)
    with pytest.raises(ConfigError, match="lacks conditional writes"):
        open_s3()


def test_the_probe_leaves_nothing_and_runs_once(open_s3: OpenS3, proxy: FaultProxy) -> None:
    store = open_s3(endpoint=proxy.endpoint)
    assert list(store.list("")) == []
    proxy.faults = [Fault(kind="drop", method="PUT", times=100)]
    open_s3(endpoint=proxy.endpoint)
    assert proxy.happened == 0


def test_large_files_go_in_parts(
    open_s3: OpenS3, tmp_path: Path, s3_server: Seaweed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(PROGRESS_FILE_VARIABLE, str(tmp_path / "progress.json"))
    source = tmp_path / "large.bin"
    source.write_bytes(b"".join(i.to_bytes(8, "big") * 131_072 for i in range(40)))
    store = open_s3()
    assert store.put("large", source)
    key = store.uri.removeprefix("s3://shared/") + "/large"
    assert s3_server.client().head_object(Bucket="shared", Key=key)["ETag"].strip('"').endswith("-3")
    assert read_bytes(store, "large") == source.read_bytes()
    assert not store.put("large", source, if_absent=True)
    assert store.put("large-2", source, if_absent=True)
    assert s3_server.client().list_multipart_uploads(Bucket="shared").get("Uploads", []) == []


@pytest.mark.parametrize("kind", ["drop", "unavailable", "lose_answer"])
def test_a_conditional_write_survives_one_fault(open_s3: OpenS3, proxy: FaultProxy, kind: str) -> None:
    store = open_s3(endpoint=proxy.endpoint)
    proxy.faults = [Fault(kind=kind, method="PUT", path_part="/marker")]  # type: ignore[arg-type]
    assert store.put("marker", b"mine", if_absent=True), "the lost answer must not look like a lost race"
    assert proxy.happened == 1
    assert not store.put("marker", b"other", if_absent=True)
    assert read_bytes(store, "marker") == b"mine"


def test_a_lost_answer_at_the_end_of_a_multipart_upload(
    open_s3: OpenS3, proxy: FaultProxy, tmp_path: Path
) -> None:
    source = tmp_path / "large.bin"
    source.write_bytes(b"0123456789abcdef" * (17 << 16))
    store = open_s3(endpoint=proxy.endpoint)
    proxy.faults = [
        Fault(kind="lose_answer", method="POST", path_part="uploadId="),
        Fault(kind="drop", method="PUT", path_part="partNumber=2"),
    ]
    assert store.put("large", source)
    assert proxy.happened == 2
    assert read_bytes(store, "large") == source.read_bytes()


def test_reading_goes_on_after_a_cut(open_s3: OpenS3, proxy: FaultProxy) -> None:
    store = open_s3(endpoint=proxy.endpoint)
    data = bytes(range(256)) * 20_000
    store.put("long", data)
    proxy.faults = [
        Fault(kind="cut_body", method="GET", path_part="/long", times=2),
        Fault(kind="unavailable", method="GET", path_part="/long"),
    ]
    assert read_bytes(store, "long") == data
    assert proxy.happened == 3


def test_faults_without_end_are_transient(open_s3: OpenS3, proxy: FaultProxy) -> None:
    store = open_s3(endpoint=proxy.endpoint)
    store.put("k", b"1")
    proxy.faults = [
        Fault(kind="unavailable", method=method, times=1000) for method in ("GET", "PUT", "DELETE")
    ]
    for call in (
        lambda: store.put("k", b"2"),
        lambda: store.open("k"),
        lambda: list(store.list("")),
        lambda: store.delete("k"),
    ):
        with pytest.raises(TransientError, match="503"):
            call()


def test_the_server_is_killed_and_comes_back(tmp_path: Path, open_s3: OpenS3) -> None:
    with seaweed(tmp_path / "server") as server:
        server.bucket("shared")
        store = open_s3(endpoint=server.endpoint)
        written: list[str] = []
        errors: list[AutoselError] = []
        enough = threading.Event()

        def write() -> None:
            for number in range(100_000):
                key = f"k/{number:06d}"
                try:
                    store.put(key, key.encode() * 100)
                except AutoselError as error:
                    errors.append(error)
                    return
                written.append(key)
                if number == 20:
                    enough.set()

        writer = threading.Thread(target=write)
        writer.start()
        assert enough.wait(30)
        server.kill()
        writer.join(60)
        assert [type(error) for error in errors] == [TransientError]
        with pytest.raises(TransientError):
            store.open(written[0])
        server.start()
        for key in written:
            assert read_bytes(store, key) == key.encode() * 100
        with pytest.raises(NoInputError):
            store.open("k/never")
        assert store.put("after", b"1", if_absent=True)


def _fresh(open_s3: OpenS3) -> str:
    """Another name of the same endpoint, which no probe has seen."""
    return str(open_s3()._place.endpoint).replace("127.0.0.1", "localhost")
