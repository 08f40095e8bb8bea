"""What only the folder store does."""

import multiprocessing
import os
import time
from pathlib import Path

import pytest

from autosel_runtime.errors import OutputError
from autosel_runtime.store import folder as folder_module
from autosel_runtime.store.folder import FolderStore
from autosel_runtime.store.port import read_bytes


def _write(root: str, writer: int, results: "multiprocessing.SimpleQueue[int]") -> None:
    if FolderStore(Path(root)).put("race/key", b"%d" % writer * 100_000, if_absent=True):
        results.put(writer)


def test_processes_race_safely(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    results = context.SimpleQueue()
    writers = [context.Process(target=_write, args=(str(tmp_path), n, results)) for n in range(6)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    winner = results.get()
    assert results.empty()
    assert read_bytes(FolderStore(tmp_path), "race/key") == b"%d" % winner * 100_000


def test_a_full_disk_is_one_sentence_and_leaves_nothing(tmp_path: Path) -> None:
    store = FolderStore(tmp_path)
    full = Path("/dev/full")
    if not full.exists():
        pytest.skip("no /dev/full on this system")

    def write_to_full(path: Path, source: bytes | Path) -> None:
        path.write_bytes(b"half")
        with full.open("wb") as stream:
            stream.write(b"x")  # the kernel's own ENOSPC

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(folder_module, "_write_flushed", write_to_full)
        with pytest.raises(OutputError, match="the disk is full"):
            store.put("a/b", b"data")
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_a_file_in_the_way_is_an_output_error(tmp_path: Path) -> None:
    store = FolderStore(tmp_path)
    store.put("a", b"1")
    with pytest.raises(OutputError, match="a file stands where a folder is needed"):
        store.put("a/b", b"2")
    with pytest.raises(OutputError, match="a file stands where"):
        FolderStore(tmp_path / "a")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_permission_is_an_output_error(tmp_path: Path) -> None:
    store = FolderStore(tmp_path)
    (tmp_path / "locked").mkdir(mode=0o500)
    with pytest.raises(OutputError, match="permission denied"):
        store.put("locked/a", b"1")


def test_permission_errors_are_worded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(temporary: Path, path: Path, *, if_absent: bool) -> bool:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(folder_module, "_give_name", refuse)
    with pytest.raises(OutputError, match="permission denied or read-only"):
        FolderStore(tmp_path).put("a", b"1")


def test_unfinished_files_are_hidden_and_swept_after_a_day(tmp_path: Path) -> None:
    store = FolderStore(tmp_path)
    new, old = tmp_path / ".partial" / "new", tmp_path / ".partial" / "old"
    new.write_bytes(b"1")
    old.write_bytes(b"1")
    two_days_ago = time.time() - 2 * 86_400
    os.utime(old, (two_days_ago, two_days_ago))
    assert list(store.list("")) == []
    FolderStore(tmp_path)
    assert new.exists()
    assert not old.exists()


def test_objects_are_read_only(tmp_path: Path) -> None:
    store = FolderStore(tmp_path)
    store.put("a", b"1")
    assert store.path_of("a").stat().st_mode & 0o222 == 0
    assert store.put("a", b"2")
