"""Fault 4 on a real API server: watches that are cut in the middle of a line, again and again."""

from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from tests.kube.ends import SMALL, end_of
from tests.kube.fault_proxy import Call, Harm, fault_proxy
from tests.kube.operating import Bench


@pytest.mark.parametrize("cleanly", [False, True], ids=["reset", "as-if-complete"])
def test_fault_04_watches_cut_in_mid_line_lose_nothing(
    bench: Bench, calm: dict[str, Any], tmp_path: Path, cleanly: bool
) -> None:
    """Nothing else drives the search: it is not looked at by itself. Every other watch shows no event whole."""
    cuts: Counter[str] = Counter()

    def plan(call: Call) -> Harm | None:
        # kopf, which watches searches, takes a line that ends early for a fault and ends the process.
        if not call.watch or (cleanly and call.agent != "autosel-operator"):
            return None
        cuts[call.path] += 1
        return Harm(cut_after=0 if cuts[call.path] % 2 else 12_000, cut_cleanly=cleanly)

    with fault_proxy(bench.plane) as proxy, bench.kubelet() as kubelet:
        proxy.plan = plan
        through = f"--kubeconfig={proxy.kubeconfig(tmp_path)}"
        with bench.operator("cut", through, "--resync-seconds=3600") as operator:
            bench.create(**SMALL)
            assert end_of(bench, kubelet) == calm
            assert operator.process is not None
            assert operator.process.poll() is None, operator.log()
    jobs = f"/apis/batch/v1/namespaces/{bench.namespace}/jobs"
    searches = f"/apis/autosel.dev/v1alpha1/namespaces/{bench.namespace}/recipesearches"
    assert cuts[jobs] > 3
    assert (cuts[searches] > 1) != cleanly
