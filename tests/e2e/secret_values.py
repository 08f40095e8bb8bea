"""No value of a Secret may stand in an object, an event or a log."""

import base64
from collections.abc import Iterator, Sequence

from tests.e2e.checks import CheckError, demand
from tests.e2e.cluster import Cluster

KINDS = "pods,jobs,configmaps,services,events,recipesearches,recipetrials,leases,deployments,replicasets"


def search_for_values(cluster: Cluster, namespaces: Sequence[str], values: Sequence[str]) -> int:
    """Read all that the namespaces hold, but for Secrets; return how many texts were searched."""
    forms = [form for value in values for form in (value, base64.b64encode(value.encode()).decode())]
    searched = 0
    for where, text in _texts(cluster, namespaces):
        searched += 1
        found = next((index for index, form in enumerate(forms) if form in text), None)
        demand(found is None, f"the value of a Secret stands in {where}")
    return searched


def _texts(cluster: Cluster, namespaces: Sequence[str]) -> Iterator[tuple[str, str]]:
    for namespace in namespaces:
        for kind in KINDS.split(","):
            yield f"{kind} of {namespace}", cluster.run("get", kind, "-n", namespace, "-o", "yaml")
        for pod in cluster.items("pods", "-n", namespace):
            name = pod["metadata"]["name"]
            try:
                yield f"the log of {name}", cluster.run("logs", name, "-n", namespace, "--all-containers")
            except CheckError:  # a pod that goes away meanwhile, or never began, has no log
                continue
