"""What people see of a running search: aligned lines in a pipe, one live line that never wraps on a terminal."""

import fcntl
import io
import os
import pty
import re
import struct
import termios
from dataclasses import replace
from pathlib import Path

import pytest

from controller.local.display import Display
from controller.local.words import short_seconds, shown_name, time_left_words
from controller.reconcile import StepResult
from controller.reconcile.model import Cause
from tests.controller.test_reconcile import failing
from tests.controller.world import World, search


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("setup.prepare", ("search", "prepare")),
        ("setup.score", ("search", "score")),
        ("suggest-00003.suggest", ("t00003", "suggest")),
        ("choose-00005.suggest", ("search", "choose")),
        ("report-3656adbdc943d1168555cc75.report", ("search", "report")),
        ("t00001.train", ("t00001", "train")),
        ("random-subset-366.evaluate-report", ("random-subset-366", "evaluate-report")),
    ],
)
def test_names_say_a_thing_once(name: str, shown: tuple[str, str]) -> None:
    assert shown_name(name) == shown


def watch(world: World, display: Display) -> None:
    """Run a world to its end before the display's eyes."""
    for _ in range(1000):
        plan = world.plan()
        display.show(world.observe(), plan)
        if plan.state.finished or plan.state.stalled:
            display.close()
            return
        world.act(plan)
        world.finish_one()
        if not any(step.state == "running" for step in world.steps.values()):
            world.now += plan.requeue_after or 1.0
    raise AssertionError("no end")


def test_lines_in_a_pipe_are_aligned_and_without_control_characters() -> None:
    stream = io.StringIO()
    world = World(document=search(), answer=failing("train", 75, "store is down", trials={"t00002"}, times=1))
    watch(world, Display(folder=Path(), stream=stream))
    text = stream.getvalue()
    assert not re.search(r"[\x00-\x09\x0b-\x1f]", text)
    lines = text.splitlines()
    assert all(re.match(r"\d\d:\d\d:\d\d  \S", line) for line in lines)
    events = [line for line in lines if re.match(r".{10}\S+ +(new|train|evaluate\S*|choose|report) ", line)]
    assert len(events) > 15
    assert {line[28] for line in events} == {" "}
    assert {line[29] != " " for line in events} == {True}
    assert sum("t00002" in line and "failed (attempt 1): store is down" in line for line in lines) == 1
    assert not [line for line in lines if ".suggest" in line or "materialize" in line]
    assert len(lines) == len({line[10:] for line in lines}), "nothing is said twice"


def test_a_run_that_goes_on_does_not_repeat_what_was_told() -> None:
    world = World(document=search())
    watch(world, Display(folder=Path(), stream=io.StringIO()))
    stream = io.StringIO()
    Display(folder=Path(), stream=stream).show(world.observe(), world.plan())
    assert len(stream.getvalue().splitlines()) == 2
    assert "going on: " in stream.getvalue()


def test_the_live_line_never_wraps_and_is_written_in_one_piece() -> None:
    reader, writer = pty.openpty()
    fcntl.ioctl(writer, termios.TIOCSWINSZ, struct.pack("HHHH", 30, 60, 0, 0))
    written: list[str] = []

    class Terminal(io.TextIOWrapper):
        def write(self, text: str) -> int:
            written.append(text)
            return super().write(text)

    with Terminal(io.FileIO(os.dup(writer), "w")) as stream:
        world = World(document=search(parallelism=4))
        display = Display(folder=Path(), stream=stream)
        for _ in range(12):
            world.act(world.plan())
            display._live_at = 0.0  # a person would wait half a second
            display.show(world.observe(), world.plan())
            world.finish_one()
            os.read(reader, 1 << 16)
        display.close()
    live = [text for text in written if text.startswith("\r") and not text.endswith("\n")]
    assert len(live) > 5
    assert all(re.fullmatch(r"\r[^\r\n\x1b]{0,59}\x1b\[K", text) for text in live)
    assert any("evaluations" in text and "train" in text for text in live)
    os.close(reader)
    os.close(writer)


def test_time_left_comes_from_finished_trials_and_is_the_same_after_a_pause() -> None:
    world = World(document=search(parallelism=1, budget={"evaluations": 10}))
    while world.plan().state.evaluations < 4:
        world.act(world.plan())
        world.finish_one()
    minute = 60.0
    for name, step in world.steps.items():
        length = {"suggest": 0.0, "materialize": 0.0, "train": 8 * minute, "evaluate": 2 * minute}.get(
            name.split(".")[1], 0.0
        )
        world.steps[name] = replace(step, started_at=1000.0, finished_at=1000.0 + length)
    observed = world.observe()
    assert (
        time_left_words(observed, 4, 2000.0) == time_left_words(observed, 4, 9e9) == "about 1 h 00 min left"
    )
    four = replace(observed, search=search(parallelism=4, budget={"evaluations": 12}))
    assert time_left_words(four, 4, 2000.0) == "about 20 min 00 s left"
    assert time_left_words(observed, 10, 2000.0) == ""
    cached = {n: replace(s, summary={**s.summary, "cached": True}) for n, s in observed.steps.items()}
    assert time_left_words(replace(observed, steps=cached), 4, 2000.0) == ""
    assert time_left_words(replace(observed, steps={}), 0, 2000.0) == ""


def test_a_step_that_runs_shortens_the_time_left() -> None:
    world = World(document=search(parallelism=1))
    while world.plan().state.evaluations < 1:
        world.act(world.plan())
        world.finish_one()
    steps = {
        n: replace(s, started_at=0.0, finished_at=100.0 if "." in n else 0.0) for n, s in world.steps.items()
    }
    observed = replace(world.observe(), steps=steps)
    before = time_left_words(observed, 1, 50.0)
    running = {**steps, "t00002.train": StepResult(attempt=1, state="running", started_at=0.0)}
    first = next(trial for trial in observed.trials if trial.name == "t00001")
    trials = (*observed.trials, replace(first, name="t00002", ordinal=2))
    after = time_left_words(replace(observed, steps=running, trials=trials), 1, 50.0)
    # Four trials of 400 s are left, one of them 50 s old.
    assert (before, after) == ("about 26 min 40 s left", "about 25 min 50 s left")


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(-1.0, "0.0 s"), (0.04, "0.0 s"), (9.94, "9.9 s"), (9.96, "10 s"), (61.0, "1 min 01 s")],
)
def test_short_times_have_a_tenth(seconds: float, text: str) -> None:
    assert short_seconds(seconds) == text


def test_a_failure_that_sounds_like_the_one_that_stops_the_search_is_told_all_the_same() -> None:
    broken = failing("train", 73, "the disk is full", trials={"full-pool"})
    world = World(document=search(), answer=broken)
    plan = world.run()
    assert plan.state.cause == Cause(step="full-pool.train")
    seen = world.observe()
    both = replace(seen, steps={**seen.steps, "t00001.train": seen.steps["full-pool.train"]})
    stream = io.StringIO()
    Display(folder=Path(), stream=stream).show(both, plan)
    told = [line for line in stream.getvalue().splitlines() if "the disk is full" in line]
    assert len(told) == 1, "the other one is the run's error"
    assert "t00001" in told[0]
