"""Runs and steps that die at any moment: the next run ends with the very same result and repeats nothing finished."""

import json
import os
import random
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

from tests.controller.local_search import Ended, LocalSearch, finish, same_steps, specification, wait_until

Undisturbed = tuple[LocalSearch, Ended]


def attempt_of(search: LocalSearch, step: str) -> str | None:
    """Return the running attempt of a step whose name ends with ``step``."""
    return next((name for name in search.running() if name.split("/")[0].endswith(step)), None)


def ended_like(search: LocalSearch, undisturbed: Undisturbed) -> None:
    """Assert that a disturbed search came to the same end as the undisturbed one, with no finished step repeated."""
    original, _ = undisturbed
    assert search.result() == original.result()
    assert same_steps(search.finished_times(), original.finished_times())
    assert not search.running()


def kill_group(process: "subprocess.Popen[str]", number: int = signal.SIGKILL) -> Ended:
    os.killpg(process.pid, number)
    return finish(process)


def test_a_run_killed_at_random_moments_ends_like_an_undisturbed_one(
    undisturbed: Undisturbed, inputs: Path, tmp_path: Path
) -> None:
    chance = random.Random(11)
    search = LocalSearch(folder=tmp_path, spec=specification(inputs))
    for _ in range(3):
        done = len(search.attempts())
        process = search.start()
        wanted = done + chance.randint(1, 6)
        wait_until(lambda n=wanted: len(search.attempts()) >= n, f"{wanted} outcomes", process)
        time.sleep(chance.random())
        kill_group(process)
        assert not (search.out / "report.json").exists()
    assert search.run().code == 0
    ended_like(search, undisturbed)


def test_a_step_that_outlives_its_run_is_adopted(
    undisturbed: Undisturbed, inputs: Path, tmp_path: Path
) -> None:
    search = LocalSearch(folder=tmp_path, spec=specification(inputs))
    process = search.start()
    attempt = wait_until(lambda: attempt_of(search, ".train"), "a train step", process)
    pid = search.running()[attempt]
    os.kill(pid, signal.SIGSTOP)  # so that it cannot end before the next run looks
    kill_group(process)
    process = search.start()
    wait_until(lambda: len(search.running()) > 1, "a second step beside the adopted one", process)
    assert search.running()[attempt] == pid
    os.kill(pid, signal.SIGCONT)
    assert finish(process).code == 0
    ended_like(search, undisturbed)
    assert json.loads((search.out / "steps" / attempt / "outcome.json").read_text())["exit_code"] == 0
    assert not list((search.out / "steps" / attempt).parent.glob("*interrupted*"))


def test_killed_steps_are_tried_again_and_cost_nothing(
    undisturbed: Undisturbed, inputs: Path, tmp_path: Path
) -> None:
    search = LocalSearch(folder=tmp_path, spec=specification(inputs))
    process = search.start()
    killed: set[str] = set()
    for step in ("setup.score", ".train", ".evaluate"):
        name = wait_until(lambda s=step: attempt_of(search, s), step, process)
        os.killpg(search.running()[name], signal.SIGKILL)
        killed.add(name)
    # The process that forks the steps may die as well.
    attempt = wait_until(lambda: attempt_of(search, "3.train"), "the last train step", process)
    server = parent(search.running()[attempt])
    assert server != process.pid
    os.kill(server, signal.SIGKILL)
    ended = finish(process)
    # The run starts another one, unless it was just talking to the old one; then it asks to be run again.
    assert ended.code in (0, 75), ended.err
    assert "Traceback" not in ended.err
    assert search.run().code == 0
    ended_like(search, undisturbed)
    outcomes = search.attempts()
    for name in killed:
        if outcomes[name]["exit_code"] == 0:
            continue  # it had just finished
        assert outcomes[name]["exit_code"] == 137
        assert "signal 9" in outcomes[name]["error"]
        step = name.split("/")[0]
        assert outcomes[f"{step}/2"]["exit_code"] == 0
        assert "signal 9" in ended.err


def interrupt(search: LocalSearch, number: int) -> tuple[Ended, dict[str, Any]]:
    """Send a signal to the whole group, as a terminal does, while a step trains."""
    process = search.start()
    wait_until(lambda: attempt_of(search, ".train"), "a train step", process)
    before = search.running()
    ended = kill_group(process, number)
    return ended, before


def test_ctrl_c_and_sigterm_end_the_steps_and_the_next_run_goes_on(
    undisturbed: Undisturbed, inputs: Path, tmp_path: Path
) -> None:
    search = LocalSearch(folder=tmp_path, spec=specification(inputs))
    for number in (signal.SIGINT, signal.SIGTERM):
        ended, before = interrupt(search, number)
        assert ended.code == 128 + number
        assert "run the same command again to go on" in ended.err
        assert "Traceback" not in ended.err
        assert not search.running()
        assert not [pid for pid in before.values() if Path(f"/proc/{pid}/fd").exists() and alive(pid)]
    assert search.run().code == 0
    ended_like(search, undisturbed)


def alive(pid: int) -> bool:
    """Say whether a process runs; one that has ended and waits for its parent does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_two_runs_into_one_folder(inputs: Path, tmp_path: Path) -> None:
    search = LocalSearch(folder=tmp_path, spec=specification(inputs))
    process = search.start()
    wait_until(lambda: (search.out / "search.json").exists(), "the first run", process)
    second = search.run()
    assert second.code == 73
    assert f"in use by another run (process {process.pid})" in second.err
    assert len(second.err.strip().splitlines()) == 1
    assert process.poll() is None
    kill_group(process, signal.SIGTERM)


def parent(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[1])
