"""A search in a real API server, and the command line that asks about it."""

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.cli.calls import ROOT, Answer, autosel, environment
from tests.kube.operating import Bench
from tests.kube.plane import until


@dataclass(frozen=True, kw_only=True)
class Asking:
    """Calls commands about the search of a bench."""

    bench: Bench
    kubeconfig: Path

    @property
    def options(self) -> list[str]:
        """How the cluster is reached."""
        return ["-n", self.bench.namespace, "--kubeconfig", str(self.kubeconfig)]

    def __call__(self, command: str, *arguments: object, name: str = "simulated") -> Answer:
        """Call a command in this process."""
        return autosel(command, name, *arguments, *self.options)

    @contextmanager
    def process(self, command: str, *arguments: str) -> "Iterator[Talking]":
        """Call a command in a process of its own, which may go on for long."""
        line = [sys.executable, "-m", "autosel_runtime.cli", command, "simulated", *arguments, *self.options]
        out, err = self.bench.folder / f"{command}.out", self.bench.folder / f"{command}.err"
        with out.open("wb") as stdout, err.open("wb") as stderr:
            process = subprocess.Popen(line, env=environment(), cwd=ROOT, stdout=stdout, stderr=stderr)
        try:
            yield Talking(process=process, out=out, err=err)
        finally:
            if process.poll() is None:
                process.kill()
            process.wait()


@dataclass(frozen=True, kw_only=True)
class Talking:
    """A command that runs."""

    process: "subprocess.Popen[bytes]"
    out: Path
    err: Path

    def says(self, text: str, *, seconds: float = 180.0) -> None:
        """Wait until the command has printed a text."""
        until(
            lambda: text in self.out.read_text() + self.err.read_text() or self.process.poll() is not None,
            what=f"{text!r} in {self.out.read_text()!r} and {self.err.read_text()!r}",
            seconds=seconds,
        )
        assert text in self.out.read_text() + self.err.read_text(), self.err.read_text()

    def interrupt(self) -> int:
        """Send ctrl-c and return the exit code."""
        self.process.send_signal(signal.SIGINT)
        return self.process.wait(timeout=120)

    def end(self, *, seconds: float = 240.0) -> Answer:
        """Wait for the end."""
        code = self.process.wait(timeout=seconds)
        return Answer(code=code, out=self.out.read_text(), err=self.err.read_text())

    @property
    def objects(self) -> list[dict[str, Any]]:
        """The JSON objects printed so far, one a line."""
        return [json.loads(line) for line in self.out.read_text().splitlines()]
