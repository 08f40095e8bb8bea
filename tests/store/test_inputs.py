"""Inputs from a real S3 server: what a uri names, what is brought and how often, and what is refused."""

import glob
import os
import threading
import uuid
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from autosel_runtime.digest import digest_bytes
from autosel_runtime.errors import AutoselError, DataError, NoInputError, ReplacedError, TransientError
from autosel_runtime.store.access import S3Access
from autosel_runtime.store.inputs import InputCache, Snapshot, inputs_json, survey
from autosel_runtime.store.s3_glob import fixed_part, matches
from autosel_runtime.store.s3_source import S3Source
from tests.seaweed import ACCESS_KEY, SECRET_KEY, Seaweed
from tests.store.conftest import IMPATIENT
from tests.store.fault_proxy import Fault, FaultProxy, fault_proxy

FILES = {
    "pool/a.jsonl": b"one\n",
    "pool/b.jsonl": b"two\n",
    "pool/deep/c.jsonl": b"three\n",
    "pool/deep/note with space.txt": "ä".encode(),
    "pool-2/d.jsonl": b"four\n",
    "model/config.json": b"{}",
}
Put = Callable[[str, bytes], None]


@pytest.fixture
def root(s3_server: Seaweed) -> str:
    """A folder of the bucket with FILES."""
    name = uuid.uuid4().hex
    for key, body in FILES.items():
        s3_server.client().put_object(Bucket="shared", Key=f"{name}/{key}", Body=body)
    return name


@pytest.fixture
def put(s3_server: Seaweed, root: str) -> Put:
    return lambda key, body: s3_server.client().put_object(Bucket="shared", Key=f"{root}/{key}", Body=body)


def source_at(endpoint: str, *, secret: str = SECRET_KEY) -> S3Source:
    access = S3Access(endpoint=endpoint, path_style=True, access_key=ACCESS_KEY, secret_key=secret)
    return S3Source(access, retry=IMPATIENT, timeout=20.0)


@pytest.fixture
def source(s3_server: Seaweed) -> S3Source:
    return source_at(s3_server.endpoint)


@pytest.fixture
def cache(tmp_path: Path) -> InputCache:
    return InputCache(folder=tmp_path / "s3", cache=tmp_path / "cache")


def take(cache: InputCache, source: S3Source, uri: str) -> Snapshot:
    return cache.take(source, [(uri, survey(source, uri))])[0]


