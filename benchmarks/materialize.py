"""Execute recipes with their state vectors: autosel beside plain Python lists.

    python -m benchmarks.materialize [--rows 90000 1000000] [--threads 2] [--repeat 5] [--features] [--plain]

Recipe A  random_subset 2/3 → mona_filter 0.4 → ifd_filter 0.5 → exact deduplication
Recipe B  mona_filter 0.5 → ifd_filter 0.5 → varentropy_filter 0.5 → exact deduplication

The pool is synthetic: 5 sources, 4 benchmarks, 2 % exact repetitions, independent scores; with ``--features`` also
192 SAE features of 65,536 for every sample, which distribution_drift reads. Columns lie in files and are mapped.
Every row of a table is a process of its own. "first" is the first execution of the process, constants of the pool
included; "again" is the best of ``--repeat`` further seeds. CPU is user and system time of all threads; peak is the
process's largest resident memory, mapped pages included.

``--plain`` adds, at 90,000 rows, the shape that a first implementation has: samples as dictionaries, sorted lists,
white-space words counted around every step, and the state computed from the samples around every step ("states
10") or once at the end ("states 1"). ``--candidates N`` executes N different candidates that each retune one
step of an anchor recipe, half of them after a swap or a drop, with and without the prefix cache; "digests": with the
cache and, as in a suggestion, the digest of every subset that has the size of another one, the ids sorted before.
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
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from autosel_runtime.api.search import Recipe
from autosel_runtime.recipe import mask as masks
from autosel_runtime.recipe.catalog import recipe_digest
from autosel_runtime.recipe.execute import execute
from autosel_runtime.recipe.prefix_cache import PrefixCache
from autosel_runtime.recipe.prepared import prepare
from benchmarks.hardware import cores, hardware
from benchmarks.plain_recipes import Samples, plain_pool, plain_state, plain_step, plain_summary, plain_words
from benchmarks.recipe_pool import as_recipe, open_pool, recipe_steps, write_pool


def timed(work: Callable[[], Any]) -> tuple[Any, float, float]:
    """Return what ``work`` gives, its wall and its CPU seconds."""
    wall, cpu = time.perf_counter(), time.process_time()
    result = work()
    return result, time.perf_counter() - wall, time.process_time() - cpu


def run_autosel(folder: Path, name: str, threads: int, repeat: int) -> dict[str, Any]:
    """Execute a recipe once cold and then with other seeds."""
    columns = prepare(open_pool(folder), threads=threads)
    recipe = as_recipe(recipe_steps(name, columns.rows))
    first, wall, cpu = timed(lambda: execute(recipe, columns, seed=0))
    again = [
        timed(lambda seed=seed: execute(recipe, columns, seed=seed))[1:] for seed in range(1, repeat + 1)
    ]
    return {
        "kept": first.size,
        "digest": digest_of(masks.rows_of(first.mask, columns.rows)),
        "wall": wall,
        "cpu": cpu,
        "wall_again": min(w for w, _ in again),
        "cpu_again": min(c for _, c in again),
    }


def digest_of(rows: Any) -> str:
    """Return a short digest of chosen rows."""
    return hashlib.sha256(np.asarray(rows, dtype=np.int64).tobytes()).hexdigest()[:12]


def run_candidates(folder: Path, count: int, *, cached: bool, digests: bool) -> dict[str, Any]:
    """Execute candidates that are one edit away from an anchor, each with its state vector, and with its digest."""
    columns = prepare(open_pool(folder))
    draw = random.Random(3)
    anchor = [
        ("random_subset", {"fraction": 0.7}),
        ("mona_filter", {"fraction": 0.4}),
        ("ifd_filter", {"fraction": 0.5}),
        ("semantic_dedup", {"strategy": "exact"}),
    ]
    cache = PrefixCache() if cached else None
    execute(as_recipe(anchor), columns, seed=1, cache=cache)

    def edit() -> Recipe:
        steps = list(anchor)
        at, other = draw.sample(range(len(steps)), 2)
        kind = draw.choice(("retune", "retune", "swap", "drop"))
        if kind == "drop":
            del steps[at]
        elif kind == "swap":
            steps[at], steps[other] = steps[other], steps[at]
        at = draw.choice([i for i, (_, params) in enumerate(steps) if "fraction" in params])
        steps[at] = (steps[at][0], {"fraction": round(draw.uniform(0.2, 0.95), 6)})
        return as_recipe(steps)

    # A repeated recipe would come whole from the cache and flatter it: every candidate is another one.
    distinct: dict[str, Recipe] = {}
    while len(distinct) < count:
        recipe = edit()
        distinct[recipe_digest(recipe)] = recipe
    recipes = list(distinct.values())
    ids = [f"{draw.getrandbits(96):024x}" for _ in range(columns.rows)]
    ids[49::50] = [f"{one}~1" for one in ids[48::50]]
    digest, *once = timed(lambda: masks.subset_digester(ids))

    def candidates() -> list[int]:
        done = [execute(recipe, columns, seed=1, cache=cache) for recipe in recipes]
        return [one.size for one in done]

    def with_digests() -> list[int]:
        sizes: list[int] = []
        for recipe in recipes:
            one = execute(recipe, columns, seed=1, cache=cache)
            if one.size in sizes:
                digest(execute(recipe, columns, seed=1, cache=cache).mask)
            sizes.append(one.size)
        return sizes

    sizes, wall, cpu = timed(with_digests if digests else candidates)
    return {"kept": round(sum(sizes) / count), "wall": wall, "cpu": cpu, "sorting": once[0]}


def run_plain(folder: Path, name: str, states: int) -> dict[str, Any]:
    """Execute a recipe over lists."""
    pool = plain_pool(folder)

    def work() -> Samples:
        samples, summary = pool, plain_summary(pool)
        if states > 1:
            plain_state(samples, len(pool), summary)
        for operator, params in recipe_steps(name, len(pool)):
            plain_words(samples)
            if states > 1:
                plain_state(samples, len(pool), summary)
            samples = plain_step(samples, operator, params)
            plain_words(samples)
            if states > 1:
                plain_state(samples, len(pool), summary)
        plain_state(samples, len(pool), summary)
        return samples

    samples, wall, cpu = timed(work)
    rows = sorted(sample["id"] for sample in samples)
    return {"kept": len(rows), "digest": digest_of(rows), "wall": wall, "cpu": cpu}


def child(arguments: argparse.Namespace) -> None:
    """Run one row of a table and print it as JSON."""
    kind, folder = arguments.child, Path(arguments.folder)
    if kind == "autosel":
        line = run_autosel(folder, arguments.recipe, arguments.threads, arguments.repeat)
    elif kind == "plain":
        line = run_plain(folder, arguments.recipe, arguments.states)
    else:
        line = run_candidates(
            folder, arguments.candidates, cached=kind != "uncached", digests=kind == "digests"
        )
    line["peak"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6
    sys.stdout.write(json.dumps(line))


def spawn(kind: str, folder: Path, **options: object) -> dict[str, Any]:
    """Run ``child`` in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.materialize", "--child", kind, "--folder", str(folder)]
    for option, value in options.items():
        command += [f"--{option}", str(value)]
    return json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)


