"""A small search in which two pods of an Indexed Job train together over gloo."""

import json

import yaml

from tests.e2e.checks import demand
from tests.e2e.cluster import Cluster, Object, Search
from tests.e2e.documents import Document
from tests.e2e.world import BUCKET, TEAM, stored_results
from tests.seaweed import Seaweed

SECONDS = 600


def train_on_two_nodes(cluster: Cluster, store: Seaweed, document: Document) -> None:
    """Run the search; demand two pods a train step, a headless Service, and a model made by two processes."""
    search = Search(cluster=cluster, namespace=TEAM, name=document["metadata"]["name"])
    cluster.run("apply", "-f", "-", text=yaml.safe_dump(document))

    def services() -> list[Object]:
        return cluster.items("services", "-n", TEAM, "-l", f"autosel.dev/search={search.name}")

    found = search.until(services, what="the Service of the train step")
    demand(all(entry["spec"]["clusterIP"] == "None" for entry in found), "the Service is not headless")
    search.wait("Succeeded", SECONDS)
    demand(not services(), "the Service is still there when nobody needs it any more")
    jobs = search.jobs("train")
    demand(jobs, "no train Job is left to look at")
    for job in jobs:
        spec, status = job["spec"], job["status"]
        demand(
            (spec["completionMode"], spec["completions"]) == ("Indexed", 2), "the Job is not of two indices"
        )
        demand(status.get("succeeded") == 2, f"not both pods succeeded: {status}")
    accounts = [key for key in stored_results(store) if "/models/" in key and key.endswith("/training.json")]
    devices = {_devices(store, key) for key in accounts}
    demand(2 in devices, f"no model was trained by two processes; processes of the models: {sorted(devices)}")


def _devices(store: Seaweed, key: str) -> int:
    return json.loads(store.client().get_object(Bucket=BUCKET, Key=key)["Body"].read())["result"]["devices"]
