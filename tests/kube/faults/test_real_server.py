"""Faults 1 to 4 and 18 on a real API server: a sample of the simulation's kills, lost answers and refusals."""

import asyncio
import os
import random
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from controller.kube.auth import Access, from_kubeconfig
from controller.kube.client import Client, open_client
from controller.kube.rate import RateLimit
from tests.kube.fault_proxy import Call, FaultProxy, Harm, fault_proxy
from tests.kube.faults.worlds import Dying, World, control, create, kubelet, picture
from tests.kube.plane import Plane
from tests.kube.simulation import TINY, Cluster

KINDS: tuple[str | Harm, ...] = (
    "kill_before",
    "kill_after",
    Harm(lose=True),
    Harm(drop=True),
    Harm(refuse=409),
    Harm(refuse=429, retry_after=1),
    Harm(refuse=500),
    Harm(refuse=503),
    Harm(refuse=410),
    Harm(delay=1.0, lose=True),
)
POINTS = 60 if os.environ.get("AUTOSEL_TEST_EXHAUSTIVE") else len(KINDS)


def writes_of_a_search() -> int:
    """How many calls of a search change something, from the simulation."""
    cluster = Cluster()
    cluster.create(**TINY)
    cluster.run()
    ends = len(cluster.started())  # the simulation's own: each Job's pod made and ended, the Job ended
    return sum(call.writes and call.plural != "pods" for call in cluster.api.calls) - ends - 1


@asynccontextmanager
async def clients(
    proxy: FaultProxy, plane: Plane, names: list[str]
) -> AsyncGenerator[tuple[Client, dict[str, Client]]]:
    """A client of the server itself and, by name, clients of the proxy."""
    straight = from_kubeconfig([plane.kubeconfig])
    async with open_client(straight, limit=RateLimit(per_second=2000, burst=2000)) as direct:
        opened = {
            name: open_client(
                Access(server=proxy.url), limit=RateLimit(per_second=2000, burst=2000), agent=name
            )
            for name in names
        }
        try:
            yield direct, {name: await one.__aenter__() for name, one in opened.items()}
        finally:
            for one in opened.values():
                await one.__aexit__(None, None, None)


def test_fault_01_fault_03_fault_18_a_sample_of_faults_ends_like_an_undisturbed_search(plane: Plane) -> None:
    chance = random.Random(20_260_101)
    total = writes_of_a_search()
    points = {
        f"point-{index}": (KINDS[index % len(KINDS)], int(chance.uniform(0.02, 0.9) * total))
        for index in range(POINTS)
    }
    pairs = ["pair-0", "pair-1"]
    worlds = {name: World(namespace=name) for name in ("calm", *points, *pairs)}
    written: dict[str, int] = {}

    def plan(call: Call) -> Harm | None:
        if not call.writes:
            return None
        number = written[call.agent] = written.get(call.agent, -1) + 1
        if call.agent.startswith("pair"):
            return Harm(lose=True) if number % 5 == 2 else None
        kind, at = points.get(call.agent, ("", 0))
        return kind if isinstance(kind, Harm) and number == at else None

    async def scenario(proxy: FaultProxy) -> None:
        agents = ["calm", *points, *(f"{name}{side}" for name in pairs for side in "ab")]
        async with clients(proxy, plane, agents) as (direct, proxied):
            nodes = asyncio.create_task(kubelet(direct, worlds))
            lives = [control(proxied["calm"], worlds["calm"])]
            for name, (kind, at) in points.items():
                dies = isinstance(kind, str)
                api = Dying(api=proxied[name], at=at, after=kind == "kill_after") if dies else proxied[name]
                lives.append(control(api, worlds[name]))
            for name in pairs:
                lives.append(control(proxied[f"{name}a"], worlds[name], pause=0.05))
                lives.append(control(proxied[f"{name}b"], worlds[name], pause=0.07))
            together = asyncio.gather(*lives)
            await asyncio.wait({nodes, together}, timeout=900, return_when=asyncio.FIRST_COMPLETED)
            assert together.done(), [
                (name, world.jobs_seen) for name, world in worlds.items() if not world.ended
            ]
            await together
            calm = await picture(direct, worlds["calm"])
            assert calm["conditions"]["Succeeded"] == ("True", "Finished")
            for name, world in worlds.items():
                assert await picture(direct, world) == calm, (name, points.get(name))
            nodes.cancel()

    create(plane, worlds)
    with fault_proxy(plane) as proxy:
        proxy.plan = plan
        asyncio.run(scenario(proxy))
    harmed = {call.agent for call, _ in proxy.harmed}
    for name, (kind, _) in points.items():
        assert worlds[name].deaths == (1 if isinstance(kind, str) else 0)
        assert (name in harmed) == isinstance(kind, Harm), "every fault took place"
