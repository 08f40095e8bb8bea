"""A tiny real search in a folder, run in child processes, and what can be read of it afterwards."""

import ctypes
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from controller.local.attempts import holder
from tests.tiny_model import build_model

REPOSITORY = Path(__file__).parents[2]
PATIENCE_SECONDS = 240.0
NUMBERS = [
    "zero",
    "one",
    "two",
    "three",
    "four",
    "five",
    "six",
    "seven",
    "eight",
    "nine",
    "ten",
    "eleven",
    "twelve",
]


def write_inputs(folder: Path) -> Path:
    """Write a random model, two sources, a target and a task of 40 items into ``folder``."""
    chance = random.Random(0)

    def pair(low: int, high: int, *, right: bool) -> dict[str, str]:
        total = low + high if right else chance.randint(0, 12)
        return {"question": f"add {NUMBERS[low]} and {NUMBERS[high]} :", "answer": NUMBERS[total]}

    def lines(name: str, count: int, *, right: bool = True) -> None:
        rows = [pair(chance.randint(0, 6), chance.randint(0, 6), right=right) for _ in range(count)]
        (folder / name).write_text("".join(json.dumps(row) + "\n" for row in rows))

    folder.mkdir(parents=True, exist_ok=True)
    lines("good.jsonl", 120)
    lines("bad.jsonl", 120, right=False)
    lines("target.jsonl", 12)
    items = [
        {
            "question": f"add {NUMBERS[i % 6]} and {NUMBERS[i % 7]} :",
            "answer": i % 4,
            "choices": [NUMBERS[(i % 6 + i % 7 + k - i % 4) % 13] for k in range(4)],
            "id": i,
        }
        for i in range(40)
    ]
    (folder / "items.jsonl").write_text("".join(json.dumps(item) + "\n" for item in items))
    build_model(folder / "model")
    return folder


def specification(inputs: Path, **changes: Any) -> dict[str, Any]:
    """Return a search of three evaluations; ``changes`` replace fields of the specification."""
    return {
        "pool": {"sources": [{"name": n, "uri": str(inputs / f"{n}.jsonl")} for n in ("good", "bad")]},
        "model": {"uri": str(inputs / "model")},
        "targets": [{"name": "add", "uri": str(inputs / "target.jsonl")}],
        "signals": {"minhash": {"ngram": 3}, "languageModel": {"maxTokens": 64}},
        "search": {"minSamples": 20},
        "training": {
            "method": "full",
            "maxSteps": 4,
            "globalBatch": 8,
            "learningRate": 1e-2,
            "maxTokens": 64,
        },
        "evaluation": {
            "tasks": [{"name": "sums", "definition": "mmlu_choice", "uri": str(inputs / "items.jsonl")}],
            "batchSize": 16,
        },
        "baselines": {"untuned": False, "randomSubset": False},
        "budget": {"evaluations": 3},
        "parallelism": 2,
        **changes,
    }


