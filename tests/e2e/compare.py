"""A search in a cluster and the same search on one machine have to be the same search."""

import json
from pathlib import Path
from typing import Any

from tests.e2e.checks import demand
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


def machine_report(folder: Path) -> dict[str, Any]:
    """Return the report of a run folder."""
    return json.loads((folder / "report.json").read_text())


def same_search(ours: dict[str, Any], theirs: dict[str, Any]) -> None:
    """CheckError with the first difference between what two reports found."""
    left, right = _found(ours), _found(theirs)
    for key in left:
        for one, other in zip(_lines(left[key]), _lines(right[key]), strict=False):
            demand(one == other, f"{key}: the cluster has\n  {one}\nand the machine\n  {other}")
        demand(left[key] == right[key], f"{key}: one of both has more entries")


def _found(report: dict[str, Any]) -> dict[str, Any]:
    return {
        "pool rows": report["pool_rows"],
        "digests": {key: report["digests"][key] for key in ("pool", "recipe", "subset")},
        "chosen": report["incumbent"]["trial"],
        "trials": [{key: trial.get(key) for key in TRIAL} for trial in report["trials"]],
        "report half": report["report_half"],
        "gains": report["gains"],
    }


def _lines(value: Any) -> list[str]:
    entries = value if isinstance(value, list) else [value]
    return [json.dumps(entry, sort_keys=True) for entry in entries]
