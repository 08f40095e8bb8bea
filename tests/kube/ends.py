"""What two runs of the same small search have to have in common at their ends, whatever happened on the way."""

import re
from typing import Any

from tests.kube.operating import Bench, Kubelet
from tests.kube.simulation import TINY

SMALL = {**TINY, "parallelism": 1}


def plain(name: str) -> str:
    """A Job's name without the hash of its search's UID and without that of a report."""
    return re.sub(r"-report-.*", "-report", re.sub(r"^simulated-[0-9a-f]{6}-", "", name))


def end_of(bench: Bench, kubelet: Kubelet) -> dict[str, Any]:
    """Wait for the good end; return what came of the search and how often each step was really carried out."""
    status = bench.wait_for_end()["status"]
    return {
        "best": status["best"],
        "progress": status["progress"],
        "conditions": {entry["type"]: (entry["status"], entry["reason"]) for entry in status["conditions"]},
        "trials": {
            item["metadata"]["name"]: (item["spec"], item["status"]["state"], item["status"]["score"])
            for item in bench.all("rtrial")
        },
        "attempts": [
            (entry["name"], entry["attempt"] - entry.get("restarts", 0)) for entry in records(bench)
        ],
        # One entry for each time that a step was carried out, whatever the number of its Job.
        "done": sorted(re.sub("^report-.*", "report", name) for name, _ in kubelet.steps.done),
    }


def records(bench: Bench) -> list[dict[str, Any]]:
    """The recorded outcomes of the search's steps and of its trials', names without the hash of a report."""
    owners = [bench.search(), *bench.all("rtrial")]
    found = [record for owner in owners for record in owner["status"]["steps"]]
    return [{**record, "name": re.sub("^report-.*", "report", record["name"])} for record in found]
