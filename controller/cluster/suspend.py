"""Suspend and resume: one field of the spec, and what that means for the steps that run."""

from dataclasses import dataclass

from controller.cluster.connect import Cluster
from controller.cluster.look import look
from controller.kube.kinds import SEARCHES
from controller.views.snapshot import State, running_steps

# Marks that tools which keep a cluster like a repository leave on what they manage.
GITOPS = {
    "kustomize.toolkit.fluxcd.io/name": "Flux",
    "helm.toolkit.fluxcd.io/name": "Flux",
    "argocd.argoproj.io/instance": "Argo CD",
    "argocd.argoproj.io/tracking-id": "Argo CD",
}


@dataclass(frozen=True, kw_only=True)
class Switched:
    """What was done: ``changed`` is false when the search was so already. ``running`` are the steps that run now."""

    name: str
    namespace: str
    suspended: bool
    changed: bool
    policy: str
    state: State
    running: tuple[str, ...]
    managed_by: str | None


async def switch(cluster: Cluster, *, suspended: bool) -> Switched:
    """Set ``spec.suspend`` and nothing else; a search that is so already is left alone."""
    before = await look(cluster)
    spec = before.observed.search.spec
    changed = spec.suspend != suspended
    managed_by: str | None = None
    if changed:
        body = {"spec": {"suspend": suspended}}
        item = await cluster.client.patch(SEARCHES, cluster.namespace, cluster.name, body)
        marks = {**(item["metadata"].get("labels") or {}), **(item["metadata"].get("annotations") or {})}
        managed_by = next((tool for mark, tool in GITOPS.items() if mark in marks), None)
    return Switched(
        name=cluster.name,
        namespace=cluster.namespace,
        suspended=suspended,
        changed=changed,
        policy=spec.suspend_policy,
        state=before.state,
        running=tuple(running_steps(before)),
        managed_by=managed_by,
    )


def words(done: Switched) -> list[str]:
    """Say what happened and what follows from it, a sentence a line."""
    name = f"{done.namespace}/{done.name}"
    if not done.changed:
        lines = [
            f"{name} {'is suspended already' if done.suspended else 'is not suspended'}; nothing was changed"
        ]
    else:
        lines = [f"{name} {'suspended' if done.suspended else 'resumed'}"]
    if done.state == "finished":
        lines.append("the search has finished, so nothing runs; a raised budget would make it go on")
    elif done.suspended:
        lines.append(_running_words(done))
    elif done.changed:
        lines.append("it goes on where it stopped: what was finished is not done again")
    if done.managed_by is not None:
        lines.append(f"{done.managed_by} manages this search and may set the field back: change it there too")
    return lines


def _running_words(done: Switched) -> str:
    if not done.running:
        return "no step runs, and none is started until it is resumed"
    steps = ", ".join(done.running)
    if done.policy == "Stop":
        return f"suspendPolicy Stop: what runs is ended now and done again after it is resumed: {steps}"
    return f"suspendPolicy Drain: nothing new is started; what runs goes on to its end: {steps}"
