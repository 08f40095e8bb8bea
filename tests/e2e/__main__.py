"""The end to end test, inside or beside a cluster: ``python -m tests.e2e FOLDER``; tests/e2e/run.sh starts it."""

import sys
from pathlib import Path

import yaml

from tests.e2e import commands, disturbances, documents, world
from tests.e2e.checks import CheckError, Checks, demand
from tests.e2e.cluster import Cluster, Search, until
from tests.e2e.compare import MachineRun, cluster_report, same_search
from tests.e2e.secret_values import search_for_values
from tests.e2e.two_nodes import train_on_two_nodes
from tests.examples.promise import broken_promise
from tests.seaweed import ACCESS_KEY, SECRET_KEY, Seaweed, seaweed

FIRST_BUDGET = 6
LONGEST_SEARCH = 900


def main() -> int:
    """Run all checks in order; the first that fails ends the run."""
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    checks, given = Checks(), world.settings()
    document = documents.example()
    try:
        if given.cluster.context is not None:
            world.refuse_what_is_in_use(given.cluster)
    except CheckError as error:
        print(f"e2e: context {given.cluster.context}: {error}", flush=True)
        return 1
    try:
        with seaweed(folder / "storage", given.address) as store:
            _in_the_cluster(checks, given, document, store, folder)
    except Exception as error:
        print(f"e2e: failed: {error}", flush=True)
        _show(given.cluster)
        return 1
    checks.summary()
    return 0


def _in_the_cluster(
    checks: Checks,
    given: world.Settings,
    document: documents.Document,
    store: Seaweed,
    folder: Path,
) -> None:
    cluster, team = given.cluster, world.TEAM
    kinds = frozenset(world.ACCELERATORS)
    if cluster.context is not None:
        kinds = world.accelerators(cluster)
        checks.note(
            f"accelerators that steps ask for: {', '.join(sorted(kinds)) or 'none, since no node has one'}"
        )
    with checks.check("inputs in object storage"):
        world.upload(store, documents.inputs(document))
    with checks.check("helm install"):
        world.make_namespaces(cluster)
        world.install(cluster, given.image_prefix)
    remote = documents.for_cluster(
        document, bucket=world.BUCKET, endpoint=store.endpoint, namespace=team, accelerators=kinds
    )
    remote["spec"]["budget"]["evaluations"] = FIRST_BUDGET
    search = Search(cluster=cluster, namespace=team, name=document["metadata"]["name"])
    with checks.check("the search is accepted and its pool prepared"):
        cluster.run("apply", "-f", "-", text=yaml.safe_dump(remote))
        search.until(lambda: search.pods("score", "Succeeded"), what="score done")
    with checks.check("helm upgrade in the middle"):
        disturbances.upgrade(search)
    with checks.check("a step's pod deleted"):
        disturbances.delete_step_pod(search)
    with checks.check("the controller's pod deleted"):
        disturbances.delete_controller(search)
    with checks.check("a step out of memory"):
        disturbances.out_of_memory(search)
    with checks.check("suspend and resume"):
        disturbances.suspend_and_resume(search)
    with checks.check("autosel describe, logs and watch"):
        commands.describe_logs_and_watch(search)
    # While the storage is away the cluster has little to do: time for the same search on this machine.
    machine = MachineRun(document=document, folder=folder)
    with checks.check("object storage away for a minute"):
        disturbances.storage_outage(search, store, machine.run)
    with checks.check("kubectl wait --for=condition=Succeeded"):
        search.wait("Succeeded", LONGEST_SEARCH)
    with checks.check("budget raised"):
        evaluations = document["spec"]["budget"]["evaluations"]
        earlier = disturbances.raise_budget(search, evaluations, LONGEST_SEARCH)
    with checks.check("no trial failed and no step ran twice"):
        disturbances.nothing_failed_and_nothing_ran_twice(search)
    with checks.check(
        "same trials, subsets and scores as on one machine, which had the whole budget at once"
    ):
        reported = cluster_report(store, world.BUCKET, search.name)
        same_search(reported, machine.report(), only_ours={earlier})
    with checks.check("autosel report --json"):
        commands.report(search, store, reported)
    with checks.check("the quickstart's promise: its recipe beats full pool and random subset"):
        broken = broken_promise(reported)
        demand(broken is None, broken or "")
    with checks.check("train on two nodes"):
        train_on_two_nodes(cluster, store, documents.for_two_nodes(remote))
    with checks.check("no value of a Secret in objects, events or logs"):
        searched = search_for_values(cluster, (team, world.SYSTEM), (ACCESS_KEY, SECRET_KEY))
        demand(searched > 20, f"only {searched} texts were there to search")
    with checks.check("helm uninstall keeps results and leaves nothing that runs"):
        _uninstall(cluster, search, store)
    if cluster.context is not None:
        with checks.check("the cluster is as it was"):
            world.clean_up(cluster)


def _uninstall(cluster: Cluster, search: Search, store: Seaweed) -> None:
    before, trials = world.stored_results(store), len(search.trials())
    cluster.helm("uninstall", "autosel", "--namespace", world.SYSTEM, "--wait")
    until(
        lambda: not cluster.items("pods", "-n", world.SYSTEM), what="the controller's pod is gone", seconds=90
    )
    pods = [*search.pods(), *search.pods(phase="Pending")]
    demand(not pods, f"pods still run: {[pod['metadata']['name'] for pod in pods]}")
    demand(search.evaluations() and len(search.trials()) == trials, "the search or its trials are gone")
    demand(world.stored_results(store) == before, "results in the bucket changed")


def _show(cluster: Cluster) -> None:
    for arguments in (
        ("get", "recipesearches,recipetrials,jobs,pods", "-A"),
        ("get", "events", "-n", world.TEAM, "--sort-by=.lastTimestamp"),
        ("get", "recipesearches", "-n", world.TEAM, "-o", "yaml"),
        ("logs", "deployment/autosel", "-n", world.SYSTEM, "--tail=60"),
    ):
        try:
            print(cluster.run(*arguments)[-12_000:], flush=True)
        except Exception as error:
            print(f"e2e: {error}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
