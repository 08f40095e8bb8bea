"""autosel watch and describe against a real API server: whole searches, cut wires, ctrl-c, failures."""

import json
from pathlib import Path
from typing import Any

from controller.reconcile import StepRequest
from tests.cli.cluster_bench import Asking
from tests.controller.world import Outcome, succeed
from tests.kube.cut import Wire, kubeconfig_through, server_of
from tests.kube.kubelet import Steps
from tests.kube.operating import Bench
from tests.kube.plane import Plane, until


def test_watch_follows_a_search_over_cut_wires_to_its_end(bench: Bench, plane: Plane, tmp_path: Path) -> None:
    with Wire(target=server_of(plane)) as wire, bench.kubelet(hold=lambda job: "train" in job) as kubelet:
        (tmp_path / "wired").write_text(kubeconfig_through(plane, wire.port))
        ask = Asking(bench=bench, kubeconfig=tmp_path / "wired")
        bench.create()
        with ask.process("watch", "--json") as watch:
            watch.says('"state":"new"')
            with bench.operator():  # only now: a watch that starts late would never see a new search
                until(
                    lambda: any(
                        entry["type"] == "trial" and (entry["name"], entry["step"]) == ("t00001", "train")
                        for entry in watch.objects
                    ),
                    what="watch tells that t00001 is trained",
                )
                assert wire.cut() > 0  # only the watches are cut: nothing to tell
                wire.down = True
                wire.cut()
                watch.says("; trying again")
                kubelet.hold = lambda job: False
                bench.wait_for_end()  # while the watch hears nothing
                wire.down = False
                answer = watch.end()
    assert answer.code == 0, answer.err
    assert len(answer.err.splitlines()) == 1, "one outage is told once"
    assert answer.err.startswith("https://127.0.0.1:")
    entries = watch.objects
    assert [entry["type"] for entry in entries].count("end") == 1
    assert entries[-1] | {"time": None} == entries[-1] | {
        "time": None, "type": "end", "exit_code": 0, "state": "finished", "evaluations": 2, "limit": 2,
    }  # fmt: skip
    told = {entry["name"]: entry for entry in entries if entry["type"] == "trial"}
    scored = {item["metadata"]["name"]: item["status"]["score"] for item in bench.all("rtrial")}
    for name in ("t00001", "t00002"):
        assert told[name]["score"] == scored[f"simulated-{name}"]
        assert told[name]["state"] == "succeeded"
        assert told[name]["low"] < told[name]["score"] < told[name]["high"]
    best = max(("t00001", "t00002"), key=lambda name: told[name]["score"])
    assert entries[-1]["best"] == best


def test_watch_prints_lines_and_ctrl_c_leaves_the_search_alone(bench: Bench, ask: Asking) -> None:
    with bench.kubelet(hold=lambda job: "train" in job) as kubelet, bench.operator():
        bench.create()
        with ask.process("watch") as watch:
            watch.says("t00001             running, train")
            assert watch.interrupt() == 130
            assert watch.err.read_text().splitlines()[-1] == (
                "no longer watched; the search goes on in the cluster. "
                f"autosel watch simulated {' '.join(ask.options)} looks again"
            )
        kubelet.hold = lambda job: False
        bench.wait_for_end()
        again = ask("watch")
    assert again.code == 0, again.err
    lines = again.out.splitlines()
    assert (
        f"{bench.namespace}/simulated finished: budget of 2 evaluations; 2/2 evaluations, best" in lines[-1]
    )
    assert any("t00002             succeeded, score" in line for line in lines)
    assert "\x1b" not in again.out


def test_watch_ends_with_the_code_of_the_step_that_stopped_the_search(bench: Bench, ask: Asking) -> None:
    def broken(request: StepRequest, number: int) -> Outcome:
        return (65, "pool.jsonl has no record") if request.step == "prepare" else succeed(request)

    bench.create()
    with bench.kubelet(steps=Steps(answer=broken)), bench.operator():
        with ask.process("watch") as watch:
            answer = watch.end()
        as_json = ask("watch", "--json")
    assert answer.code == 65, answer.err
    assert answer.err.splitlines()[-1] == "error: the search failed: pool.jsonl has no record"
    assert as_json.code == 65
    described = ask("describe", "--json").json
    assert described["state"] == "failed"
    assert "mend what the message says" in described["next"]


def test_watch_tells_of_a_search_that_is_deleted(bench: Bench, ask: Asking) -> None:
    bench.create()
    with ask.process("watch") as watch:
        watch.says("the operator has not looked at it yet")
        bench.delete("rsearch", "simulated")
        answer = watch.end()
    assert answer.code == 66
    assert answer.err.splitlines()[-1] == (
        f"error: {bench.namespace}/simulated was deleted while it was watched"
    )


def names_of(step: dict[str, Any]) -> list[str]:
    """Names of a step's pods."""
    return [pod["name"] for pod in step["pods"]]


def test_describe_tells_pods_reasons_events_and_what_comes_next(bench: Bench, ask: Asking) -> None:
    new = ask("describe", "--json")
    assert (new.code, new.json["exit_code"]) == (66, 66)
    with bench.kubelet(hold=lambda job: "train" in job) as kubelet, bench.operator():
        bench.create(baselines={"untuned": True, "full_pool": False})
        until(
            lambda: [pod for pod in bench.all("pods") if "train" in pod["metadata"]["name"]], what="training"
        )
        pod = next(pod["metadata"]["name"] for pod in bench.all("pods") if "train" in pod["metadata"]["name"])
        condition = {
            "type": "PodScheduled", "status": "False", "reason": "Unschedulable",
            "message": "0/3 nodes are available: 3 Insufficient nvidia.com/gpu.",
        }  # fmt: skip
        bench.plane.must(
            "-n", bench.namespace, "patch", "pod", pod, "--subresource=status", "--type=merge",
            "-p", json.dumps({"status": {"conditions": [condition]}}),
        )  # fmt: skip

        def told() -> dict[str, Any] | None:
            found = ask("describe", "--json").json
            there = {event["object"].partition("/")[0] for event in found["events"]} >= {"RecipeTrial", "Job"}
            return found if there and any(pod in names_of(step) for step in found["steps"]) else None

        found = until(told, what="step and events are there, which operator and Job controller write later")
        text = ask("describe").out
        step = next(step for step in found["steps"] if pod in names_of(step))
        assert "Unschedulable: 0/3 nodes are available" in step["waits"]
        assert "Unschedulable: 0/3 nodes are available" in found["next"]
        assert f"pod {pod}: waits: Unschedulable" in text
        kinds = {event["object"].partition("/")[0] for event in found["events"]}
        assert {"RecipeTrial", "Job"} <= kinds <= {"RecipeSearch", "RecipeTrial", "Job", "Pod"}
        assert found["events"] == sorted(found["events"], key=lambda event: event["time"])
        assert [row["role"] for row in found["baselines"]] == ["untuned"]
        assert {entry["type"] for entry in found["conditions"]} >= {"Ready", "Reconciling", "Suspended"}
        kubelet.hold = lambda job: False
        bench.wait_for_end()
    done = ask("describe", "--json").json
    assert done["state"] == "finished"
    assert done["steps"] == []
    assert done["best"]["name"] in ("t00001", "t00002")
    assert "at random" in done["best_recipe"]
    assert done["totals"]["evaluations"] == 2
