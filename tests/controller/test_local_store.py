"""Stores that are full, in a bucket, or down for a while."""

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.controller.local_search import Ended, LocalSearch, finish, same_steps, specification, wait_until
from tests.controller.test_local_kill import attempt_of
from tests.seaweed import ACCESS_KEY, SECRET_KEY, seaweed

Undisturbed = tuple[LocalSearch, Ended]


@contextmanager
def small_disk(folder: Path, megabytes: int) -> Iterator[Path]:
    """Mount a file system of a few megabytes on ``folder``."""
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", str(folder)]
    tried = subprocess.run(mount, capture_output=True, text=True, check=False)
    if tried.returncode != 0:
        pytest.skip(
            f"THE DISK-FULL TEST DID NOT RUN: no file system can be mounted here: {tried.stderr.strip()}"
        )
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def fill(disk: Path) -> None:
    """Write until nothing more can be written."""
    with (disk / "filler").open("ab", buffering=0) as stream:
        for size in (1 << 20, 1 << 12, 1):
            try:
                while True:
                    stream.write(b"x" * size)
            except OSError:
                continue


def test_a_full_disk_is_one_sentence_and_the_next_run_goes_on(
    undisturbed: Undisturbed, inputs: Path, tmp_path: Path
) -> None:
    with small_disk(tmp_path / "disk", 64) as disk:
        search = LocalSearch(folder=tmp_path / "search", spec=specification(inputs), out=disk / "run")
        process = search.start()
        wait_until(lambda: attempt_of(search, ".train"), "a train step", process)
        fill(disk)
        ended = finish(process)
        assert ended.code == 73
        assert "Traceback" not in ended.err
        assert ended.err.strip().splitlines()[-1].startswith("error: ")
        assert "full" in ended.err or "No space left on device" in ended.err
        assert not search.running()
        finished = {name for name, times in search.finished_times().items() if times}
        assert "setup.score" in finished

        assert search.run().code == 73
        (disk / "filler").unlink()
        assert search.run().code == 0
        assert search.result() == undisturbed[0].result()
        assert same_steps(search.finished_times(), undisturbed[0].finished_times())


def test_a_bucket_gives_the_same_result_even_when_its_server_dies_for_a_while(
    undisturbed: Undisturbed, inputs: Path, tmp_path: Path
) -> None:
    with seaweed(tmp_path / "server") as server:
        storage = {
            "uri": f"s3://{server.bucket('searches')}/tests",
            "endpoint": server.endpoint,
            "pathStyle": True,
            "accessKey": {"name": "s3", "key": "TEST_S3_ID"},
            "secretKey": {"name": "s3", "key": "TEST_S3_SECRET"},
        }
        search = LocalSearch(
            folder=tmp_path / "search",
            spec=specification(inputs, storage=storage),
            environment={"TEST_S3_ID": ACCESS_KEY, "TEST_S3_SECRET": SECRET_KEY},
        )
        process = search.start()
        wait_until(lambda: attempt_of(search, ".train"), "a train step", process)
        server.kill()
        failed = lambda: [name for name, one in search.attempts().items() if one["exit_code"] == 75]  # noqa: E731
        wait_until(failed, "a step that says: try again", process)
        server.start()
        ended = finish(process)
        assert ended.code == 0, ended.err
        assert search.result() == undisturbed[0].result()
        assert same_steps(search.finished_times(), undisturbed[0].finished_times())
        for name in failed():
            step, number = name.split("/")
            assert f"{step}/{int(number) + 1}" in search.attempts()
        assert not (search.out / "store").exists()
        assert no_secret_below(tmp_path / "search", SECRET_KEY, ACCESS_KEY)


def no_secret_below(folder: Path, *secrets: str) -> bool:
    """Say that none of the secrets is in any file below a folder."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert len(files) > 50
    return not [path for path in files if any(secret.encode() in path.read_bytes() for secret in secrets)]


@pytest.mark.parametrize("lost", ["store", "store/subsets"])
def test_what_the_store_has_lost_is_made_again_by_the_next_run(
    undisturbed: Undisturbed, inputs: Path, tmp_path: Path, lost: str
) -> None:
    search = LocalSearch(folder=tmp_path / "search", spec=specification(inputs))
    process = search.start()
    trained = search.out / "steps" / "full-pool.train" / "1" / "outcome.json"
    wait_until(trained.exists, "a trained model", process)
    shutil.rmtree(search.out / lost, ignore_errors=True)
    shutil.rmtree(search.out / "work" / "inputs", ignore_errors=True)
    ended = finish(process)
    assert ended.code == 66
    assert "it has no marker; log: " in ended.err.strip().splitlines()[-1]
    again = search.run()
    assert again.code == 0, again.err
    assert "no longer in the store" in again.err
    assert search.result()["trials"] == undisturbed[0].result()["trials"]
    assert search.result()["scores"] == undisturbed[0].result()["scores"]
