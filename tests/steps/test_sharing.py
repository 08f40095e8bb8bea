"""Sharded steps: any number of shards in any order gives the bytes of one process, whatever is killed on the way."""

import contextlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from autosel_runtime.errors import ConfigError
from autosel_runtime.steps import run, sharing
from autosel_runtime.steps.sharing import Share, share_of
from autosel_runtime.store.folder import FolderStore
from autosel_runtime.store.publish import Marker
from tests.controller.local_search import REPOSITORY, specification
from tests.steps.world import UID, Ran, Steps

SIGNALS = "signals/new"
SCORES = "evaluations/new"


@pytest.fixture
def shared(ready: Steps, monkeypatch: pytest.MonkeyPatch) -> "Pods":
    return Pods(steps=ready, environment=monkeypatch)


class Pods:
    """The pods of sharded steps, one after the other in this process; each has a scratch folder of its own."""

    def __init__(self, *, steps: Steps, environment: pytest.MonkeyPatch) -> None:
        self.steps, self.environment = steps, environment
        self.started = 0

    def run(self, step: str, output: str, *, shard: tuple[int, int] | None = None, attempt: int = 1) -> Ran:
        """Run one pod, or the step in one process without ``shard``."""
        self.started += 1
        document = self.document(step, output, attempt=attempt)
        path = self.steps.folder / "document.json"
        path.write_text(json.dumps(document | {"work": str(self.steps.folder / f"scratch-{self.started}")}))
        with self.environment.context() as patch:
            if shard is not None:
                patch.setenv(sharing.INDEX_VARIABLE, str(shard[0]))
                patch.setenv(sharing.COUNT_VARIABLE, str(shard[1]))
            return self.steps.run_file(path, output)

    def run_all(self, step: str, output: str, order: list[int]) -> list[Ran]:
        """Run one pod for each shard, in the given order."""
        return [self.run(step, output, shard=(index, len(order))) for index in order]

    def document(self, step: str, output: str, attempt: int = 1) -> dict[str, Any]:
        inputs: dict[str, Any] = {"pool": self.steps.account["pool"]}
        if step == "evaluate":
            model = self.steps.spec["model"]["uri"]
            inputs = {"model": None, "base_model": model, "group": "objective", "half": "search"}
        return self.steps.document(step, output, attempt=attempt, **inputs)

    def contents(self, marker: Marker | None) -> dict[str, bytes]:
        """The files of an artifact, but for the time that an evaluation took."""
        assert marker is not None
        files = {
            name: (self.steps.folder / "store" / s.key).read_bytes() for name, s in marker.objects.items()
        }
        if "scores.json" in files:
            scores = json.loads(files["scores.json"])
            files["scores.json"] = json.dumps({**scores, "seconds": 0.0}).encode()
        return files

    def left(self, output: str) -> list[str]:
        """Keys below an output that belong to shards."""
        return [key for key in self.steps.store.list(output) if "/shards-" in key]


def shape(summary: dict[str, Any]) -> dict[str, Any]:
    """A summary without times."""
    return {key: value for key, value in summary.items() if "seconds" not in key}


def with_rows(steps: Steps, rows_per_shard: int) -> None:
    steps.spec = {**steps.spec, "signals": {**steps.spec["signals"], "rowsPerShard": rows_per_shard}}


@pytest.mark.parametrize(("step", "output"), [("score", SIGNALS), ("evaluate", SCORES)])
def test_whoever_sees_all_shards_merges(shared: Pods, step: str, output: str) -> None:
    with_rows(shared.steps, 100)
    whole = shared.run(step, f"{output}-whole")
    first, second, last = shared.run_all(step, output, [2, 0, 1])
    assert first.result == {"shard": {"index": 2, "count": 3}}
    assert second.result == {"shard": {"index": 0, "count": 3}}
    assert second.marker is None
    assert shape(last.summary) == shape(whole.summary)
    assert shared.contents(last.marker) == shared.contents(whole.marker)
    assert not shared.left(output), "nothing of the shards stays"
    assert not [
        path for path in shared.steps.folder.glob("scratch-*/**/*") if path.is_file() and step in str(path)
    ]
    again = shared.run(step, output, shard=(0, 3), attempt=2)
    assert again.summary == last.summary, "a later attempt finds the result at once"


def test_signals_of_a_model_and_of_extensions_are_shared_too(
    shared: Pods, inputs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(REPOSITORY / "examples" / "extension")
    spec = specification(inputs, search={"minSamples": 20, "extensions": ["answer_length"]})
    shared.steps.spec = {**spec, "signals": {**spec["signals"], "rowsPerShard": 100}}
    whole = shared.run("score", f"{SIGNALS}-whole")
    merged = shared.run_all("score", SIGNALS, [1, 0])[-1]
    assert {"ifd", "minhash", "answer_length.lines"} - set(merged.summary["signals"]) == {"minhash"}
    assert shared.contents(merged.marker) == shared.contents(whole.marker)


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data(), count=st.integers(2, 7), rows=st.sampled_from([100, 101, 119, 120, 200, 1000]))
def test_any_number_of_shards_in_any_order_gives_the_same_signals(
    shared: Pods, data: st.DataObject, count: int, rows: int
) -> None:
    with_rows(shared.steps, rows)
    shutil.rmtree(shared.steps.folder / "store" / SIGNALS, ignore_errors=True)
    ran = shared.run_all("score", SIGNALS, data.draw(st.permutations(range(count))))
    assert [one.code for one in ran] == [0] * count
    assert ["summary" in one.result for one in ran] == [False] * (count - 1) + [True]
    ready = shared.steps.store
    assert shared.contents(ran[-1].marker) == shared.contents(run.find(ready, "signals/x"))


