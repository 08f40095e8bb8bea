"""A search in a cluster at one moment, from its own object and its trials; Jobs and pods are not asked for."""

import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from controller.cluster.connect import Cluster
from controller.cluster.find import get_search
from controller.kube import names
from controller.kube.api import Object
from controller.kube.kinds import TRIALS
from controller.kube.observe import recorded, recorded_warnings
from controller.kube.podstate import Waiting, epoch
from controller.kube.records import results_of
from controller.kube.trials import search_of, trial_of
from controller.reconcile.model import Observed, StepResult, Trial
from controller.reconcile.names import step_name
from controller.views.snapshot import Snapshot, State, view_of

UNSEEN = "the operator has not looked at it yet; is it running, and does it serve this namespace?"


async def look(cluster: Cluster) -> Snapshot:
    """Read the search and its trials."""
    search = await get_search(cluster)
    labels = names.search_labels(cluster.name, str(search["metadata"]["uid"]))
    trials = (await cluster.client.list(TRIALS, cluster.namespace, labels)).items
    return snapshot_of(search, trials, now=time.time())


def snapshot_of(search: Object, trials: Iterable[Object], *, now: float) -> Snapshot:
    """Return the search as its objects tell it."""
    uid = str(search["metadata"]["uid"])
    own = [item for item in trials if names.is_owned_by(item, uid)]
    found: list[Trial] = []
    steps: dict[str, StepResult] = results_of(recorded(search), None)
    waits: dict[str, Waiting] = _waits(recorded(search), None)
    for item in own:
        trial = trial_of(item)
        found.append(trial)
        steps |= results_of(recorded(item), trial.name)
        waits |= _waits(recorded(item), trial.name)
    observed = Observed(
        search=search_of(search),
        uid=uid,
        started_at=epoch(search["metadata"].get("creationTimestamp")) or 0.0,
        trials=tuple(sorted(found, key=lambda trial: trial.name)),
        steps=steps,
        warnings=recorded_warnings(search),
    )
    return assemble(search, observed, waits, now=now)


def assemble(search: Object, observed: Observed, waits: Mapping[str, Waiting], *, now: float) -> Snapshot:
    """Return the snapshot of what was observed; the operator's word on the state of the search counts."""
    status: Mapping[str, Any] = search.get("status") or {}
    behind = status.get("observedGeneration") != search["metadata"].get("generation")
    state = _state(search, status, behind=behind)
    stalled = condition(status, "Stalled")
    message = str((status.get("progress") or {}).get("stage") or "")
    if state == "new":
        message = UNSEEN
    elif state == "failed":
        message = str(stalled.get("message") or message)
    return Snapshot(
        name=str(search["metadata"]["name"]),
        namespace=str(search["metadata"]["namespace"]),
        observed=observed,
        view=view_of(observed, now),
        state=state,
        message=message,
        now=now,
        waits=waits,
        conditions=tuple(status.get("conditions") or ()),
        behind=behind,
        store=(status.get("store") or {}).get("uri"),
    )


def condition(status: Mapping[str, Any], kind: str) -> Mapping[str, Any]:
    """Return a condition of a status, empty when there is none."""
    found: Sequence[Mapping[str, Any]] = status.get("conditions") or ()
    return next((entry for entry in found if entry.get("type") == kind), {})


def _state(search: Object, status: Mapping[str, Any], *, behind: bool) -> State:
    if not status.get("conditions"):
        return "new"
    if not behind and condition(status, "Succeeded").get("status") == "True":
        return "finished"
    if not behind and condition(status, "Stalled").get("status") == "True":
        return "failed"
    return "suspended" if (search.get("spec") or {}).get("suspend") else "running"


def _waits(records: Iterable[Mapping[str, Any]], owner: str | None) -> dict[str, Waiting]:
    waits: dict[str, Waiting] = {}
    for record in records:
        if record["state"] == "Waiting":
            reason, message = str(record.get("reason") or "Waiting"), str(record.get("message") or "")
            name = str(record["name"]) if owner is None else step_name(owner, record["name"])
            waits[name] = Waiting(reason=reason, message=message.removeprefix(f"{reason}: "))
    return waits
