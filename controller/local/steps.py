"""Steps on one machine: start attempts, see how they stand, end them."""

import math
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from multiprocessing import connection
from pathlib import Path
from typing import Any

from autosel_runtime.api.recipe_search import RecipeSearch
from autosel_runtime.api.resources import StepResources
from autosel_runtime.errors import OutputError
from autosel_runtime.store.port import Store
from controller.local import attempts
from controller.local.devices import Devices, asked_devices
from controller.local.folder import entries, read_json, write_json
from controller.local.lost import lost_steps
from controller.local.process import Process
from controller.reconcile.model import StepRequest, StepResult
from controller.reconcile.retry import INVALID_INPUT

# Steps whose "invalid input" is a verdict on their recipe; of any other step it is something that a person can mend.
JUDGED_STEPS = ("materialize", "train", "evaluate")
# Steps without torch: they need not wait for a process that has it.
LIGHT_STEPS = frozenset({"prepare"})
SHORT_LOOK_SECONDS = 0.1


@dataclass(kw_only=True)
class LocalSteps:
    """The steps of one run folder. Finished outcomes are read once; running ones are asked for at each look."""

    folder: Path
    base: Path
    uid: str
    devices: Devices
    _finished: dict[str, StepResult] = field(default_factory=dict[str, StepResult])
    _processes: dict[str, Process] = field(default_factory=dict[str, Process])
    _newest: dict[str, int] = field(default_factory=dict[str, int])
    _server: threading.Event | None = None

    def adopt(self) -> None:
        """Take over what an earlier run left: its outcomes and its running attempts; forget interrupted ones."""
        for step in entries(self.folder / "steps"):
            for number in _attempts(step):
                attempt = step / str(number)
                if not (attempt / "outcome.json").exists() and attempts.holder(attempt) is None:
                    _set_aside(attempt, "interrupted")
                    continue
                self._newest[step.name] = number
                if attempts.holder(attempt) is not None:
                    self.devices.take(step.name, read_json(attempt / "environment.json"))

    def forget_failures(self) -> list[str]:
        """Forget the steps that failed, so that they are tried again; return their names.

        A recipe that could not be made or trained from its data stays invalid: trying again would not help.
        """
        forgotten: list[str] = []
        for name, result in sorted(self.results().items()):
            judged = name.split(".")[-1].split("-")[0] in JUDGED_STEPS
            if result.state != "failed" or (judged and result.exit_code == INVALID_INPUT):
                continue
            self._forget(name, "failed")
            forgotten.append(name)
        return forgotten

    def forget_lost(self, store: Store) -> list[str]:
        """Forget the steps whose results the store has lost, so that they are done again; return their names."""
        outputs = {
            name: str(read_json(self._attempt_folder(name) / "document.json", having=("output",))["output"])
            for name in self._newest
        }
        lost = lost_steps(store, self.results(), outputs)
        for name in lost:
            self._forget(name, "lost")
        return lost

    def _forget(self, name: str, why: str) -> None:
        for number in _attempts(self.folder / "steps" / name):
            _set_aside(self.folder / "steps" / name / str(number), why)
        del self._newest[name]
        self._finished.pop(name, None)

    def look(self) -> None:
        """Find the newest attempts without changing anything."""
        for step in entries(self.folder / "steps"):
            numbers = [
                number
                for number in _attempts(step)
                if (step / str(number) / "outcome.json").exists()
                or attempts.holder(step / str(number)) is not None
            ]
            if numbers:
                self._newest[step.name] = max(numbers)

    def results(self) -> dict[str, StepResult]:
        """Return the newest attempt of every step."""
        return {name: self._result(name, attempt) for name, attempt in self._newest.items()}

    def able(self, request: StepRequest, search: RecipeSearch) -> bool:
        """Say whether a step can be started now. The first call starts the server that forks them: that takes seconds,
        for which only steps wait that need its libraries."""
        if self._server is None:
            self._server = attempts.start_server(search.spec)
        return self.warm or request.step in LIGHT_STEPS

    @property
    def warm(self) -> bool:
        """Whether the server has imported everything."""
        return self._server is not None and self._server.is_set()

    def start(self, request: StepRequest, search: RecipeSearch) -> None:
        """Write the attempt's document and start its process. OutputError when the folder cannot be written."""
        folder = self.folder / "steps" / request.name / str(request.attempt)
        resources: StepResources = getattr(search.spec.steps, request.step)
        count = asked_devices(resources.accelerator)
        variables = self.devices.assign(request.name, request.step, count)
        write_json(folder / "environment.json", variables)
        write_json(folder / "document.json", self._document(request, search))
        processes = count if request.step == "train" and self.devices.ids else 1
        environment = attempts.Environment(
            variables=variables,
            threads=max(1, threads_of(resources.cpu) // processes),
            processes=processes,
        )
        start = attempts.start if self.warm else attempts.start_alone
        self._processes[request.name] = start(folder, environment)
        self._newest[request.name] = request.attempt
        self._finished.pop(request.name, None)

    def wait(self, seconds: float, *, also: int) -> None:
        """Sleep until a step ends, ``also`` (a descriptor) turns readable or ``seconds`` have passed."""
        # The end of an adopted attempt, and of the server's imports, is seen only by looking.
        silent = any(name not in self._finished and name not in self._processes for name in self._newest)
        warming = self._server is not None and not self.warm
        limit = min(seconds, SHORT_LOOK_SECONDS) if silent or warming else seconds
        connection.wait([also, *(process.sentinel for process in self._processes.values())], limit)

    def stop(self, names: Sequence[str]) -> None:
        """End running attempts; that does not count as a failure."""
        for name in names:
            folder = self._attempt_folder(name)
            self._end(name)
            if not (folder / "outcome.json").exists():
                _set_aside(folder, "stopped")
                del self._newest[name]
            self.devices.release(name)

    def stop_all(self) -> None:
        """End everything that runs."""
        running = [name for name in self._newest if name not in self._finished]
        for name in running:  # all at once, so that the patience for each does not add up
            pid = attempts.holder(self._attempt_folder(name))
            if pid:
                attempts.ask_to_end(pid)
        self.stop(running)

    def stop_overdue(self, seconds: float) -> None:
        """End attempts that run longer than the deadline; that is a failure of the step."""
        for name, result in self.results().items():
            if result.state == "running" and time.time() - result.started_at > seconds:
                folder = self._attempt_folder(name)
                self._end(name)
                if not (folder / "outcome.json").exists():
                    self._write_outcome(folder, 70, f"ran longer than the deadline of {seconds:.0f} s")

    def _end(self, name: str) -> None:
        attempts.terminate(self._attempt_folder(name))
        process = self._processes.pop(name, None)
        if process is not None:
            process.join(timeout=attempts.GRACE_SECONDS)

    def _document(self, request: StepRequest, search: RecipeSearch) -> dict[str, Any]:
        return {
            "step": request.step,
            "name": request.name,
            "attempt": request.attempt,
            "uid": self.uid,
            "searchName": search.metadata.name,
            "search": search.spec.model_dump(mode="json", by_alias=True, exclude_none=True),
            "base": str(self.base),
            "defaultStore": str(self.folder / "store"),
            "work": str(self.folder / "work"),
            "inputs": dict(request.inputs),
            "output": request.output,
        }

    def _attempt_folder(self, name: str) -> Path:
        return self.folder / "steps" / name / str(self._newest[name])

    def _result(self, name: str, attempt: int) -> StepResult:
        if name in self._finished:
            return self._finished[name]
        folder = self._attempt_folder(name)
        process = self._processes.get(name)
        if process is not None and process.exitcode is not None:
            # 255: the server process is gone and cannot tell; the step itself may well go on.
            if process.exitcode != 255 and attempts.holder(folder) is not None:
                attempts.terminate(folder)  # the step has ended, but something that it started has not
            del self._processes[name]
        # An attempt that has left its outcome runs until its process is gone: only then its device is free.
        if attempts.holder(folder) is not None:
            progress = folder / "progress.json"
            return StepResult(
                attempt=attempt,
                state="running",
                started_at=(folder / "document.json").stat().st_mtime,
                progress=read_json(progress) if progress.exists() else None,
            )
        if not (folder / "outcome.json").exists():
            if process is not None:
                process.join(timeout=attempts.GRACE_SECONDS)  # for its exit code
            self._write_outcome(folder, attempts.KILLED, _death(process))
        outcome = read_json(folder / "outcome.json", having=("exit_code", "started_at", "finished_at"))
        code = int(outcome["exit_code"])
        result = StepResult(
            attempt=attempt,
            state="succeeded" if code == 0 else "failed",
            exit_code=code,
            reason=str(outcome.get("error", "")),
            summary=outcome.get("summary", {}),
            started_at=float(outcome["started_at"]),
            finished_at=float(outcome["finished_at"]),
        )
        self._finished[name] = result
        self._processes.pop(name, None)
        self.devices.release(name)
        return result

    @staticmethod
    def _write_outcome(folder: Path, code: int, error: str) -> None:
        started = (folder / "document.json").stat().st_mtime
        write_json(
            folder / "outcome.json",
            {"error": error, "exit_code": code, "started_at": started, "finished_at": time.time()},
        )


def threads_of(cpu: str) -> int:
    """Return the threads of a step from its processor request: ``500m`` is one, ``4`` is four."""
    cores = float(cpu[:-1]) / 1000 if cpu.endswith("m") else float(cpu)
    return max(1, math.ceil(cores))


def _attempts(step: Path) -> list[int]:
    """Return the numbers of a step's attempts that were not set aside, in order."""
    return sorted(int(path.name) for path in entries(step) if path.name.isdecimal())


def _death(process: Process | None) -> str:
    code = process.exitcode if process is not None else None
    if code is not None and code < 0:
        return f"killed by signal {-code}; out of memory is the usual cause of signal 9"
    return "the process ended without an outcome"


def _set_aside(folder: Path, why: str) -> None:
    for number in range(1, 1_000_000):
        target = folder.with_name(f"{folder.name}.{why}-{number}")
        if target.exists():
            continue
        try:
            folder.rename(target)
        except OSError as error:
            raise OutputError(f"{folder} cannot be renamed: {error.strerror}") from error
        return
