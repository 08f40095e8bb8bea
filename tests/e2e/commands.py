"""The command line against the cluster: what people ask about a search, answered from a real node."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from typing import Any

from tests.e2e.checks import demand
from tests.e2e.cluster import Search, until
from tests.e2e.world import ROOT
from tests.seaweed import ACCESS_KEY, SECRET_KEY, Seaweed

INTERRUPTED = 130
PATIENCE = 120.0


def describe_logs_and_watch(search: Search) -> None:
    """Ask about a search while a step of it runs."""
    search.until(lambda: search.pods("train"), what="a train pod that runs")
    described = json.loads(_ask(search, "describe", "--json"))
    told = (described["name"], described["namespace"], described["state"])
    demand(told == (search.name, search.namespace, "running"), f"describe --json tells {told}")
    demand(search.name in _ask(search, "describe"), "describe does not name the search")
    pod = search.pods("score", "Succeeded")[-1]["metadata"]["name"]
    lines = search.cluster.run("logs", pod, "-n", search.namespace).split("\n")
    printed = _ask(search, "logs", "--step", "score")
    missing = [line for line in lines if line.strip() not in printed]
    demand(not missing, f"logs --step score leaves out of {pod}: {missing[:3]}")
    _watch(search)


def report(search: Search, store: Seaweed, published: Mapping[str, Any]) -> None:
    """Read the report of a search that has ended: it is the one that its last step has published."""
    keys = {"AWS_ACCESS_KEY_ID": ACCESS_KEY, "AWS_SECRET_ACCESS_KEY": SECRET_KEY}
    found = json.loads(_ask(search, "report", "--json", "--endpoint", store.endpoint, **keys))
    for part in ("digests", "trials", "gains", "headline"):
        demand(found[part] == published[part], f"report --json has other {part} than the published report")


def _watch(search: Search) -> None:
    """Watch until the first lines have come, then end it as ctrl-c does: the search does not notice."""
    process = subprocess.Popen(
        _line(search, "watch", "--json"), cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        first = json.loads(process.stdout.readline() or "null")
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=PATIENCE)
    finally:
        process.kill()
    demand(isinstance(first, dict) and first.get("type"), f"watch --json began with {first}: {said[-500:]}")
    demand(process.returncode == INTERRUPTED, f"watch ended with {process.returncode}: {said[-500:]}")
    demand("no longer watched; the search goes on" in said, f"watch says on ctrl-c: {said[-500:]}")
    until(lambda: search.pods() or search.pods(phase="Pending"), what="the search goes on", seconds=PATIENCE)


def _ask(search: Search, command: str, *arguments: str, **environment: str) -> str:
    """Return what a command prints; it has to succeed."""
    done = subprocess.run(
        _line(search, command, *arguments),
        cwd=ROOT, env={**os.environ, **environment}, capture_output=True, text=True, timeout=PATIENCE,
    )  # fmt: skip
    demand(done.returncode == 0, f"autosel {command} ended with {done.returncode}: {done.stderr[-1000:]}")
    return done.stdout


def _line(search: Search, command: str, *arguments: str) -> list[str]:
    named = {"--context": search.cluster.context, "--kubeconfig": search.cluster.kubeconfig}
    cluster = [word for option, value in named.items() if value for word in (option, value)]
    where = ["--namespace", search.namespace, *cluster]
    return [sys.executable, "-m", "autosel_runtime.cli", command, search.name, *arguments, *where]
