"""What kstatus, and with it Flux and others, makes of an object: an independent reading of its rules."""

from typing import Any, Literal

Kstatus = Literal["InProgress", "Failed", "Current", "Terminating"]


def kstatus(item: dict[str, Any]) -> Kstatus:
    """Return the status by the order of kstatus: deletion, generation, Reconciling, Stalled, then Ready."""
    if item["metadata"].get("deletionTimestamp"):
        return "Terminating"
    status = item.get("status") or {}
    if status.get("observedGeneration", item["metadata"]["generation"]) != item["metadata"]["generation"]:
        return "InProgress"
    conditions = {entry["type"]: entry["status"] for entry in status.get("conditions", [])}
    if conditions.get("Reconciling") == "True":
        return "InProgress"
    if conditions.get("Stalled") == "True":
        return "Failed"
    return "InProgress" if conditions.get("Ready") in ("False", "Unknown") else "Current"
