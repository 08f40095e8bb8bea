"""Attempts of steps as processes that outlive the run that started them.

Each attempt has a folder with a lock file. The run takes the lock and hands it to the new process with its birth, so
that there is no moment at which an attempt lives and nobody can see it; the kernel drops the lock when the process
ends, however it ends. So a later run sees which attempts still run, which left an outcome and which died.
Children are forked from a server process that has imported the heavy libraries once.
"""

import contextlib
import fcntl
import json
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass
from multiprocessing import forkserver, reduction
from pathlib import Path
from typing import Any

from autosel_runtime.api.recipe_search import RecipeSearchSpec
from autosel_runtime.errors import OutputError, TransientError
from autosel_runtime.progress import PROGRESS_FILE_VARIABLE
from autosel_runtime.steps.run import RESULT_FILE_VARIABLE, run_document
from controller.local.folder import read_json, write_json
from controller.local.process import Process, ProgramProcess
from controller.local.stopping import ignored

KILLED = 137
# Modules that cannot be imported are left to the step that needs them. The last one spares every child the imports of
# the program that it was started from.
PRELOADED = ["autosel_runtime.steps.preload", "controller.local.attempts", "autosel_runtime.cli"]
# How long a process gets to end by itself, and how long its birth may take.
GRACE_SECONDS = 5.0
BIRTH_SECONDS = 60.0


@dataclass(frozen=True, kw_only=True)
class Environment:
    """What differs between steps: environment variables, and how many processes of how many threads they are."""

    variables: Mapping[str, str]
    threads: int
    processes: int = 1


class _Lock:
    """An open lock file on its way to the child; the copy that arrives holds the same lock."""

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor

    def __reduce__(self) -> tuple[Callable[[Any], int], tuple[Any]]:
        return _receive, (reduction.DupFd(self.descriptor),)


def _receive(sent: Any) -> int:
    return int(sent.detach())


def start_server(spec: RecipeSearchSpec) -> threading.Event:
    """Start the process that steps are forked from; the event is set once it has imported what they need.

    That takes seconds, which the caller is free to use: starting a step earlier would wait for it, deaf to signals.
    """
    # One thread a process: results then do not depend on how many cores a machine has.
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ.setdefault(name, "1")
    # An attempt that is ended takes its semaphores with it; the tracker's complaint about that helps nobody.
    os.environ.setdefault("PYTHONWARNINGS", "ignore:resource_tracker:UserWarning")
    modules = list(PRELOADED)
    if spec.storage.uri is not None and spec.storage.uri.startswith("s3://"):
        modules.append("autosel_runtime.store.s3")
    if spec.search.proposer == "llm":
        modules.append("openai")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(modules)
    ready = threading.Event()

    def warm_up() -> None:
        # If the server has died, the first step will say so; if the run has ended it, nobody needs to know.
        with contextlib.suppress(EOFError, OSError):
            process = context.Process(target=_nothing)
            process.start()
            process.join()
        ready.set()

    with ignored():  # inherited: signals to the whole group are the run's business, not its server's
        forkserver.ensure_running()
    threading.Thread(target=warm_up, daemon=True).start()
    return ready


def end_server() -> None:
    """End the server process, also while it still imports. The attempts that it has forked are not touched."""
    # multiprocessing itself would wait for the end of the imports.
    pid = getattr(getattr(forkserver, "_forkserver", None), "_forkserver_pid", None)
    if isinstance(pid, int):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def _nothing() -> None:
    pass


def start(folder: Path, environment: Environment) -> Process:
    """Start the attempt whose document lies in ``folder``.

    OutputError when the folder cannot be written, TransientError when the server process has been killed.
    """
    with _locked(folder) as lock:
        process = multiprocessing.get_context("forkserver").Process(
            target=run_attempt,
            args=(
                str(folder),
                _Lock(lock),
                dict(environment.variables),
                environment.threads,
                environment.processes,
            ),
        )
        try:
            process.start()
        except (EOFError, ConnectionError) as error:
            raise TransientError(
                "the process that starts the steps was killed; run the same command again to go on"
            ) from error
    return process


