"""The report of a search in a cluster: the one that its report step published, else one of what the cluster knows.

The published report lies in the search's store and is read with the credentials of whoever asks. Where the store
cannot be reached, or the search has not ended, the report is built from the search and its trials; what is missing
then is said.
"""

import os
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from autosel_runtime.api.resources import StorageSpec
from autosel_runtime.errors import AutoselError, DataError, NoInputError
from autosel_runtime.report.build import build_report
from autosel_runtime.report.headline import headline
from autosel_runtime.report.inputs import Chosen, ReportInputs
from autosel_runtime.report.model import Estimate, Gain, HalfScores, Report, parse_report
from autosel_runtime.report.scores import normal_estimate
from autosel_runtime.steps.report import WHY, progress_of, trial_input
from autosel_runtime.store.publish import fetch, find
from autosel_runtime.store.reading import open_to_read
from controller.cluster.connect import Cluster
from controller.cluster.find import get_search
from controller.cluster.look import snapshot_of
from controller.kube import names
from controller.kube.api import Object
from controller.kube.kinds import TRIALS
from controller.kube.observe import recorded
from controller.kube.records import summary_of
from controller.local.report import progress
from controller.reconcile.finish import trial_row
from controller.views.snapshot import Snapshot, trial_views

REPORT_FILE = "report.json"


@dataclass(frozen=True, kw_only=True)
class Records:
    """What the cluster knows of a search. ``published`` is the prefix of its report once the report step is done,
    ``account`` that step's own account, ``storage`` the store, None when neither the search nor its status names it."""

    snapshot: Snapshot
    storage: StorageSpec | None
    published: str | None
    account: Mapping[str, Any]


async def read_records(cluster: Cluster) -> Records:
    """Read the search, its trials, and where its report lies."""
    search = await get_search(cluster)
    labels = names.search_labels(cluster.name, str(search["metadata"]["uid"]))
    trials = (await cluster.client.list(TRIALS, cluster.namespace, labels)).items
    snapshot = snapshot_of(search, trials, now=time.time())
    spec = snapshot.observed.search.spec
    record = next(
        (
            record
            for record in recorded(search)
            if str(record["name"]).endswith(".report") and record["state"] == "Succeeded"
        ),
        None,
    )
    owner = "" if record is None else str(record["name"]).partition(".")[0]
    # A raised budget makes the old report one of an earlier state.
    finished = snapshot.state == "finished" and record is not None
    return Records(
        snapshot=snapshot,
        storage=spec.storage if spec.storage.uri is not None else _default_store(search),
        published=f"reports/{owner.removeprefix('report-')}" if finished else None,
        account=summary_of(record) if finished and record is not None else {},
    )


def _default_store(search: Object) -> StorageSpec | None:
    """Return the operator's store, as it wrote it into the status; None where an earlier version has not."""
    written: Mapping[str, Any] | None = (search.get("status") or {}).get("store")
    try:
        return None if written is None else StorageSpec.model_validate(written)
    except ValidationError as error:
        raise DataError(f"status.store of the search is damaged: {error.errors()[0]['msg']}") from error


def report_of(records: Records, *, store: str | None, endpoint: str | None) -> tuple[Report, tuple[str, ...]]:
    """Return the report and what is to be known of it. ``store`` and ``endpoint`` say where the store is from here."""
    if records.published is None:
        note = f"the search has not ended ({records.snapshot.message}): the report has what the cluster knows so far"
        return _from_records(records), (note,)
    try:
        return _published(records, store=store, endpoint=endpoint), ()
    except AutoselError as error:
        why = " ".join(str(error).split())
        missing = "scores by task and item of the report half, histograms and sources of the subset"
        note = f"the published report could not be read ({why}); missing here: {missing}"
        return _from_records(records, note), (note,)


