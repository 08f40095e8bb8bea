"""Memory of writing a subset's files, in a stream and at once, and of looking for benchmark questions in a pool.

    python -m benchmarks.subset_memory [--rows 50000 150000] [--overlap 1000000] [--questions 5000]

The pool is synthetic: chats of about 225 words, as in ``benchmarks.pool``. "at once" puts the training file together
in memory before it is written, as autosel did first. Every row is a process of its own; memory is its peak, and the
share of it that writing added to what the process had with the pool open.
"""

import argparse
import json
import random
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import orjson

from benchmarks.hardware import hardware
from benchmarks.pool import write_chats

WORDS = 225


def peak() -> float:
    """Return the peak of this process's memory in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6


def make_pool(folder: Path, rows: int) -> None:
    """Build the pool in a process of its own, whose memory is not what is measured."""
    from autosel_runtime.api.pool import PoolSource, PoolSpec
    from autosel_runtime.pool.build import build_pool

    write_chats(folder / "chats.jsonl", rows)
    source = PoolSource(name="chats", uri="chats.jsonl")
    build_pool(PoolSpec(sources=[source]), base=folder, out=folder / "pool")


def write(folder: Path, how: str) -> dict[str, Any]:
    """Write the whole pool as a subset."""
    from autosel_runtime.pool.pool import Pool
    from autosel_runtime.recipe import mask as masks
    from autosel_runtime.recipe.model import Execution
    from autosel_runtime.steps.subset import write_subset

    pool = Pool.open(folder / "pool")
    mask = masks.full(pool.rows)
    next(pool.samples())
    before, began = peak(), time.perf_counter()
    if how == "stream":
        write_subset(pool, Execution(mask=mask, size=pool.rows, trace=(), state={}), folder / how)
    else:
        (folder / how).mkdir()
        text = b"".join(
            orjson.dumps({"id": one.id, "messages": [message.as_dict() for message in one.messages]}) + b"\n"
            for one in pool.samples(masks.rows_of(mask, pool.rows))
        )
        (folder / how / "train.jsonl").write_bytes(text)
    size = (folder / how / "train.jsonl").stat().st_size / 1e6
    return {"seconds": time.perf_counter() - began, "peak": peak(), "added": peak() - before, "file": size}


def overlap(rows: int, questions: int) -> dict[str, Any]:
    """Look for questions in chats, every thousandth of which holds one."""
    from autosel_runtime.evaluate.overlap import POOL, Overlap, QuestionIndex
    from autosel_runtime.evaluate.task import Item

    draw = random.Random(42)
    words = ["".join(draw.choices("abcdefghijklmnopqrstuvwxyz", k=draw.randint(2, 9))) for _ in range(20_000)]
    asked = [" ".join(draw.choices(words, k=draw.randint(10, 60))) for _ in range(questions)]
    index = QuestionIndex.of(
        Item(
            task="bench",
            id=str(number),
            messages=({"role": "user", "content": f"Question: {text} Answer:"},),
            question=text,
            gold="",
        )
        for number, text in enumerate(asked)
    )
    found = Overlap(index=index)
    spent, held = 0.0, 0
    for low in range(0, rows, 1024):
        chats: list[tuple[str, list[str]]] = []
        for row in range(low, min(low + 1024, rows)):
            text = " ".join(draw.choices(words, k=WORDS))
            if row % 1000 == 0:
                text += f" {asked[held % questions]} and so on"
                held += 1
            chats.append((str(row), [text]))
        began = time.perf_counter()
        found.look(POOL, chats)
        spent += time.perf_counter() - began
    expected = min(held, questions)
    if found.counts() != {"bench": (questions, expected, 0)}:
        raise SystemExit(f"found {found.counts()}, expected {expected}")
    return {"seconds": spent, "peak": peak(), "found": expected}


def spawn(*arguments: object) -> dict[str, Any]:
    """Run a row in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.subset_memory", "--child", *map(str, arguments)]
    return json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)


def child(arguments: list[str]) -> None:
    """Do one row and print it."""
    kind, *rest = arguments
    if kind == "pool":
        make_pool(Path(rest[0]), int(rest[1]))
        line: dict[str, Any] = {}
    elif kind == "overlap":
        line = overlap(int(rest[0]), int(rest[1]))
    else:
        line = write(Path(rest[0]), kind)
    sys.stdout.write(json.dumps(line))


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description="Memory of subsets and time of overlap.")
    parser.add_argument("--rows", type=int, nargs="*", default=[50_000, 150_000])
    parser.add_argument("--overlap", type=int, default=0, help="samples to look for questions in")
    parser.add_argument("--questions", type=int, default=5_000)
    parser.add_argument("--child", nargs="+", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        child(arguments.child)
        return
    print("\n".join(hardware(["orjson", "pyarrow", "autosel"])))
    for rows in arguments.rows:
        with tempfile.TemporaryDirectory() as folder:
            spawn("pool", folder, rows)
            for how in ("at-once", "stream"):
                line = spawn(how, folder)
                print(
                    f"{rows:>10,} rows, {line['file']:6.0f} MB of text, {how:8s} {line['seconds']:6.1f} s, "
                    f"peak {line['peak']:6.0f} MB, added {line['added']:6.0f} MB",
                    flush=True,
                )
    if arguments.overlap:
        line = spawn("overlap", arguments.overlap, arguments.questions)
        print(
            f"overlap: {arguments.questions:,} questions in {arguments.overlap:,} samples: {line['seconds']:.1f} s, "
            f"peak {line['peak']:.0f} MB, {line['found']:,} found"
        )


if __name__ == "__main__":
    main()