def start_alone(folder: Path, environment: Environment) -> Process:
    """The same in a new interpreter: for a step that needs none of the heavy libraries, and so not wait for them."""
    with _locked(folder) as lock:
        return ProgramProcess(
            "controller.local.attempt_program",
            [str(folder), str(lock), json.dumps(dict(environment.variables)), str(environment.threads)],
            keep=lock,
        )


@contextlib.contextmanager
def _locked(folder: Path) -> Generator[int]:
    """Yield a descriptor of the attempt's lock, taken; whoever inherits the descriptor holds the lock."""
    try:
        stream = (folder / "lock").open("w")
    except OSError as error:
        raise OutputError(f"{folder} cannot be written: {error.strerror}") from error
    with stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        yield stream.fileno()


def run_attempt(
    folder_name: str, lock: int, variables: dict[str, str], threads: int, processes: int = 1
) -> None:
    """Run the step of an attempt in this process, leave its outcome, and end the process."""
    folder = Path(folder_name)
    if os.getsid(0) != os.getpid():
        os.setsid()  # ctrl-c in the terminal reaches the run alone; it decides what happens to its steps
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.set_inheritable(lock, False)  # a program that the step starts must not hold the lock after its end
    log = os.open(folder / "log.txt", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    os.dup2(log, 1)
    os.dup2(log, 2)
    os.write(lock, f"{os.getpid()}\n".encode())
    os.environ.update(variables)
    os.environ[RESULT_FILE_VARIABLE] = str(folder / "result.json")
    os.environ[PROGRESS_FILE_VARIABLE] = str(folder / "progress.json")
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(threads)
    started = time.time()
    document = folder / "document.json"
    code = run_document(str(document)) if processes == 1 else _run_group(document, threads, processes)
    try:
        result = folder / "result.json"
        outcome = read_json(result) if result.exists() else {"error": "the step left no result"}
        if processes > 1 and code:  # torchrun ends with 1, whatever its processes ended with
            code = int(outcome.get("exit_code", KILLED))
        write_json(
            folder / "outcome.json",
            {**outcome, "exit_code": code, "started_at": started, "finished_at": time.time()},
        )
    finally:
        with contextlib.suppress(OSError):  # the log's disk may be full
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(
            code
        )  # the result is safe: taking the interpreter and its libraries down would only cost time


def _run_group(document: Path, threads: int, processes: int) -> int:
    """Run a step in several processes, as the pod does: torchrun, one process a device."""
    step = read_json(document)["step"]
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"]
    environment = {
        **os.environ,
        "OMP_NUM_THREADS": str(threads),
        "PYTHONPATH": os.pathsep.join(part for part in sys.path if part),
    }
    module = ["-m", "autosel_runtime.steps", step, "--spec", str(document)]
    return subprocess.run(
        [*command, *module], env=environment, stdin=subprocess.DEVNULL, check=False
    ).returncode


def holder(folder: Path) -> int | None:
    """Return the process id of a running attempt, 0 while it is being born, None when none holds the lock."""
    try:
        stream = (folder / "lock").open("r")
    except FileNotFoundError:
        return None
    with stream:
        try:
            # A shared lock: two who look at once do not see each other.
            fcntl.flock(stream, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except OSError:
            text = stream.read().strip()
            return int(text) if text.isdecimal() else 0
    return None


def ask_to_end(pid: int) -> None:
    """Send SIGTERM to an attempt's process group, if it is still there."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(pid, signal.SIGTERM)


def terminate(folder: Path) -> None:
    """End the attempt in ``folder`` with all processes of its group, first politely; return when it is gone."""
    born = time.monotonic() + BIRTH_SECONDS
    while (pid := holder(folder)) == 0 and time.monotonic() < born:
        time.sleep(0.01)
    if not pid:
        return
    for number, grace in ((signal.SIGTERM, GRACE_SECONDS), (signal.SIGKILL, GRACE_SECONDS)):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(pid, number)
        end = time.monotonic() + grace
        while holder(folder) is not None and time.monotonic() < end:
            time.sleep(0.01)
        if holder(folder) is None:
            return