@dataclass(kw_only=True)
class LocalSearch:
    """A search in a folder of its own: the document, the run folder, its processes."""

    folder: Path
    spec: dict[str, Any]
    environment: dict[str, str] = field(default_factory=dict[str, str])
    out: Path = Path()

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        if self.out == Path():
            self.out = self.folder / "run"
        self.write()

    @property
    def document(self) -> Path:
        """The search's YAML file."""
        return self.folder / "search.yaml"

    def write(self, **changes: Any) -> None:
        """Write the document whole, as editors do, with changed fields of the specification."""
        self.spec = {**self.spec, **changes}
        content = {
            "apiVersion": "autosel.dev/v1alpha1",
            "kind": "RecipeSearch",
            "metadata": {"name": "tiny"},
            "spec": self.spec,
        }
        self.write_text(yaml.safe_dump(content))

    def write_text(self, text: str) -> None:
        """Replace the document by any text."""
        temporary = self.document.with_suffix(".tmp")
        temporary.write_text(text)
        temporary.replace(self.document)

    def start(self) -> "subprocess.Popen[str]":
        """Start ``autosel run`` as the leader of a process group of its own."""
        environment = {
            **os.environ,
            "PYTHONPATH": str(REPOSITORY),
            "OMP_NUM_THREADS": "1",
            **self.environment,
        }
        command = [
            sys.executable,
            "-m",
            "autosel_runtime.cli",
            "run",
            str(self.document),
            "--out",
            str(self.out),
        ]
        return subprocess.Popen(
            command,
            env=environment,
            cwd=self.folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
            preexec_fn=_die_with_the_tests,
        )

    def run(self) -> "Ended":
        """Run to the end."""
        return finish(self.start())

    def json(self, name: str) -> Any:
        """Read a JSON file of the run folder."""
        return json.loads((self.out / name).read_text())

    def attempts(self) -> dict[str, dict[str, Any]]:
        """Return all attempts that have an outcome, set aside or not, by ``step/attempt``."""
        return {
            f"{path.parts[-3]}/{path.parts[-2]}": json.loads(path.read_text())
            for path in sorted(self.out.glob("steps/*/*/outcome.json"))
        }

    def finished_times(self) -> dict[str, int]:
        """Return how often each step ended with success."""
        times: dict[str, int] = {}
        for name, outcome in self.attempts().items():
            step = name.split("/")[0]
            times[step] = times.get(step, 0) + (outcome["exit_code"] == 0)
        return times

    def running(self) -> dict[str, int]:
        """Return the process ids of the attempts that run, by ``step/attempt``."""
        found = {f"{p.parts[-2]}/{p.parts[-1]}": holder(p) for p in self.out.glob("steps/*/*") if p.is_dir()}
        return {name: pid for name, pid in found.items() if pid}

    def result(self) -> dict[str, Any]:
        """Return what must not depend on how often a search was disturbed."""
        status = self.json("status.json")
        trials = {path.stem: json.loads(path.read_text()) for path in sorted(self.out.glob("trials/*.json"))}
        report = self.json("report.json")
        return {
            "trials": trials,
            "status": {name: value for name, value in status.items() if name != "accelerator_seconds"},
            "scores": {row["name"]: (row["state"], row["score"], row["tasks"]) for row in report["trials"]},
            "gains": report["gains"],
        }


def _die_with_the_tests() -> None:
    """Ask the kernel to kill this process when the tests are killed, so that no search is left waiting."""
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)


@dataclass(frozen=True, kw_only=True)
class Ended:
    """How a command ended."""

    code: int
    out: str
    err: str


def finish(process: "subprocess.Popen[str]") -> Ended:
    """Wait for a command to end."""
    try:
        out, err = process.communicate(timeout=PATIENCE_SECONDS)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        out, err = process.communicate()
        raise AssertionError(f"the run did not end:\n{out}\n{err}") from None
    return Ended(code=process.returncode, out=out, err=err)


def wait_until(
    condition: Callable[[], Any], what: str, process: "subprocess.Popen[str] | None" = None
) -> Any:
    """Wait until ``condition`` gives something true and return it; the process must live as long."""
    end = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < end:
        found = condition()
        if found:
            return found
        if process is not None and process.poll() is not None:
            ended = finish(process)
            raise AssertionError(f"the run ended ({ended.code}) before: {what}\n{ended.out}\n{ended.err}")
        time.sleep(0.02)
    raise AssertionError(f"in vain waited for: {what}")


def same_steps(one: Mapping[str, int], other: Mapping[str, int]) -> bool:
    """Say whether two runs finished the same steps equally often; report names carry a digest of costs."""

    def plain(times: Mapping[str, int]) -> dict[str, int]:
        return {
            name.split("-")[0] if name.startswith("report-") else name: n for name, n in times.items() if n
        }

    return plain(one) == plain(other)
