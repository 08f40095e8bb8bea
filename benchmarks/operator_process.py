"""The operator as a process that is watched from outside: memory, processor time, and what its metrics say."""

import contextlib
import os
import re
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

ROOT = Path(__file__).parents[1]
Buckets = tuple[tuple[float, float], ...]


@dataclass(frozen=True, kw_only=True)
class Reading:
    """What the process has done up to ``moment`` (monotonic seconds)."""

    moment: float
    cpu_seconds: float
    rss_mib: float
    peak_mib: float
    calls: dict[str, float]
    passes: Buckets
    searches: int

    def calls_since(self, earlier: "Reading") -> float:
        """Calls a second between two readings; watches are not counted, lease renewals are."""
        return (sum(self.calls.values()) - sum(earlier.calls.values())) / (self.moment - earlier.moment)

    def passes_since(self, earlier: "Reading") -> float:
        """Passes between two readings."""
        return self.passes[-1][1] - (earlier.passes[-1][1] if earlier.passes else 0.0)


@dataclass(kw_only=True)
class Operator:
    """``python -m controller`` with its default settings, but for the flags given."""

    kubeconfig: Path
    folder: Path
    flags: Sequence[str] = ()

    def __enter__(self) -> "Operator":
        log = (self.folder / "operator.log").open("wb")
        fixed = [
            f"--kubeconfig={self.kubeconfig}",
            "--image=step:1",
            "--storage-uri=s3://bucket/p",
            "--port=0",
        ]
        self.began = time.monotonic()
        self.process = subprocess.Popen(
            [sys.executable, "-m", "controller", *fixed, "--lease-namespace=default", *self.flags],
            cwd=ROOT,
            stdout=log,
            stderr=log,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )
        return self

    def __exit__(self, *_: object) -> None:
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(timeout=30)

    def log(self) -> str:
        """All log lines so far."""
        return (self.folder / "operator.log").read_text()

    def wait_for_searches(self, number: int, *, seconds: float = 600.0) -> float:
        """Wait until ``number`` searches have been handled; return the seconds since the process was started."""
        while time.monotonic() - self.began < seconds:
            if self.process.poll() is not None:
                raise RuntimeError(f"the operator ended: {self.log()[-2000:]}")
            # A process that ends is told apart from one that is busy at the top of the loop.
            with contextlib.suppress(OSError):
                if " leads" in self.log() and self.read().searches >= number:
                    return time.monotonic() - self.began
            time.sleep(0.2)
        raise RuntimeError(f"the operator has not handled {number} searches within {seconds:.0f} s")

    def wait_for_quiet(self, *, passes: int, seconds: float = 300.0) -> None:
        """Wait until at most ``passes`` passes are made in five seconds."""
        end = time.monotonic() + seconds
        before = self.read()
        while time.monotonic() < end:
            time.sleep(5.0)
            now = self.read()
            if now.passes_since(before) <= passes:
                return
            before = now

    def read(self) -> Reading:
        """Read the process and its metrics."""
        port = re.findall(r"served on port (\d+)", self.log())[-1]
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=60) as answer:
            families = text_string_to_metric_families(answer.read().decode())
        samples = [sample for family in families for sample in family.samples]
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        times = Path(f"/proc/{self.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return Reading(
            moment=time.monotonic(),
            cpu_seconds=(int(times[11]) + int(times[12])) / os.sysconf("SC_CLK_TCK"),
            rss_mib=_kib(status, "VmRSS") / 1024,
            peak_mib=_kib(status, "VmHWM") / 1024,
            calls={
                f"{sample.labels['verb']} {sample.labels['resource']}": sample.value
                for sample in samples
                if sample.name == "autosel_api_seconds_count"
            },
            passes=_passes(samples),
            searches=len({sample.labels["search"] for sample in samples if sample.name == "autosel_trials"}),
        )


def quantile(passes: Buckets, earlier: Buckets, share: float) -> float:
    """Return the seconds within which ``share`` of the passes between two readings ended, from their histogram."""
    before = dict(earlier)
    counts = [(edge, count - before.get(edge, 0.0)) for edge, count in passes]
    wanted, low, below = share * counts[-1][1], 0.0, 0.0
    for edge, count in counts:
        if count >= wanted and count > below:
            return low + (edge - low) * (wanted - below) / (count - below) if edge != float("inf") else low
        low, below = edge, count
    return low


def _passes(samples: Sequence[Sample]) -> Buckets:
    edges: dict[float, float] = {}
    for sample in samples:
        if sample.name == "autosel_reconcile_seconds_bucket":
            edge = float(sample.labels["le"])
            edges[edge] = edges.get(edge, 0.0) + sample.value
    return tuple(sorted(edges.items()))


def _kib(status: str, name: str) -> int:
    found = re.search(rf"^{name}:\s+(\d+) kB$", status, re.MULTILINE)
    return int(found.group(1)) if found else 0