@settings(max_examples=6, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data(), count=st.integers(2, 12), batch=st.sampled_from([1, 2, 3, 7, 64]))
def test_any_number_of_shards_in_any_order_gives_the_same_scores(
    shared: Pods, data: st.DataObject, count: int, batch: int
) -> None:
    shared.steps.spec["evaluation"]["batchSize"] = batch
    for output in (SCORES, f"{SCORES}-whole"):
        shutil.rmtree(shared.steps.folder / "store" / output, ignore_errors=True)
    whole = shared.run("evaluate", f"{SCORES}-whole")
    merged = shared.run_all("evaluate", SCORES, data.draw(st.permutations(range(count))))[-1]
    assert shared.contents(merged.marker) == shared.contents(whole.marker)
    assert shape(merged.summary) == shape(whole.summary)


class Killed(BaseException):
    """The process is gone."""


def killing(monkeypatch: pytest.MonkeyPatch, at: int, *, after: bool) -> Callable[[], int]:
    """Let the process die at the ``at``-th write to the store; return how to ask for the number of writes."""
    put, calls = FolderStore.put, [0]

    def deadly(self: FolderStore, key: str, source: Any, *, if_absent: bool = False) -> bool:
        calls[0] += 1
        if calls[0] == at and not after:
            raise Killed
        written = put(self, key, source, if_absent=if_absent)
        if calls[0] == at:
            raise Killed
        return written

    monkeypatch.setattr(FolderStore, "put", deadly)
    return lambda: calls[0]


@pytest.mark.parametrize("after", [False, True])
def test_killed_at_any_write_the_next_attempt_finishes(
    shared: Pods, monkeypatch: pytest.MonkeyPatch, after: bool
) -> None:
    with_rows(shared.steps, 100)
    expected = shared.contents(run.find(shared.steps.store, "signals/x"))
    scored: list[int] = []
    part = sharing.run_share

    def counted(context: Any, share: Share, step: Any, *, attempt: str) -> Any:
        def work(own: Any, own_share: Share) -> Any:
            scored.append(own_share.index)
            return step.part(own, own_share)

        return part(
            context,
            share,
            sharing.SharedStep(layout=step.layout, part=work, merge=step.merge),
            attempt=attempt,
        )

    monkeypatch.setattr(run, "run_share", counted)
    for at in range(1, 1000):
        shutil.rmtree(shared.steps.folder / "store" / SIGNALS, ignore_errors=True)
        scored.clear()
        with monkeypatch.context() as patch:
            calls = killing(patch, at, after=after)
            for index in (1, 0, 2):
                with contextlib.suppress(Killed):
                    shared.run("score", SIGNALS, shard=(index, 3))
            survived = calls() < at
        published = {key.split("/")[3] for key in shared.left(SIGNALS) if key.endswith("_SUCCESS.json")}
        before = list(scored)
        again = [shared.run("score", SIGNALS, shard=(index, 3), attempt=2) for index in (0, 1, 2)]
        assert shared.contents(again[-1].marker) == expected, at
        assert not {str(index) for index in scored[len(before) :]} & published, (
            "a finished shard was done again"
        )
        assert not shared.left(SIGNALS)
        if survived:
            assert len(before) == 3
            return
    raise AssertionError("no end in sight")


@pytest.mark.parametrize("moment", ["before reading the shards", "before publishing"])
def test_two_mergers_at_once_agree(shared: Pods, monkeypatch: pytest.MonkeyPatch, moment: str) -> None:
    with_rows(shared.steps, 100)
    expected = shared.contents(run.find(shared.steps.store, "signals/x"))
    shared.run("score", SIGNALS, shard=(0, 2))
    others: list[Ran] = []
    name = "fetch" if moment == "before reading the shards" else "publish"
    original = getattr(sharing, name)

    def overtaken(store: Any, prefix: Any, *more: Any, **options: Any) -> Any:
        if not others and (name == "fetch" or prefix == SIGNALS):
            others.append(Ran(code=0, result={}, marker=None))
            # All shards are published by now: this pod, started again elsewhere, merges, publishes and sweeps.
            others.append(shared.run("score", SIGNALS, shard=(1, 2)))
        return original(store, prefix, *more, **options)

    monkeypatch.setattr(sharing, name, overtaken)
    ran = shared.run("score", SIGNALS, shard=(1, 2))
    assert ran.summary == others[1].summary
    assert ran.marker == others[1].marker
    assert shared.contents(ran.marker) == expected
    assert not shared.left(SIGNALS)


