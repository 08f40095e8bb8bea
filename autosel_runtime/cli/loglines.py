"""Log lines of a step, from a run folder or from the pods of a cluster."""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import orjson

from autosel_runtime.cli.output import note, say

if TYPE_CHECKING:
    from controller.cluster.question import Question


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """Which lines."""

    trial: str | None
    step: str | None
    follow: bool
    previous: bool
    tail: int | None


def folder_log(folder: Path, wanted: Wanted, *, as_json: bool) -> None:
    """Print the log of a step of a run folder."""
    from controller.local.logs import log_of, print_log
    from controller.local.look import look
    from controller.views.pick import pick_step

    step, others = pick_step(look(folder), trial=wanted.trial, step=wanted.step)
    path = log_of(folder, step, previous=wanted.previous)
    _tell_which(f"log of {step}: {path}", others)
    print_log(
        path,
        follow=wanted.follow,
        tail=wanted.tail,
        emit=lambda line: _line(line, step=step, pod=None, index=None, as_json=as_json),
    )


def cluster_log(question: "Question", wanted: Wanted, *, as_json: bool) -> None:
    """Print the log of a step from its pods."""
    from controller.cluster.connect import ask, connect
    from controller.cluster.logs import pods_of, print_logs
    from controller.cluster.look import look
    from controller.views.pick import pick_step

    async def do() -> None:
        async with connect(question) as cluster:
            snapshot = await look(cluster)
            step, others = pick_step(snapshot, trial=wanted.trial, step=wanted.step)
            found = await pods_of(cluster, snapshot, step, previous=wanted.previous)
            pods = ", ".join(pod["metadata"]["name"] for pod in found.pods)
            _tell_which(f"log of {step}, Job {found.attempt}: {pods}", others)

            def emit(pod: str, index: int, line: str) -> None:
                shown = index if found.several else None
                _line(line, step=step, pod=pod, index=shown, as_json=as_json)

            await print_logs(cluster, found, follow=wanted.follow, tail=wanted.tail, emit=emit, tell=note)

    ask(do())


def _tell_which(text: str, others: list[str]) -> None:
    note(text + (f" (these run too: {', '.join(others)}; choose with --trial and --step)" if others else ""))


def _line(text: str, *, step: str, pod: str | None, index: int | None, as_json: bool) -> None:
    if as_json:
        entry = {"step": step, "pod": pod, "index": index, "line": text}
        sys.stdout.buffer.write(orjson.dumps(entry) + b"\n")
        sys.stdout.flush()
    else:
        say(text if index is None else f"[{index}] {text}")
