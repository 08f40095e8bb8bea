"""A search in a cluster and the same search on one machine have to be the same search."""

import json
import subprocess
import sys
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from tests.e2e.checks import demand
from tests.e2e.documents import Document, for_machine
from tests.e2e.world import ROOT
from tests.seaweed import Seaweed

TRIAL = (
    "name",
    "ordinal",
    "role",
    "state",
    "origin",
    "recipe_digest",
    "subset_digest",
    "size",
    "score",
    "tasks",
)


def cluster_report(store: Seaweed, bucket: str, search: str) -> dict[str, Any]:
    """Return the newest report of a search in the bucket."""
    client = store.client()
    listed = client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix="results/reports/")
    reports = [
        entry for page in listed for entry in page.get("Contents", []) if entry["Key"].endswith("report.json")
    ]
    for entry in sorted(reports, key=lambda item: item["LastModified"], reverse=True):
        report = json.loads(client.get_object(Bucket=bucket, Key=entry["Key"])["Body"].read())
        if report["search"]["name"] == search:
            return report
    raise AssertionError(f"no report of search {search} under results/reports/ among {len(reports)}")


@dataclass(frozen=True, kw_only=True)
class MachineRun:
    """The same search by ``autosel run`` on this machine."""

    document: Document
    folder: Path

    def run(self) -> None:
        """Run it to its end."""
        path, out, log = (self.folder / name for name in ("machine.yaml", "machine", "machine.log"))
        path.write_text(yaml.safe_dump(for_machine(self.document)))
        command = [sys.executable, "-m", "autosel_runtime.cli", "run", str(path), "--out", str(out)]
        with log.open("wb") as lines:
            done = subprocess.run(command, stdout=lines, stderr=lines, cwd=ROOT)
        demand(done.returncode == 0, log.read_text()[-2000:])

    def report(self) -> dict[str, Any]:
        """Return its report."""
        return json.loads((self.folder / "machine" / "report.json").read_text())


def same_search(ours: dict[str, Any], theirs: dict[str, Any], *, only_ours: Collection[str]) -> None:
    """CheckError with the first difference between what two reports found.

    ``only_ours`` are trials that the first search has beside the others: it has to have them. The ordinal of a baseline
    is its place in the list, which they move.
    """
    names = {trial["name"] for trial in ours["trials"]}
    demand(names >= set(only_ours), f"the cluster has {sorted(names)} and not {sorted(only_ours)}")
    known = {trial["name"] for trial in theirs["trials"]}
    left, right = _found(ours, without=set(only_ours) - known), _found(theirs, without=set[str]())
    for key in left:
        for one, other in zip(_lines(left[key]), _lines(right[key]), strict=False):
            demand(one == other, f"{key}: the cluster has\n  {one}\nand the machine\n  {other}")
        demand(left[key] == right[key], f"{key}: one of both has more entries")


def _found(report: dict[str, Any], *, without: Collection[str]) -> dict[str, Any]:
    return {
        "pool rows": report["pool_rows"],
        "digests": {key: report["digests"][key] for key in ("pool", "recipe", "subset")},
        "chosen": report["incumbent"]["trial"],
        "trials": [
            {key: trial.get(key) for key in TRIAL if key != "ordinal" or trial["role"] == "search"}
            for trial in report["trials"]
            if trial["name"] not in without
        ],
        "report half": report["report_half"],
        "gains": report["gains"],
    }


def _lines(value: Any) -> list[str]:
    entries = value if isinstance(value, list) else [value]
    return [json.dumps(entry, sort_keys=True) for entry in entries]
