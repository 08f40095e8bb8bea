"""The lock of a run folder: one run at a time, and a disk that is full is told with the file that met it."""

import os
from pathlib import Path

import pytest

from autosel_runtime.errors import OutputError
from controller.local.folder import exclusive


def test_a_full_disk_is_told_with_the_path(tmp_path: Path) -> None:
    full = Path("/dev/full")
    if not full.exists():
        pytest.skip("no /dev/full on this system")
    (tmp_path / "lock").symlink_to(full)
    with pytest.raises(OutputError) as caught, exclusive(tmp_path):
        pytest.fail("the folder is held though its lock cannot be written")
    assert str(caught.value) == f"{tmp_path / 'lock'} cannot be written: No space left on device"


def test_the_lock_names_its_holder_whoever_held_it_before(tmp_path: Path) -> None:
    (tmp_path / "lock").write_text("123456789012\n")
    with exclusive(tmp_path):
        assert (tmp_path / "lock").read_text() == f"{os.getpid()}\n"
        refused = rf"in use by another run \(process {os.getpid()}\)"
        with pytest.raises(OutputError, match=refused), exclusive(tmp_path):
            pytest.fail("two runs hold one folder")
    with exclusive(tmp_path):
        assert (tmp_path / "lock").exists()
