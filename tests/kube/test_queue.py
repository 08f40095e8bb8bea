"""The work queue: one worker a key, nothing lost, failures ever later, a clean end."""

import asyncio
import itertools
import random
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from controller.kube.queue import LONGEST_BACKOFF_SECONDS, WorkQueue, backoff_seconds


@settings(max_examples=40, deadline=None)
@given(
    keys=st.lists(st.integers(0, 4), min_size=1, max_size=40),
    workers=st.integers(1, 4),
    seed=st.integers(0, 999),
)
def test_each_key_is_handled_after_its_last_event_and_never_twice_at_once(
    keys: list[int], workers: int, seed: int
) -> None:
    chance = random.Random(seed)
    queue: WorkQueue[int] = WorkQueue(workers=workers)
    at_work: Counter[int] = Counter()
    # An event is a counter that goes up; the handler reads it, as a reconcile pass reads the world.
    told: Counter[int] = Counter()
    seen: Counter[int] = Counter()

    async def handle(key: int) -> None:
        at_work[key] += 1
        assert at_work[key] == 1
        assert sum(at_work.values()) <= workers
        read = told[key]
        for _ in range(chance.randint(0, 3)):
            await asyncio.sleep(0)
        seen[key] = max(seen[key], read)
        at_work[key] -= 1

    async def scenario() -> None:
        running = asyncio.create_task(queue.run(handle, _fail))
        for key in keys:
            told[key] += 1
            queue.add(key)
            for _ in range(chance.randint(0, 2)):
                await asyncio.sleep(0)
        while queue.depth():
            await asyncio.sleep(0)
        queue.stop()
        await running

    asyncio.run(scenario())
    assert seen == told


def _fail(key: object, error: Exception) -> None:
    raise AssertionError(f"{key}: {error}")


def test_events_of_a_waiting_key_are_one_piece_of_work() -> None:
    async def scenario() -> int:
        queue: WorkQueue[str] = WorkQueue()
        handled = 0

        async def handle(key: str) -> None:
            nonlocal handled
            handled += 1

        for _ in range(100):
            queue.add("a")
        running = asyncio.create_task(queue.run(handle, _fail))
        while queue.depth():
            await asyncio.sleep(0)
        queue.stop()
        await running
        return handled

    assert asyncio.run(scenario()) == 1


def test_failures_back_off_per_key_and_events_do_not_shorten_the_pause() -> None:
    clock = 0.0
    queue: WorkQueue[str] = WorkQueue(clock=lambda: clock, jitter=lambda: 1.0)
    times: list[float] = []
    others: list[float] = []

    async def handle(key: str) -> None:
        if key == "b":
            others.append(clock)
            return
        times.append(clock)
        if len(times) < 5:
            raise OSError("down")

    async def scenario() -> None:
        nonlocal clock
        errors: list[str] = []
        running = asyncio.create_task(queue.run(handle, lambda key, error: errors.append(key)))
        queue.add("a")
        for _ in range(40):
            for _ in range(6):
                await asyncio.sleep(0)
            clock += 0.5
            queue.add("a") if len(times) < 5 else None
            queue.add("b")
        queue.stop()
        await running
        assert errors == ["a"] * 4

    asyncio.run(scenario())
    pauses = [later - earlier for earlier, later in itertools.pairwise(times[:5])]
    assert pauses == sorted(pauses)
    assert pauses[0] >= 1.0
    assert pauses[-1] >= 8.0
    assert len(others) > 30


class BusyError(Exception):
    retry_after = 7.0


def test_requeue_after_and_retry_after_are_kept() -> None:
    clock = 0.0
    queue: WorkQueue[str] = WorkQueue(clock=lambda: clock, jitter=lambda: 0.0)
    times: list[float] = []

    async def handle(key: str) -> float | None:
        times.append(clock)
        if len(times) == 1:
            return 3.0
        if len(times) == 2:
            raise BusyError
        return None

    async def scenario() -> None:
        nonlocal clock
        running = asyncio.create_task(queue.run(handle, lambda key, error: None))
        queue.add("a")
        for _ in range(20):
            for _ in range(6):
                await asyncio.sleep(0)
            clock += 1.0
            queue._changed.set()  # the clock is ours, so the timer must be told
        queue.stop()
        await running

    asyncio.run(scenario())
    assert times == [0.0, 3.0, 10.0]


def test_stop_lets_work_finish_and_takes_nothing_new() -> None:
    async def scenario() -> list[str]:
        queue: WorkQueue[str] = WorkQueue(workers=1)
        done: list[str] = []

        async def handle(key: str) -> None:
            await asyncio.sleep(0.01)
            done.append(key)

        running = asyncio.create_task(queue.run(handle, _fail))
        queue.add("a")
        queue.add("b")
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        queue.stop()
        queue.add("c")
        await running
        return done

    assert asyncio.run(scenario()) == ["a"]


@given(failures=st.integers(1, 200), share=st.floats(0, 1))
def test_back_off_is_bounded(failures: int, share: float) -> None:
    pause = backoff_seconds(failures, share)
    assert 0.5 <= pause <= LONGEST_BACKOFF_SECONDS
    assert backoff_seconds(failures + 1, share) >= pause or pause == pytest.approx(LONGEST_BACKOFF_SECONDS)


def test_age_of_the_oldest_work_is_known() -> None:
    clock = 5.0
    queue: WorkQueue[str] = WorkQueue(clock=lambda: clock)
    assert queue.oldest_seconds() == 0.0
    queue.add("a")
    clock = 9.0
    queue.add("b")
    assert queue.oldest_seconds() == 4.0
    assert queue.depth() == 2