def test_another_number_of_shards_starts_anew_and_ends_the_same(shared: Pods) -> None:
    with_rows(shared.steps, 100)
    shared.run("score", SIGNALS, shard=(0, 2))
    last = shared.run_all("score", SIGNALS, [0, 1, 2])[-1]
    assert shared.contents(last.marker) == shared.contents(run.find(shared.steps.store, "signals/x"))
    late = shared.run("score", SIGNALS, shard=(1, 2))
    assert late.summary == last.summary


def test_shards_of_other_batches_are_not_mixed(shared: Pods) -> None:
    shared.steps.spec["evaluation"]["batchSize"] = 2
    shared.run("evaluate", SCORES, shard=(0, 2))
    shared.steps.spec["evaluation"]["batchSize"] = 3
    assert "shard" in shared.run("evaluate", SCORES, shard=(1, 2)).result
    assert "summary" in shared.run("evaluate", SCORES, shard=(0, 2)).result


def test_a_shard_that_cannot_be_done_says_why_and_keeps_the_others(shared: Pods) -> None:
    shared.steps.spec["evaluation"]["batchSize"] = 2
    items = Path(shared.steps.spec["evaluation"]["tasks"][0]["uri"])
    gone = items.with_name("gone.jsonl")
    shared.run("evaluate", SCORES, shard=(0, 2))
    shared.steps.spec["evaluation"]["tasks"][0]["uri"] = str(gone)
    ran = shared.run("evaluate", SCORES, shard=(1, 2))
    assert (ran.code, "gone.jsonl" in ran.error, ran.marker) == (66, True, None)
    shared.steps.spec["evaluation"]["tasks"][0]["uri"] = str(items)
    assert "summary" in shared.run("evaluate", SCORES, shard=(1, 2), attempt=2).result


def test_a_damaged_shard_is_named(shared: Pods) -> None:
    with_rows(shared.steps, 100)
    shared.run("score", SIGNALS, shard=(0, 2))
    damaged = next(
        shared.steps.folder / "store" / key for key in shared.left(SIGNALS) if key.endswith(".npz")
    )
    damaged.chmod(0o644)
    damaged.write_bytes(b"x" * damaged.stat().st_size)
    ran = shared.run("score", SIGNALS, shard=(1, 2))
    assert (ran.code, "is damaged" in ran.error, "delete its marker" in ran.error) == (74, True, True)


def test_pods_as_processes_one_of_them_killed(shared: Pods) -> None:
    with_rows(shared.steps, 100)
    folder = shared.steps.folder

    def start(index: int) -> "subprocess.Popen[bytes]":
        path = folder / f"document-{index}.json"
        path.write_text(
            json.dumps(shared.document("score", SIGNALS) | {"work": str(folder / f"pod-{index}")})
        )
        environment = {
            **os.environ,
            "PYTHONPATH": str(REPOSITORY),
            "AUTOSEL_RESULT_FILE": str(folder / f"result-{index}.json"),
            sharing.COUNT_VARIABLE: "3",
            sharing.INDEX_VARIABLE: str(index),
        }
        program = [sys.executable, "-m", "autosel_runtime.steps", "score", "--spec", str(path)]
        return subprocess.Popen(program, env=environment, cwd=folder, stderr=subprocess.DEVNULL)

    pods = [start(index) for index in range(3)]
    time.sleep(random.Random(UID).uniform(0.5, 2.0))
    pods[1].send_signal(signal.SIGKILL)
    for pod in pods:
        pod.wait(timeout=120)
    again = start(1)
    assert [pods[0].returncode, pods[2].returncode, again.wait(timeout=120)] == [0, 0, 0]
    results = [json.loads((folder / f"result-{index}.json").read_text()) for index in range(3)]
    assert any("summary" in result for result in results)
    found = run.find(shared.steps.store, SIGNALS)
    assert shared.contents(found) == shared.contents(run.find(shared.steps.store, "signals/x"))


@pytest.mark.parametrize(
    ("step", "environ", "words"),
    [
        ("score", {"AUTOSEL_SHARDS": "3"}, "JOB_COMPLETION_INDEX is ''"),
        ("score", {"AUTOSEL_SHARDS": "3", "JOB_COMPLETION_INDEX": "3"}, "JOB_COMPLETION_INDEX is '3'"),
        ("score", {"AUTOSEL_SHARDS": "many", "JOB_COMPLETION_INDEX": "0"}, "AUTOSEL_SHARDS is 'many'"),
        ("train", {"AUTOSEL_SHARDS": "2", "JOB_COMPLETION_INDEX": "0"}, "the step is train: only score and"),
    ],
)
def test_a_share_that_makes_no_sense_is_refused(step: str, environ: dict[str, str], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        share_of(step, environ)


def test_without_a_number_of_shards_there_is_no_share() -> None:
    assert share_of("train", {"JOB_COMPLETION_INDEX": "1"}) is None
    assert share_of("score", {"AUTOSEL_SHARDS": "1"}) is None
    assert share_of("score", {"AUTOSEL_SHARDS": "2", "JOB_COMPLETION_INDEX": "1"}) == Share(index=1, count=2)
