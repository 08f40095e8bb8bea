"""Faults 18 and 23 on a real API server: stopped while the server is slow, clocks that are wrong by minutes."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from controller.kube.podstate import epoch
from tests.kube.ends import SMALL, end_of
from tests.kube.fault_proxy import Call, Harm, fault_proxy
from tests.kube.operating import Bench
from tests.kube.plane import until


@pytest.mark.parametrize("seconds", [2.0, 15.0], ids=["slow", "as-good-as-dead"])
def test_fault_23_stopped_while_the_server_is_slow_the_next_operator_goes_on(
    bench: Bench, calm: dict[str, Any], tmp_path: Path, seconds: float
) -> None:
    """The longer delay outlasts the process: its last writes take effect while the next operator is at work."""
    slow = False

    def plan(call: Call) -> Harm | None:
        return Harm(delay=seconds) if slow and call.writes and call.agent == "autosel-operator" else None

    with fault_proxy(bench.plane) as proxy, bench.kubelet(hold=lambda job: "train" in job) as kubelet:
        proxy.plan = plan
        with bench.operator("first", f"--kubeconfig={proxy.kubeconfig(tmp_path)}") as first:
            bench.create(**SMALL)
            until(lambda: any("train" in job for job in bench.jobs()), what="training begins")
            slow = True
            kubelet.hold = lambda job: False
            until(lambda: proxy.harmed, what="a write is on its way")
            assert first.terminate() == 0, first.log()
        slow = False
        lease = bench.plane.get("-n", bench.namespace, "lease", "autosel-operator")
        assert lease["spec"].get("holderIdentity", "") == "", "the lease is free"
        assert "unexpected" not in first.log()
        with bench.operator("second"):
            assert end_of(bench, kubelet) == calm


def times(value: Any) -> Iterator[float]:
    """All times in an object."""
    if isinstance(value, dict):
        for entry in value.values():
            yield from times(entry)
    elif isinstance(value, list):
        for entry in value:
            yield from times(entry)
    elif isinstance(value, str) and value.startswith("20") and value.endswith("Z"):
        found = epoch(value)
        assert found is not None
        yield found


def test_fault_18_clocks_that_are_ten_minutes_wrong_decide_nothing(
    bench: Bench, calm: dict[str, Any]
) -> None:
    """One operator's clock is fast, its successor's slow: what they write down is the server's time."""
    fast, slow = bench.operator("fast"), bench.operator("slow")
    fast.program = ("-m", "tests.kube.shifted", "600")
    slow.program = ("-m", "tests.kube.shifted", "-600")
    with bench.kubelet(hold=lambda job: "train" in job) as kubelet, fast:
        bench.create(**SMALL)
        until(lambda: any("train" in job for job in bench.jobs()), what="training begins")
        with slow:
            until(lambda: "is held by fast" in slow.log(), what="the other waits")
            assert not slow.leads()
            fast.kill()
            until(slow.leads, what="the other takes over")
            kubelet.hold = lambda job: False
            assert end_of(bench, kubelet) == calm
    lease = bench.plane.get("-n", bench.namespace, "lease", "autosel-operator")
    renewed, made = epoch(lease["spec"]["renewTime"]), epoch(lease["metadata"]["creationTimestamp"])
    assert renewed is not None
    assert made is not None
    assert renewed < made - 300, "the operator's clock was wrong indeed"
    search = bench.search()
    written = [
        at
        for item in (search, *bench.all("rtrial"), *bench.all("events"))
        for at in times({key: value for key, value in item.items() if key != "metadata"})
    ]
    assert len(written) > 20
    begin = epoch(search["metadata"]["creationTimestamp"])
    assert begin is not None
    assert min(written) > begin - 60
    assert max(written) < time.time() + 300, "nothing was written by the fast clock"
