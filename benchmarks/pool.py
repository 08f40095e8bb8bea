"""Read, canonicalise and write a pool: autosel beside plain baselines.

    python -m benchmarks.pool [--rows 90000] [--repeat 3]

The pool is synthetic: two-turn chats in OpenAI form of about 225 words, 2 % of them exact repetitions. Every row
runs in a process of its own; the best of the repetitions is shown, since other work on the machine only ever
adds time. Imports are not counted. CPU is user and system time of all threads; memory is the process's peak.
"""

import argparse
import hashlib
import json
import random
import resource
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.hardware import hardware


def write_chats(path: Path, rows: int) -> None:
    """Write ``rows`` synthetic chats."""
    draw = random.Random(42)
    words = ["".join(draw.choices("abcdefghijklmnopqrstuvwxyz", k=draw.randint(2, 9))) for _ in range(20_000)]
    recent: list[bytes] = []
    with path.open("wb") as stream:
        for row in range(rows):
            if recent and row % 50 == 0:
                stream.write(draw.choice(recent))
                continue
            question = " ".join(draw.choices(words, k=draw.randint(20, 90)))
            answer = " ".join(draw.choices(words, k=draw.randint(80, 260)))
            chat = [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]
            line = json.dumps({"messages": chat}).encode() + b"\n"
            recent = [*recent[-999:], line]
            stream.write(line)


@dataclass
class PlainMessage:
    """A message as a plain implementation would hold it."""

    role: str
    content: str
    name: str | None = None
    metadata: dict[str, Any] = field(default_factory=dict[str, Any])


@dataclass
class PlainSample:
    """A sample as a plain implementation would hold it."""

    sample_id: str
    source_name: str
    messages: list[PlainMessage]
    target: dict[str, Any]
    metadata: dict[str, Any] = field(default_factory=dict[str, Any])


def run_json_loads(source: Path, _: Path) -> None:
    """Parse every line and keep nothing."""
    with source.open(encoding="utf-8") as stream:
        for line in stream:
            json.loads(line)


def run_per_sample(source: Path, out: Path) -> None:
    """One dataclass a sample, MD5 of sorted JSON as its id, asdict and json.dumps to write."""
    samples: list[PlainSample] = []
    with source.open(encoding="utf-8") as stream:
        for line in stream:
            record = json.loads(line)
            identity = {"source_name": "chats", "messages": record["messages"]}
            text = json.dumps(identity, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
            turns = [PlainMessage(role=turn["role"], content=turn["content"]) for turn in record["messages"]]
            samples.append(
                PlainSample(
                    sample_id=hashlib.md5(text.encode()).hexdigest(),
                    source_name="chats",
                    messages=turns[:-1],
                    target={"text": turns[-1].content, "structured": {}},
                )
            )
    with (out / "pool.jsonl").open("w", encoding="utf-8") as stream:
        for sample in samples:
            stream.write(json.dumps(asdict(sample), ensure_ascii=False) + "\n")


def run_autosel(source: Path, out: Path) -> None:
    """Read, validate, identify, count words and write compressed shards."""
    from autosel_runtime.api.pool import PoolSource, PoolSpec
    from autosel_runtime.pool import build_pool

    spec = PoolSpec(sources=[PoolSource(name="chats", uri=source.name)])
    build_pool(spec, base=source.parent, out=out / "pool")


RUNS = {
    "json.loads of every line": run_json_loads,
    "plain, a dataclass a sample": run_per_sample,
    "autosel pool build": run_autosel,
}


def measure(name: str, source: Path, out: Path) -> None:
    """Run one row in this process and print wall seconds, CPU seconds and peak memory in MB."""
    if name == "autosel pool build":
        import autosel_runtime.pool  # noqa: F401  imports are not part of the time of any row
    start, cpu = time.perf_counter(), time.process_time()
    RUNS[name](source, out)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps([time.perf_counter() - start, time.process_time() - cpu, peak]))


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description="Time the building of a pool beside plain baselines.")
    parser.add_argument("--rows", type=int, default=90_000)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--run", nargs=3, metavar=("NAME", "SOURCE", "OUT"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.run:
        measure(arguments.run[0], Path(arguments.run[1]), Path(arguments.run[2]))
        return
    print("\n".join(hardware(["orjson", "pyarrow", "numpy"])))
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "chats.jsonl"
        write_chats(source, arguments.rows)
        print(
            f"pool       {arguments.rows:,} two-turn chats, {source.stat().st_size / 1e6:,.0f} MB of JSONL\n"
        )
        print(f"{'':<30}{'wall s':>9}{'CPU s':>9}{'peak MB':>9}{'samples/s':>12}")
        # The repetitions of the rows alternate, so that a busy minute of the machine hits all of them.
        results: dict[str, list[list[float]]] = {name: [] for name in RUNS}
        for _ in range(arguments.repeat):
            for name in RUNS:
                with tempfile.TemporaryDirectory(dir=folder) as out:
                    command = [sys.executable, "-m", "benchmarks.pool", "--run", name, str(source), out]
                    done = subprocess.run(
                        command, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
                    )
                    results[name].append(json.loads(done.stdout))
        for name, rows in results.items():
            wall, cpu, peak = (min(column) for column in zip(*rows, strict=True))
            print(f"{name:<30}{wall:>9.2f}{cpu:>9.2f}{peak:>9.0f}{arguments.rows / wall:>12,.0f}")


if __name__ == "__main__":
    main()