def show(label: str, line: Mapping[str, Any]) -> None:
    """Print one row of the table of executions."""
    again = (
        f"{line['wall_again'] * 1e3:10.1f} {line['cpu_again'] * 1e3:9.1f}"
        if "wall_again" in line
        else " " * 20
    )
    print(
        f"{label:44s} {line['kept']:>11,} {line['wall'] * 1e3:10.1f} {line['cpu'] * 1e3:9.1f} {again} "
        f"{line['peak']:8.0f}",
        flush=True,
    )


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description="Recipes with state vectors, autosel beside plain lists.")
    parser.add_argument("--rows", type=int, nargs="+", default=[90_000, 1_000_000])
    parser.add_argument("--threads", type=int, default=1, help="threads of pools above 10 million rows")
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--features", action="store_true", help="with SAE features, up to 1 million rows")
    parser.add_argument("--plain", action="store_true", help="with the plain implementation, at 90,000 rows")
    parser.add_argument("--candidates", type=int, default=0, help="candidates to execute at each size")
    for hidden in ("--child", "--folder", "--recipe"):
        parser.add_argument(hidden, help=argparse.SUPPRESS)
    parser.add_argument("--states", type=int, default=1, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        child(arguments)
        return
    print("\n".join(hardware(["numpy", "pydantic", "autosel"])))
    print(
        f"\n{'':44s} {'rows kept':>11s} {'first ms':>10s} {'cpu ms':>9s} {'again ms':>10s} {'cpu ms':>9s} "
        f"{'peak MB':>8s}"
    )
    speeds: list[str] = []
    for rows in arguments.rows:
        kinds = [False, True] if arguments.features and rows <= 1_000_000 else [False]
        for features in kinds:
            with tempfile.TemporaryDirectory() as name:
                folder = Path(name)
                write_pool(folder, rows, features=features)
                what = f"{rows:,}" + (", features" if features else "")
                threads = min(arguments.threads, cores()) if rows > 10_000_000 else 1
                for recipe in ("A", "B"):
                    line = spawn("autosel", folder, recipe=recipe, threads=threads, repeat=arguments.repeat)
                    show(f"{what}: {recipe}, autosel, {threads} thread" + ("s" if threads > 1 else ""), line)
                    plain_too = arguments.plain and rows == 90_000 and features == kinds[-1]
                    for states in (10, 1) if plain_too else ():
                        plain = spawn("plain", folder, recipe=recipe, states=states)
                        show(f"{what}: {recipe}, plain lists, states {states}", plain)
                        if recipe == "B" and plain["digest"] != line["digest"]:
                            raise SystemExit("autosel and the plain lists keep different rows")
                for kind in ("digests", "cached", "uncached") if arguments.candidates else ():
                    line = spawn(kind, folder, candidates=arguments.candidates)
                    speeds.append(
                        f"{what:24s} {kind:9s} {arguments.candidates * 60 / line['wall']:10,.0f} "
                        f"{arguments.candidates * 60 / line['cpu']:12,.0f} {line['peak']:8.0f}"
                    )
    if speeds:
        print(f"\n{'candidates a minute':24s} {'':9s} {'by wall':>10s} {'by CPU time':>12s} {'peak MB':>8s}")
        print("\n".join(speeds))


if __name__ == "__main__":
    main()
