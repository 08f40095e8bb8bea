"""Leader election on a fake clock: one holder at a time, quick hand-over, no trust in other hosts' clocks."""

import asyncio
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from controller.kube.errors import ServerUnavailableError
from controller.kube.kinds import LEASES
from controller.kube.lease import Election, LeaseLostError
from tests.kube.fake_api import Call, FakeApi, Fault


class Clock:
    """A clock that sleepers move: the earliest wakes first."""

    def __init__(self) -> None:
        self.now = 0.0
        self.sleepers: list[tuple[float, int, asyncio.Event]] = []
        self.count = 0

    def __call__(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        event = asyncio.Event()
        self.count += 1
        self.sleepers.append((self.now + seconds, self.count, event))
        await event.wait()

    async def advance(self, seconds: float) -> None:
        end = self.now + seconds
        while True:
            for _ in range(20):
                await asyncio.sleep(0)
            due = min((s for s in self.sleepers if s[0] <= end), default=None)
            if due is None:
                self.now = end
                return
            self.sleepers.remove(due)
            self.now = max(self.now, due[0])
            due[2].set()


def candidate(api: FakeApi, clock: Clock, name: str) -> Election:
    return Election(api=api, namespace="ops", name="autosel", identity=name, clock=clock, sleep=clock.sleep)


def test_the_second_waits_until_the_first_releases() -> None:
    async def scenario() -> None:
        api, clock = FakeApi(), Clock()
        first, second = candidate(api, clock, "a"), candidate(api, clock, "b")
        await first.acquire()
        holding = asyncio.create_task(first.hold())
        waiting = asyncio.create_task(second.acquire())
        await clock.advance(120)
        assert first.held()
        assert not waiting.done()
        holding.cancel()
        await first.release()
        assert not first.held()
        await clock.advance(3)
        assert waiting.done()
        assert second.held()
        assert api.find(LEASES, "ops")[0]["spec"]["leaseTransitions"] == 1

    asyncio.run(scenario())


def test_a_silent_holder_is_replaced_after_its_duration_whatever_its_clock_says() -> None:
    async def scenario() -> None:
        api, clock = FakeApi(), Clock()
        await candidate(api, clock, "a").acquire()
        lease = api.find(LEASES, "ops")[0]
        lease["spec"]["renewTime"] = "2099-01-01T00:00:00.000000Z"
        second = candidate(api, clock, "b")
        waiting = asyncio.create_task(second.acquire())
        await clock.advance(14)
        assert not waiting.done()
        await clock.advance(4)
        assert second.held()

    asyncio.run(scenario())


def test_the_holder_stops_when_it_cannot_renew_before_others_may_take_over() -> None:
    async def scenario() -> None:
        api, clock = FakeApi(), Clock()
        first, second = candidate(api, clock, "a"), candidate(api, clock, "b")
        await first.acquire()
        holding = asyncio.create_task(first.hold())
        await clock.advance(6)
        api.fault = lambda call: ServerUnavailableError("down")
        await clock.advance(13)
        assert not first.held()
        assert isinstance(holding.exception(), LeaseLostError)
        api.fault = lambda call: None
        waiting = asyncio.create_task(second.acquire())
        await clock.advance(14)
        assert not waiting.done()
        waiting.cancel()

    asyncio.run(scenario())


def test_a_renewal_whose_answer_was_lost_is_still_a_renewal() -> None:
    async def scenario() -> None:
        def lose(call: Call) -> Fault | None:
            return "lose_answer" if call.verb == "patch" and call.number % 3 == 0 else None

        api, clock = FakeApi(fault=lose), Clock()
        first = candidate(api, clock, "a")
        await first.acquire()
        holding = asyncio.create_task(first.hold())
        await clock.advance(300)
        assert first.held()
        assert not holding.done()
        holding.cancel()

    asyncio.run(scenario())


@pytest.mark.parametrize("act", ["delete", "take"])
def test_a_lease_that_is_gone_or_taken_is_lost_at_once(act: str) -> None:
    async def scenario() -> None:
        api, clock = FakeApi(), Clock()
        first = candidate(api, clock, "a")
        await first.acquire()
        holding = asyncio.create_task(first.hold())
        await clock.advance(5)
        if act == "delete":
            await api.delete(LEASES, "ops", "autosel")
        else:
            await api.patch(LEASES, "ops", "autosel", {"spec": {"holderIdentity": "b"}})
        await clock.advance(2)
        assert isinstance(holding.exception(), LeaseLostError)
        assert not first.held()

    asyncio.run(scenario())


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 2**32))
def test_never_two_holders_whatever_fails(seed: int) -> None:
    async def scenario() -> None:
        chance = random.Random(seed)
        faults: list[Fault | None] = [None, None, None, "lose_answer", ServerUnavailableError("down")]
        api, clock = FakeApi(fault=lambda call: chance.choice(faults)), Clock()
        candidates = [candidate(api, clock, name) for name in "abc"]

        async def live(one: Election) -> None:
            while True:
                await one.acquire()
                try:
                    await one.hold()
                except LeaseLostError:
                    await clock.sleep(chance.random() * 5)

        tasks = [asyncio.create_task(live(one)) for one in candidates]
        held = 0
        for _ in range(200):
            await clock.advance(chance.random() * 3)
            holders = sum(one.held() for one in candidates)
            assert holders <= 1
            held += holders
        assert held > 50
        for task in tasks:
            task.cancel()

    asyncio.run(scenario())
