"""report, logs, suspend and resume of a search in a real API server; the store is a real S3 server."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from autosel_runtime.report.model import parse_report, report_json
from autosel_runtime.store.publish import publish
from autosel_runtime.store.s3 import S3Store
from tests.cli.cluster_bench import Asking
from tests.kube.kubelet_logs import bind, log_node
from tests.kube.operating import Bench
from tests.kube.plane import until
from tests.seaweed import ACCESS_KEY, SECRET_KEY, Seaweed, seaweed


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Seaweed]:
    with seaweed(tmp_path_factory.mktemp("seaweed")) as running:
        yield running


def test_report_from_the_store_and_from_the_cluster(
    bench: Bench, ask: Asking, server: Seaweed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bucket = server.bucket("reports")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    with bench.kubelet(hold=lambda job: "evaluate" in job) as kubelet, bench.operator():
        bench.create(storage={"uri": f"s3://{bucket}/p", "endpoint": "http://127.0.0.1:1", "pathStyle": True})
        until(lambda: any("evaluate" in job for job in bench.jobs()), what="the first evaluation")
        early = ask("report", "--json")
        assert early.code == 0
        assert "the search has not ended" in early.err
        assert parse_report(early.out).search.state == "running"
        kubelet.hold = lambda job: False
        bench.wait_for_end()

    # The store cannot be reached: what the cluster knows, and what is missing.
    poor = ask("report", "--json")
    assert poor.code == 0
    assert "the published report could not be read" in poor.err
    found = parse_report(poor.out)
    assert (found.search.state, found.search.namespace, found.pool_rows) == (
        "finished",
        bench.namespace,
        1000,
    )
    scores = {item["metadata"]["name"]: item["status"] for item in bench.all("rtrial")}
    for trial in found.trials:
        assert trial.score is not None
        assert trial.score.value == scores[f"simulated-{trial.name}"]["score"]
    [gain] = found.gains
    assert (gain.role, gain.difference.value) == ("full_pool", 0.1)
    assert {half.trial: half.overall.value for half in found.report_half if half.overall} == {
        name.removeprefix("simulated-"): status["reportScore"]
        for name, status in scores.items()
        if "reportScore" in status
    }
    assert any("could not be read" in warning for warning in found.warnings)
    text = ask("report").out
    assert "simulated  finished  2 of 2 evaluations" in text
    assert "Gain on the report half" in text

    # The same with what the report step would have published.
    step = next(record for record in bench.search()["status"]["steps"] if record["name"].endswith(".report"))
    key = step["name"].removeprefix("report-").removesuffix(".report")
    whole = found.model_copy(update={"headline": "What the report step wrote.", "warnings": ()})
    store = S3Store(bucket, "p", endpoint=server.endpoint, path_style=True,
                    access_key=ACCESS_KEY, secret_key=SECRET_KEY)  # fmt: skip
    publish(store, f"reports/{key}", {"report.json": report_json(whole).encode()}, step="report", summary={},
            attempt="a1")  # fmt: skip
    assert (
        "s3://elsewhere/q" in ask("report", "--store", "s3://elsewhere/q", "--endpoint", server.endpoint).err
    )
    denied = ask("report", "--json", "--endpoint", server.endpoint)
    assert "could not be read" in denied.err  # nobody has given credentials
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", ACCESS_KEY)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET_KEY)
    before = sorted(store.list(""))
    rich = ask("report", "--json", "--endpoint", server.endpoint, "--out", tmp_path / "page.html")
    assert (rich.code, rich.err) == (0, "")
    assert rich.out == report_json(whole)
    assert "What the report step wrote." in (tmp_path / "page.html").read_text()
    assert sorted(store.list("")) == before, "reading writes nothing"


def test_report_of_a_search_that_left_the_store_to_the_operator(
    bench: Bench, ask: Asking, server: Seaweed, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.bucket("bucket")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", ACCESS_KEY)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET_KEY)
    with bench.kubelet(), bench.operator("only", f"--storage-endpoint={server.endpoint}"):
        bench.create()
        bench.wait_for_end()
    poor = ask("report", "--json")
    assert "s3://bucket/p/reports/" in poor.err, "the operator's store is known, the report is not there"
    step = next(record for record in bench.search()["status"]["steps"] if record["name"].endswith(".report"))
    key = step["name"].removeprefix("report-").removesuffix(".report")
    whole = parse_report(poor.out).model_copy(update={"headline": "What the report step wrote."})
    store = S3Store("bucket", "p", endpoint=server.endpoint, access_key=ACCESS_KEY, secret_key=SECRET_KEY)
    publish(store, f"reports/{key}", {"report.json": report_json(whole).encode()}, step="report", summary={},
            attempt="a1")  # fmt: skip
    rich = ask("report", "--json")
    assert (rich.code, rich.err, rich.out) == (0, "", report_json(whole))
    assert "s3://bucket/p" in ask("describe").out


def test_logs_of_pods_that_run_wait_and_are_gone(bench: Bench, ask: Asking, tmp_path: Path) -> None:
    with (
        log_node(bench.plane, tmp_path / "node") as node,
        bench.kubelet(hold=lambda job: "train" in job) as kubelet,
        bench.operator(),
    ):
        bench.create(parallelism=1, baselines={"untuned": False, "full_pool": False, "random_subset": False})
        pod = until(
            lambda: next(
                (p["metadata"]["name"] for p in bench.all("pods") if "t00001-train" in p["metadata"]["name"]),
                None,
            ),
            what="the pod of t00001.train",
        )
        until(lambda: "train" in json.dumps(bench.all("rtrial")[0].get("status", {})), what="it is recorded")
        waiting = ask("logs", "--trial", "1")
        assert waiting.code == 75, waiting.err
        assert "t00001.train has no log yet: Pending" in waiting.err
        with ask.process("logs", "--follow") as follow:
            follow.says("t00001.train waits: Pending")
            node.write(bench.namespace, pod, "step 1", "step 2")
            bind(bench.plane, bench.namespace, pod)
            follow.says("step 2")
            node.break_off()  # and is taken up where it ended
            node.write(bench.namespace, pod, "step 3")
            follow.says("step 3")
            last = ask("logs", "--trial", "t00001", "--step", "train", "--tail", "1", "--json")
            assert json.loads(last.out) == {
                "step": "t00001.train", "pod": pod, "index": None, "line": "step 3"
            }  # fmt: skip
            assert f"log of t00001.train, Job 1: {pod}" in last.err
            running = {"phase": "Pending"}
            bench.plane.must("-n", bench.namespace, "patch", "pod", pod, "--subresource=status", "--type=merge",
                             "-p", json.dumps({"status": running}))  # fmt: skip
            kubelet.hold = lambda job: "t00002" in job
            until(
                lambda: bench.all("rtrial")[0].get("status", {}).get("state") == "Succeeded", what="its end"
            )
            node.ended = True
            answer = follow.end()
        assert answer.code == 0, answer.err
        assert answer.out.splitlines() == ["step 1", "step 2", "step 3"]
        assert node.streams >= 3
        wrong = ask("logs", "--trial", "t9")
        assert (wrong.code, wrong.out) == (64, "")
        assert "there is no trial 't9'; there are: t00001" in wrong.err
        assert ask("logs", "--step", "report").code == 66
        for job in bench.jobs():
            if "t00001-train" in job:
                bench.delete("job", job)
        until(lambda: pod not in [p["metadata"]["name"] for p in bench.all("pods")], what="the pod is gone")
        gone = ask("logs", "--trial", "1", "--step", "train")
    assert gone.code == 66
    assert "the pod of t00001.train (Job 1) is gone and its log with it" in gone.err
    assert "it succeeded" in gone.err


def test_suspend_and_resume_say_what_happens_and_change_one_field(bench: Bench, ask: Asking) -> None:
    with bench.kubelet(hold=lambda job: "train" in job) as kubelet, bench.operator():
        bench.create()
        until(lambda: any("train" in job for job in bench.jobs()), what="training begins")
        until(lambda: "train" in json.dumps(bench.all("rtrial")), what="it is recorded")
        before = bench.search()
        done = ask("suspend")
        assert done.code == 0, done.err
        assert done.out.splitlines()[0] == f"{bench.namespace}/simulated suspended"
        assert done.out.splitlines()[1].startswith("suspendPolicy Drain: ")
        assert ".train" in done.out
        after = bench.search()
        assert after["spec"] == {**before["spec"], "suspend": True}
        again = ask("suspend", "--json").json
        assert (again["changed"], again["suspended"]) == (False, True)
        assert bench.search()["metadata"]["generation"] == after["metadata"]["generation"]
        until(
            lambda: bench.search()["status"].get("observedGeneration") == after["metadata"]["generation"],
            what="the operator has seen the change",
        )
        described = ask("describe").out
        assert "then spec.suspend to be false: autosel resume simulated" in described
        kubelet.hold = lambda job: False
        until(lambda: bench.condition("Suspended").get("reason") == "Suspended", what="it has drained")
        bench.plane.must(
            "-n", bench.namespace, "label", "rsearch", "simulated", "argocd.argoproj.io/instance=x"
        )
        resumed = ask("resume")
        assert "it goes on where it stopped" in resumed.out
        assert "Argo CD manages this search and may set the field back" in resumed.out
        assert "is not suspended; nothing was changed" in ask("resume").out
        bench.wait_for_end()
    assert "the search has finished, so nothing runs" in ask("suspend").out
    assert len(kubelet.steps.done) == len(set(kubelet.steps.done))
