"""Steps on one machine: start attempts, see how they stand, end them."""

import math
import time
from dataclasses import dataclass, field
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any

from autosel_runtime.api.recipe_search import RecipeSearch
from controller.local import attempts
from controller.local.devices import Devices
from controller.local.folder import read_json, write_json
from controller.reconcile.model import StepRequest, StepResult


@dataclass(kw_only=True)
class LocalSteps:
    """The steps of one run folder. Finished outcomes are read once; running ones are asked for at each look."""

    folder: Path
    base: Path
    uid: str
    devices: Devices
    _finished: dict[str, StepResult] = field(default_factory=dict[str, StepResult])
    _processes: dict[str, ForkServerProcess] = field(default_factory=dict[str, ForkServerProcess])
    _newest: dict[str, int] = field(default_factory=dict[str, int])

    def adopt(self) -> list[str]:
        """Take over what an earlier run left: its outcomes, its running attempts; forget its interrupted ones.

        Returns the names of the steps that failed and will be tried again because the run was started again.
        """
        retried: list[str] = []
        for step in sorted((self.folder / "steps").glob("*")):
            numbers = [int(path.name) for path in step.iterdir() if path.name.isdigit()]
            for number in sorted(numbers, reverse=True):
                attempt = step / str(number)
                outcome = attempt / "outcome.json"
                if not outcome.exists():
                    if attempts.holder(attempt) is None:
                        _set_aside(attempt, "interrupted")
                        continue
                elif read_json(outcome)["exit_code"] not in (0, 65):
                    _set_aside(attempt, "failed")
                    retried += [step.name] if step.name not in retried else []
                    continue
                self._newest[step.name] = max(number, self._newest.get(step.name, 0))
        return retried

    def look(self) -> None:
        """Find the newest attempts without changing anything."""
        for step in sorted((self.folder / "steps").glob("*")):
            numbers = [
                int(path.name)
                for path in step.iterdir()
                if path.name.isdigit()
                and ((path / "outcome.json").exists() or attempts.holder(path) is not None)
            ]
            if numbers:
                self._newest[step.name] = max(numbers)

    def results(self) -> dict[str, StepResult]:
        """Return the newest attempt of every step."""
        return {name: self._result(name, attempt) for name, attempt in self._newest.items()}

    def start(self, request: StepRequest, search: RecipeSearch) -> None:
        """Write the attempt's document and start its process."""
        folder = self.folder / "steps" / request.name / str(request.attempt)
        write_json(folder / "document.json", self._document(request, search))
        resources = getattr(search.spec.steps, request.step)
        variables = self.devices.assign(request.name, request.step)
        environment = attempts.Environment(variables=variables, threads=threads_of(resources.cpu))
        self._processes[request.name] = attempts.start(folder, environment)
        self._newest[request.name] = request.attempt
        self._finished.pop(request.name, None)

    def stop(self, name: str) -> None:
        """End a running attempt; it does not count as a failure."""
        folder = self._attempt_folder(name)
        process = self._processes.pop(name, None)
        pid = attempts.holder(folder) or (process.pid if process and process.is_alive() else None)
        if pid is not None and pid > 0:
            attempts.terminate(pid)
        if process is not None:
            process.join(timeout=5)
        if not (folder / "outcome.json").exists():
            _set_aside(folder, "stopped")
            del self._newest[name]
        self.devices.release(name)

    def stop_overdue(self, seconds: float) -> None:
        """End attempts that run longer than the deadline; that is a failure of the step."""
        for name, result in self.results().items():
            if result.state == "running" and time.time() - result.started_at > seconds:
                folder = self._attempt_folder(name)
                pid = attempts.holder(folder)
                if pid is not None and pid > 0:
                    attempts.terminate(pid)
                self._write_outcome(folder, 70, f"ran longer than the deadline of {seconds:.0f} s")

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
        if not (folder / "outcome.json").exists():
            alive = process.is_alive() if process is not None else attempts.holder(folder) is not None
            if alive:
                progress = folder / "progress.json"
                return StepResult(
                    attempt=attempt,
                    state="running",
                    started_at=(folder / "document.json").stat().st_mtime,
                    progress=read_json(progress) if progress.exists() else None,
                )
            if not (folder / "outcome.json").exists():
                self._write_outcome(folder, attempts.KILLED, _death(process))
        outcome = read_json(folder / "outcome.json")
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


def _death(process: ForkServerProcess | None) -> str:
    code = process.exitcode if process is not None else None
    if code is not None and code < 0:
        return f"killed by signal {-code}; out of memory is the usual cause of signal 9"
    return "the process ended without an outcome"


def _set_aside(folder: Path, why: str) -> None:
    for number in range(1, 1_000_000):
        target = folder.with_name(f"{folder.name}.{why}-{number}")
        if not target.exists():
            folder.rename(target)
            return
