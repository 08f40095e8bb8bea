"""Attempts of steps as processes that outlive the run that started them.

Each attempt has a folder and, while it runs, holds a lock on a file in it. The kernel drops the lock when the
process ends, however it ends, so a later run sees which attempts still run, which left an outcome and which died.
Children are forked from a server process that has imported the heavy libraries once.
"""

import fcntl
import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from multiprocessing.context import ForkServerProcess
from pathlib import Path

from autosel_runtime.progress import PROGRESS_FILE_VARIABLE
from autosel_runtime.steps.run import RESULT_FILE_VARIABLE, run_document
from controller.local.folder import read_json, write_json

KILLED = 137


@dataclass(frozen=True, kw_only=True)
class Environment:
    """What differs between steps: environment variables and the number of threads."""

    variables: Mapping[str, str]
    threads: int


def start_server() -> None:
    """Say what the server process imports once, before its first child is forked."""
    # One thread a process: results then do not depend on how many cores a machine has.
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ.setdefault(name, "1")
    # An attempt that is ended takes its semaphores with it; the tracker's complaint about that helps nobody.
    os.environ.setdefault("PYTHONWARNINGS", "ignore:resource_tracker:UserWarning")
    multiprocessing.get_context("forkserver").set_forkserver_preload(["autosel_runtime.steps.preload"])


def start(folder: Path, environment: Environment) -> ForkServerProcess:
    """Start the attempt whose document lies in ``folder``."""
    process = multiprocessing.get_context("forkserver").Process(
        target=_child, args=(str(folder), dict(environment.variables), environment.threads)
    )
    process.start()
    return process


def _child(folder_name: str, variables: dict[str, str], threads: int) -> None:
    folder = Path(folder_name)
    os.setsid()  # ctrl-c in the terminal reaches the run alone; it decides what happens to its steps
    log = os.open(folder / "log.txt", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    os.dup2(log, 1)
    os.dup2(log, 2)
    os.environ.update(variables)
    os.environ[RESULT_FILE_VARIABLE] = str(folder / "result.json")
    os.environ[PROGRESS_FILE_VARIABLE] = str(folder / "progress.json")
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(threads)
    with (folder / "lock").open("w") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        stream.write(str(os.getpid()))
        stream.flush()
        started = time.time()
        code = run_document(str(folder / "document.json"))
        result = folder / "result.json"
        outcome = read_json(result) if result.exists() else {"error": "the step left no result"}
        write_json(
            folder / "outcome.json",
            {**outcome, "exit_code": code, "started_at": started, "finished_at": time.time()},
        )
        sys.stdout.flush()
        sys.exit(code)


def holder(folder: Path) -> int | None:
    """Return the process id of a running attempt, or None when none holds the lock."""
    path = folder / "lock"
    if not path.exists():
        return None
    with path.open("r") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            text = stream.read().strip()
            return int(text) if text else -1
    return None


def terminate(pid: int, *, grace: float = 5.0) -> None:
    """End an attempt's process group, first politely."""
    deadline = time.monotonic() + grace
    for signal_number in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(pid, signal_number)
        except ProcessLookupError:
            return
        while signal_number == signal.SIGTERM and time.monotonic() < deadline:
            time.sleep(0.05)
            try:
                os.killpg(pid, 0)
            except ProcessLookupError:
                return
