"""The operator with many searches in a real API server: memory, calls, start, time of a pass, reaction, object sizes.

    AUTOSEL_TEST_CONTROL_PLANE=UP.sh AUTOSEL_TEST_KUBECTL=KUBECTL \
        python -m benchmarks.operator_scale --searches 20 --trials 1000 --jobs 500

``UP.sh FOLDER`` starts etcd, API server and controller manager without nodes; they end with this program.
KUBEBUILDER_ASSETS may name a folder of these programs instead (docs/testing.md).
"""

import argparse
import asyncio
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import orjson

from benchmarks.hardware import hardware
from benchmarks.operator_process import Operator, Reading, quantile
from benchmarks.operator_world import (
    NAMESPACE,
    Template,
    complete,
    populate,
    renamed_job,
    search_name,
    template,
)
from controller.kube.auth import from_kubeconfig
from controller.kube.client import Client, open_client
from controller.kube.errors import ApiError
from controller.kube.kinds import JOBS, PODS, SEARCHES, TRIALS
from controller.kube.rate import RateLimit
from controller.kube.watching import WatchHealth, changes
from tests.kube.plane import Plane, start_plane

FREELY = RateLimit(per_second=1e6, burst=1_000_000)
PATIENCE_SECONDS = 120.0


def main() -> int:
    """Run the benchmark and print its table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--searches", type=int, default=20)
    parser.add_argument("--trials", type=int, default=1000, help="of all searches together")
    parser.add_argument("--jobs", type=int, default=500, help="of all searches together")
    parser.add_argument("--idle-seconds", type=float, default=180.0, help="how long nothing happens")
    parser.add_argument("--ends", type=int, default=60, help="Jobs that end, one by one")
    parser.add_argument("--ends-per-second", type=float, default=1.0)
    parser.add_argument("--flag", action="append", default=[], help="flag for the operator: --flag=--qps=50")
    given = parser.parse_args()
    if not {"KUBEBUILDER_ASSETS", "AUTOSEL_TEST_CONTROL_PLANE"} & os.environ.keys():
        sys.stderr.write(
            "error: neither KUBEBUILDER_ASSETS nor AUTOSEL_TEST_CONTROL_PLANE says what to start\n"
        )
        return 64
    with tempfile.TemporaryDirectory() as name, _plane(Path(name) / "cluster") as plane:
        asyncio.run(_measure(plane, Path(name), given))
    return 0


@contextmanager
def _plane(folder: Path) -> Generator[Plane]:
    yield from start_plane(folder)


async def _measure(plane: Plane, folder: Path, given: argparse.Namespace) -> None:
    model = template(given.trials // given.searches, given.jobs // given.searches)
    plane.must("create", "namespace", NAMESPACE)
    async with open_client(from_kubeconfig([plane.kubeconfig]), limit=FREELY) as client:
        began = time.monotonic()
        await populate(client, model, given.searches)
        lines = [
            *hardware(["kopf", "aiohttp", "pydantic", "orjson"]),
            f"server     {_version(plane)}, on the same machine",
            f"objects    {given.searches} searches, {given.trials} trials, {given.jobs} Jobs and as many pods, "
            f"created in {time.monotonic() - began:.0f} s",
            f"operator   default settings {' '.join(given.flag)}",
        ]
        sys.stdout.write("\n".join(lines) + "\n\n")
        await _print_sizes(client)
        sys.stdout.flush()
        with Operator(kubeconfig=plane.kubeconfig, folder=folder, flags=given.flag) as operator:
            await _watch_operator(client, operator, model, given)


async def _watch_operator(
    client: Client, operator: Operator, model: Template, given: argparse.Namespace
) -> None:
    first = await asyncio.to_thread(operator.wait_for_searches, 1)
    _print("start to the first pass", f"{first:.1f} s")
    started = await asyncio.to_thread(operator.wait_for_searches, given.searches)
    at_start = operator.read()
    _print("start to the first pass of the last search", f"{started:.1f} s")
    _print("processor time until then", f"{at_start.cpu_seconds:.1f} s")
    _print("calls until then", f"{sum(at_start.calls.values()):.0f}")
    await asyncio.to_thread(operator.wait_for_quiet, passes=given.searches // 5)
    settled = operator.read()
    _print("memory after the start, peak", f"{settled.rss_mib:.0f} MiB, {settled.peak_mib:.0f} MiB")
    _print_passes("passes of the start", settled, None)

    await asyncio.sleep(given.idle_seconds)
    idle = operator.read()
    _print_window("idle", idle, settled)

    times = await _end_jobs(client, model, given)
    busy = operator.read()
    _print_window(f"busy ({given.ends_per_second:g} Jobs end a second)", busy, idle)
    _print(
        "end of a Job until its outcome is stored and it may go, median, largest",
        f"{1000 * statistics.median(times):.0f} ms, {1000 * max(times):.0f} ms ({len(times)} Jobs)",
    )
    _print("memory at the end, peak", f"{busy.rss_mib:.0f} MiB, {busy.peak_mib:.0f} MiB")
    _print("errors in the log", str(operator.log().lower().count('"level":"error"')))


async def _end_jobs(client: Client, model: Template, given: argparse.Namespace) -> list[float]:
    """End running Jobs of all searches in a fixed random order; return how long each waited for its record."""
    uids = {
        item["metadata"]["name"]: item["metadata"]["uid"]
        for item in (await client.list(SEARCHES, NAMESPACE)).items
    }
    ends = [
        (renamed_job(job, model, name, uids[name]), model.answers[job])
        for name in map(search_name, range(given.searches))
        for job in sorted(model.answers)
    ]
    random.Random(0).shuffle(ends)
    ends = ends[: given.ends]
    ended_at: dict[str, float] = {}
    seen: dict[str, float] = {}
    async with asyncio.TaskGroup() as group:
        watching = group.create_task(_note_records(client, {job for job, _ in ends}, seen))
        await asyncio.sleep(2.0)
        for job, message in ends:
            for kind, item, body in complete(job, message):
                await client.patch(kind, NAMESPACE, item, body, "status")
            ended_at[job] = time.monotonic()
            await asyncio.sleep(1.0 / given.ends_per_second)
        patience = time.monotonic() + PATIENCE_SECONDS
        while len(seen) < len(ends) and time.monotonic() < patience:
            await asyncio.sleep(0.1)
        watching.cancel()
    return [seen.get(job, patience) - moment for job, moment in ended_at.items()]


async def _note_records(client: Client, wanted: set[str], seen: dict[str, float]) -> None:
    """Note when Jobs are marked to go, which the operator does once their outcomes are stored."""
    async for change in changes(client, JOBS, NAMESPACE, {}, health=WatchHealth(), on_error=_say):
        name = change.object["metadata"]["name"]
        if name in wanted and change.object["spec"].get("ttlSecondsAfterFinished") is not None:
            seen.setdefault(name, time.monotonic())


async def _print_sizes(client: Client) -> None:
    for kind in (SEARCHES, TRIALS, JOBS, PODS):
        items = (await client.list(kind, NAMESPACE)).items
        sizes = [len(orjson.dumps(item)) for item in items]
        fields = [len(orjson.dumps(item["metadata"].get("managedFields", []))) for item in items]
        _print(
            f"{kind.plural} as JSON: median, largest, of it field management",
            f"{statistics.median(sizes) / 1024:.1f} KiB, {max(sizes) / 1024:.1f} KiB, "
            f"{statistics.median(fields) / 1024:.1f} KiB",
        )


def _print_window(name: str, now: Reading, earlier: Reading) -> None:
    seconds = now.moment - earlier.moment
    _print(f"{name}: calls a second", f"{now.calls_since(earlier):.1f} over {seconds:.0f} s")
    _print(
        f"{name}: processor", f"{100 * (now.cpu_seconds - earlier.cpu_seconds) / seconds:.1f} % of one core"
    )
    changed = {key: count - earlier.calls.get(key, 0.0) for key, count in now.calls.items()}
    told = [
        f"{key} {count:.0f}" for key, count in sorted(changed.items(), key=lambda entry: -entry[1]) if count
    ]
    _print(f"{name}: calls", ", ".join(told[:8]))
    _print_passes(f"{name}: passes", now, earlier)


def _print_passes(name: str, now: Reading, earlier: Reading | None) -> None:
    before = earlier.passes if earlier else ()
    number = now.passes[-1][1] - (before[-1][1] if before else 0.0)
    median, late = (1000 * quantile(now.passes, before, share) for share in (0.5, 0.99))
    _print(f"{name}, median, 99 %", f"{number:.0f}, {median:.0f} ms, {late:.0f} ms")


def _print(name: str, value: str) -> None:
    sys.stdout.write(f"| {name} | {value} |\n")
    sys.stdout.flush()


def _say(error: ApiError) -> None:
    sys.stderr.write(f"watch: {error}\n")


def _version(plane: Plane) -> str:
    done: subprocess.CompletedProcess[str] = plane.kubectl("version")
    return next((line for line in done.stdout.splitlines() if "Server" in line), "version unknown")


if __name__ == "__main__":
    raise SystemExit(main())