def _published(records: Records, *, store: str | None, endpoint: str | None) -> Report:
    storage, prefix = records.storage or StorageSpec(), records.published
    given = {"uri": store, "endpoint": endpoint}
    storage = storage.model_copy(update={key: value for key, value in given.items() if value is not None})
    if storage.uri is None or prefix is None:
        raise NoInputError("neither the search nor its status names a store: give --store")
    opened = open_to_read(storage, environ=os.environ)
    marker = find(opened, prefix)
    if marker is None:
        raise NoInputError(f"{opened.uri}/{prefix} is not there")
    with tempfile.TemporaryDirectory() as folder:
        text = (fetch(opened, marker, Path(folder), [REPORT_FILE]) / REPORT_FILE).read_bytes()
    try:
        return parse_report(text)
    except ValidationError as error:
        raise DataError(
            f"{opened.uri}/{prefix} was written by another version of autosel: {error.errors()[0]['msg']}"
        ) from error


def _from_records(records: Records, *warnings: str) -> Report:
    """Build the report of trials and scores; the report half from the recorded means, without its items."""
    snapshot = records.snapshot
    search = snapshot.observed.search
    views = trial_views(snapshot)
    chosen = next((view.trial.name for view in views if view.trial.name == snapshot.view.state.best), None)
    finished, failed = snapshot.state == "finished", snapshot.state == "failed"
    report = build_report(
        search,
        ReportInputs(
            progress=progress_of(progress(snapshot.observed, finished, failed, snapshot.message)),
            trials=tuple(
                trial_input(trial_row(view, snapshot.observed.steps), index)
                for index, view in enumerate(views)
            ),
            chosen=Chosen(trial=chosen, why=WHY) if finished and chosen is not None else None,
            warnings=(*snapshot.view.state.warnings, *warnings),
        ),
    )
    rows = (snapshot.view.prepared.account if snapshot.view.prepared else {}).get("rows")
    pool_rows = rows if isinstance(rows, int) and rows > 0 else None
    trials = tuple(
        trial.model_copy(update={"retain": trial.size / pool_rows}) if trial.size and pool_rows else trial
        for trial in report.trials
    )
    halves = _halves(snapshot, chosen) if finished else ()
    gains = _gains(snapshot, records.account)
    best = next((trial for trial in trials if trial.name == chosen), None)
    return report.model_copy(
        update={
            "trials": trials,
            "pool_rows": pool_rows,
            "report_half": halves,
            "gains": gains,
            "headline": headline(report.search, report.budget, best, gains, halves),
        }
    )


def _halves(snapshot: Snapshot, chosen: str | None) -> tuple[HalfScores, ...]:
    """Return the overall scores on the report half, as the steps told them."""
    confidence = snapshot.observed.search.spec.evaluation.confidence
    found: list[HalfScores] = []
    for view in sorted(trial_views(snapshot), key=lambda view: view.trial.name != chosen):
        step = snapshot.observed.steps.get(f"{view.trial.name}.evaluate-report")
        objective = None if step is None else step.summary.get("objective")
        if objective and (view.trial.role != "search" or view.trial.name == chosen):
            overall = normal_estimate(objective["mean"], objective.get("stderr"), confidence)
            found.append(HalfScores(trial=view.trial.name, role=view.trial.role, overall=overall, tasks={}))
    return tuple(found)


def _gains(snapshot: Snapshot, account: Mapping[str, Any]) -> tuple[Gain, ...]:
    """Return the gains as the report step told them."""
    by_role = {view.trial.role: view.trial.name for view in trial_views(snapshot)}
    gains: list[Gain] = []
    for role, told in (account.get("gain") or {}).items():
        low, high = told.get("low"), told.get("high")
        if role in by_role:
            gains.append(
                Gain(
                    baseline=by_role[role],
                    role=role,
                    difference=Estimate(value=told["mean"], low=low, high=high),
                    conclusive=low is not None and high is not None and (low > 0 or high < 0),
                    tasks={},
                )
            )
    return tuple(gains)