def files_below(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


@pytest.mark.parametrize(
    ("key", "names"),
    [
        ("pool/a.jsonl", ["pool/a.jsonl"]),
        ("pool", ["pool/a.jsonl", "pool/b.jsonl", "pool/deep/c.jsonl", "pool/deep/note with space.txt"]),
        ("pool/", ["pool/a.jsonl", "pool/b.jsonl", "pool/deep/c.jsonl", "pool/deep/note with space.txt"]),
        ("pool/*.jsonl", ["pool/a.jsonl", "pool/b.jsonl"]),
        ("pool*/[cd]*", ["pool-2/d.jsonl"]),
        ("**/*.jsonl", [name for name in sorted(FILES) if name.endswith(".jsonl")]),
        ("pool/deep/note with space.txt", ["pool/deep/note with space.txt"]),
    ],
)
def test_a_uri_names_an_object_a_folder_or_the_matches_of_a_pattern(
    source: S3Source, cache: InputCache, root: str, key: str, names: list[str]
) -> None:
    snapshot = take(cache, source, f"s3://shared/{root}/{key}")
    tree = cache.tree(lambda: source, snapshot)
    assert files_below(tree / "shared" / root) == {name: FILES[name] for name in names}
    sizes = {f"{root}/{name}": (len(FILES[name]), digest_bytes(FILES[name])) for name in names}
    assert {one.key: (one.size, one.sha256) for one in snapshot.objects} == sizes


names = st.text(alphabet="ab.-", min_size=1, max_size=3).filter(lambda name: name not in (".", ".."))
pieces = st.one_of(names, st.sampled_from(["*", "**", "?", "a*", ".*", "[ab]*", "[!a]?", "*b", "a**"]))


@settings(max_examples=300, deadline=None)
@given(
    keys=st.lists(st.lists(names, min_size=1, max_size=3), min_size=1, max_size=6),
    pattern=st.lists(pieces, min_size=1, max_size=3),
)
@example(keys=[["a"]], pattern=["a", "**"])
def test_a_pattern_matches_keys_as_it_matches_files(
    tmp_path_factory: pytest.TempPathFactory, keys: list[list[str]], pattern: list[str]
) -> None:
    folder = tmp_path_factory.mktemp("files")
    written: list[str] = []
    for parts in keys:
        path = folder.joinpath(*parts)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(b"")
        except OSError:  # a folder has that name
            continue
        written.append("/".join(parts))
    wanted = "/".join(pattern)
    globbed = glob.glob(wanted, root_dir=folder, recursive=True)  # noqa: PTH207
    # For "a/**" glob names a file "a" as the folder "a/".
    found = {path for path in globbed if (folder / path).is_file() and not path.endswith("/")}
    assert {key for key in written if matches(key, wanted)} == found
    assert all(key.startswith(fixed_part(wanted)) for key in found)


def test_what_is_whole_is_not_read_again(
    s3_server: Seaweed, cache: InputCache, root: str, tmp_path: Path
) -> None:
    with fault_proxy(s3_server.port) as proxy:
        source, uri = source_at(proxy.endpoint), f"s3://shared/{root}/pool/"
        proxy.faults = [Fault(kind="drop", method="GET", path_part="deep/c.jsonl", times=99)]
        with pytest.raises(TransientError):
            take(cache, source, uri)
        proxy.faults = [
            Fault(kind="drop", method="GET", path_part="pool/a.jsonl", times=99),
            Fault(kind="drop", method="GET", path_part="pool/b.jsonl", times=99),
        ]
        before = proxy.happened
        snapshot = take(cache, source, uri)
        assert proxy.happened == before
        # another process on the same scratch folder needs no server at all
        again = InputCache(folder=tmp_path / "s3", cache=tmp_path / "cache")
        tree = again.tree(unreachable, snapshot)
        assert len(files_below(tree)) == 4
        assert cache.tree(unreachable, snapshot) == tree
    assert not list((tmp_path / "cache" / ".partial").iterdir())


def unreachable() -> S3Source:
    raise AssertionError("no server is needed here")


def test_dropped_connections_and_cut_answers_are_mended(
    s3_server: Seaweed, cache: InputCache, root: str, put: Put
) -> None:
    body = os.urandom(3_000_000)
    put("big/x.bin", body)
    with fault_proxy(s3_server.port) as proxy:
        proxy.faults = [
            Fault(kind="unavailable", method="HEAD", path_part="big"),
            Fault(kind="unavailable", method="GET", path_part="list-type=2"),
            Fault(kind="cut_body", method="GET", path_part="big/x.bin"),
            Fault(kind="drop", method="GET", path_part="big/x.bin"),
        ]
        source = source_at(proxy.endpoint)
        snapshot = take(cache, source, f"s3://shared/{root}/big")
        assert proxy.happened == 4
    tree = cache.tree(unreachable, snapshot)
    assert (tree / "shared" / root / "big" / "x.bin").read_bytes() == body


@pytest.mark.parametrize("body", [b"six\n", b"a longer one\n"])
def test_an_object_that_was_replaced_since_is_refused(
    source: S3Source, cache: InputCache, tmp_path: Path, root: str, put: Put, body: bytes
) -> None:
    snapshot = take(cache, source, f"s3://shared/{root}/pool/*.jsonl")
    put("pool/b.jsonl", body)
    elsewhere = InputCache(folder=tmp_path / "other" / "s3", cache=tmp_path / "other" / "cache")
    with pytest.raises(NoInputError, match=r"pool/b.jsonl is not what it was when the search was prepared"):
        elsewhere.tree(lambda: source, snapshot)
    # here the content that was prepared still lies, and no other is ever given
    tree = cache.tree(lambda: source, snapshot)
    assert (tree / "shared" / root / "pool" / "b.jsonl").read_bytes() == b"two\n"
    put("pool/b.jsonl", b"two\n")  # the same content under another date is the same input
    assert files_below(elsewhere.tree(lambda: source, snapshot)) == files_below(tree)


def test_an_object_that_was_deleted_since_is_refused(
    s3_server: Seaweed, source: S3Source, cache: InputCache, tmp_path: Path, root: str
) -> None:
    snapshot = take(cache, source, f"s3://shared/{root}/pool/*.jsonl")
    s3_server.client().delete_object(Bucket="shared", Key=f"{root}/pool/a.jsonl")
    elsewhere = InputCache(folder=tmp_path / "other" / "s3", cache=tmp_path / "other" / "cache")
    with pytest.raises(NoInputError, match=r"pool/a.jsonl was there when the search was prepared"):
        elsewhere.tree(lambda: source, snapshot)


def test_an_object_that_is_replaced_between_listing_and_reading_is_tried_again_later(
    source: S3Source, cache: InputCache, root: str, put: Put
) -> None:
    uri = f"s3://shared/{root}/pool/a.jsonl"
    found = survey(source, uri)
    put("pool/a.jsonl", b"new\n")
    with pytest.raises(ReplacedError) as refused:
        cache.take(source, [(uri, found)])
    assert refused.value.exit_code == 75
    assert take(cache, source, uri).objects[0].sha256 == digest_bytes(b"new\n")


def test_equal_content_lies_once(
    source: S3Source, cache: InputCache, tmp_path: Path, root: str, put: Put
) -> None:
    for name in ("x", "y", "z"):
        put(f"same/{name}.bin", b"equal")
    tree = cache.tree(lambda: source, take(cache, source, f"s3://shared/{root}/same/"))
    paths = sorted(tree.rglob("*.bin"))
    assert len(paths) == 3
    assert len({path.stat().st_ino for path in paths}) == 1
    assert len([path for path in (tmp_path / "cache").rglob("*") if path.is_file()]) == 1


def test_processes_that_want_one_input_bring_it_once(
    s3_server: Seaweed, source: S3Source, cache: InputCache, tmp_path: Path, root: str
) -> None:
    snapshot = take(cache, source, f"s3://shared/{root}/pool/")
    trees: list[Path] = []
    with fault_proxy(s3_server.port) as proxy:
        # Each object may be read once: a second reader would meet a server that is down.
        reads = count_reads(proxy)

        def one() -> None:
            shared = InputCache(folder=tmp_path / "new" / "s3", cache=tmp_path / "new" / "cache")
            trees.append(shared.tree(lambda: source_at(proxy.endpoint), snapshot))

        threads = [threading.Thread(target=one) for _ in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(trees) == 6
        assert len(set(trees)) == 1
        assert len(files_below(trees[0])) == 4
        assert reads() == 4


def count_reads(proxy: FaultProxy) -> Callable[[], int]:
    """Count the requests for objects that pass a proxy."""
    seen: list[str] = []
    plain = proxy.take

    def take_(method: str, path: str) -> object:
        if method == "GET" and "list-type" not in path:
            seen.append(path)
        return plain(method, path)

    proxy.take = take_  # type: ignore[method-assign]
    return lambda: len(seen)


def test_the_record_of_equal_content_has_equal_bytes(
    source: S3Source, cache: InputCache, tmp_path: Path, root: str
) -> None:
    uris = [f"s3://shared/{root}/pool/", f"s3://shared/{root}/model"]
    found = [(uri, survey(source, uri)) for uri in uris]
    other = InputCache(folder=tmp_path / "o" / "s3", cache=tmp_path / "o" / "cache")
    assert inputs_json(cache.take(source, found)) == inputs_json(other.take(source, found[::-1]))


@pytest.mark.parametrize(
    ("uri", "secret", "code", "words"),
    [
        (
            "s3://shared/nowhere/x.jsonl",
            SECRET_KEY,
            66,
            "s3://shared/nowhere/x.jsonl does not exist at http://",
        ),
        ("s3://shared/nowhere/*.jsonl", SECRET_KEY, 66, "matches no object"),
        ("s3://no-such-bucket/x.jsonl", SECRET_KEY, 66, "bucket no-such-bucket does not exist"),
        ("s3://no-such-bucket/", SECRET_KEY, 66, "bucket no-such-bucket does not exist"),
        ("s3://shared/pool/x.jsonl", "wrong", 78, "check the credentials and their rights"),
        ("s3://shared/pool/", "wrong", 78, "check the credentials and their rights"),
    ],
)
def test_what_is_not_there_and_what_is_not_allowed_is_one_sentence(
    s3_server: Seaweed, uri: str, secret: str, code: int, words: str
) -> None:
    with pytest.raises(AutoselError) as refused:
        survey(source_at(s3_server.endpoint, secret=secret), uri)
    assert (refused.value.exit_code, words in str(refused.value)) == (code, True), str(refused.value)
    assert "\n" not in str(refused.value)
    assert "wrong" not in str(refused.value)


def test_a_server_that_is_down_is_worth_another_try() -> None:
    with pytest.raises(TransientError):
        survey(source_at("http://127.0.0.1:9"), "s3://shared/x")


def test_keys_that_no_folder_can_hold_are_refused(tmp_path: Path, cache: InputCache) -> None:
    content = digest_bytes(b"")
    path = tmp_path / "cache" / content[7:9] / content[7:]
    path.parent.mkdir(parents=True)
    path.write_bytes(b"")
    for keys in (["a/../b"], ["a//b"], ["/a"], ["a", "a/b"]):
        objects = tuple({"key": key, "size": 0, "sha256": content} for key in keys)
        snapshot = Snapshot.model_validate({"uri": "s3://bucket/", "bucket": "bucket", "objects": objects})
        with pytest.raises(DataError, match=r"cannot hold|no folder can hold"):
            cache.tree(unreachable, snapshot)
    assert not list((tmp_path / "s3" / "trees").iterdir())
