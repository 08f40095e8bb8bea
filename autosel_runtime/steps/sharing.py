"""A step whose work several pods share: each publishes its shard, and whoever then sees all shards merges them.

A shard is an artifact of its own, below the step's output: ``<output>/shards-<count>-<layout>/<index>``. So a pod that
is started again finds its shard finished, and a new attempt of the step computes only the shards that are missing.

Why some pod always merges: every pod publishes the marker of its shard first and looks for the markers of all others
after that. Stores are strongly consistent (who reads a key after its writer was told that it is written finds it), so
the pod whose marker is written last finds all of them. It ends well only after it has merged. Several pods may find
them all; their merges give the same bytes, and the marker of the step's output is written once.

Nobody waits for anybody: a pod that misses a shard ends, and its account says that its shard is done.
"""

import contextlib
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from autosel_runtime.api.resources import ONLY_SHARDED, SHARDED_STEPS
from autosel_runtime.digest import digest, short
from autosel_runtime.errors import AutoselError, ConfigError, DataError
from autosel_runtime.steps.context import DamagedError, StepContext, StepOutput
from autosel_runtime.store.publish import Marker, fetch, find, publish, sweep

# Set by whoever starts the pods: the number of shards, and which of them is this process's (Kubernetes sets that one).
COUNT_VARIABLE = "AUTOSEL_SHARDS"
INDEX_VARIABLE = "JOB_COMPLETION_INDEX"


@dataclass(frozen=True, kw_only=True)
class Share:
    """Shard ``index`` of ``count``."""

    index: int
    count: int


@dataclass(frozen=True, kw_only=True)
class SharedStep:
    """A step that can be shared out.

    ``layout`` is what decides which work falls to which shard, besides their number: shards of another layout are not
    mixed with these. ``part`` does one shard. ``merge`` makes the step's output of a folder with the files of all
    shards; it gives the same bytes as the step done by one process.
    """

    layout: Callable[[StepContext], Mapping[str, Any]]
    part: Callable[[StepContext, Share], StepOutput]
    merge: Callable[[StepContext, Path, Sequence[Marker]], StepOutput]


def share_of(step: str, environ: Mapping[str, str]) -> Share | None:
    """Return this process's share of the step, None when it does all of it."""
    count = environ.get(COUNT_VARIABLE, "1")
    if count == "1":
        return None
    index = environ.get(INDEX_VARIABLE, "")
    if step not in SHARDED_STEPS:
        raise ConfigError(f"{COUNT_VARIABLE} is {count}, but the step is {step}: {ONLY_SHARDED}")
    if not (count.isdecimal() and index.isdecimal() and int(index) < int(count)):
        raise ConfigError(
            f"{COUNT_VARIABLE} is {count!r} and {INDEX_VARIABLE} is {index!r}; the index must be 0 to the number of "
            "shards less one"
        )
    return Share(index=int(index), count=int(count))


def run_share(context: StepContext, share: Share, step: SharedStep, *, attempt: str) -> Marker | None:
    """Do a share of a step and merge if all shards are done; return the step's marker, None while some are missing."""
    document, store = context.document, context.store
    layout = short(digest(dict(step.layout(context))), 8)
    prefixes = [f"{document.output}/shards-{share.count}-{layout}/{index}" for index in range(share.count)]
    # Processes on one machine may share the scratch folder, but not what they write in it.
    own = replace(context, work=Path(document.work) / prefixes[share.index])
    own.work.mkdir(parents=True, exist_ok=True)
    try:
        if _find(own, prefixes[share.index]) is None:
            part = step.part(own, share)
            publish(
                store,
                prefixes[share.index],
                part.files,
                step=document.step,
                summary=part.summary,
                attempt=attempt,
            )
        parts = _all_of(own, prefixes)
        marker = find(store, document.output) if parts is None else _merge(own, step, parts, attempt)
    except AutoselError:
        # Once the output exists, shards are swept: whoever still works on them may miss what it was just reading.
        marker = find(store, document.output)
        if marker is None:
            raise
    if marker is not None:
        sweep_shards(context)
    shutil.rmtree(own.work, ignore_errors=True)
    return marker


def sweep_shards(context: StepContext) -> None:
    """Delete the shards of a finished step, which nobody needs any more."""
    # Leftovers only cost space; a store that is down must not fail a finished step.
    with contextlib.suppress(AutoselError):
        sweep(context.store, context.document.output)


def _all_of(context: StepContext, prefixes: Sequence[str]) -> list[Marker] | None:
    """Return the markers of all shards, None when one is missing."""
    markers: list[Marker] = []
    for prefix in prefixes:
        marker = _find(context, prefix)
        if marker is None:
            return None
        markers.append(marker)
    return markers


def _merge(context: StepContext, step: SharedStep, parts: Sequence[Marker], attempt: str) -> Marker:
    folder = context.work / "parts"
    for part in parts:
        try:
            fetch(context.store, part, folder)
        except DataError as error:
            raise DamagedError(str(error)) from error
    output = step.merge(replace(context, work=context.work / "merged"), folder, parts)
    document = context.document
    return publish(
        context.store,
        document.output,
        output.files,
        step=document.step,
        summary=output.summary,
        attempt=attempt,
    )


def _find(context: StepContext, prefix: str) -> Marker | None:
    try:
        return find(context.store, prefix)
    except DataError as error:
        raise DamagedError(str(error)) from error


def total(parts: Sequence[Marker], name: str) -> float:
    """Return the sum of a number over the accounts of all shards."""
    return sum(float(part.summary[name]) for part in parts)
