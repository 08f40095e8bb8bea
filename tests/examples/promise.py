"""What the quickstart promises, read from ``autosel report RUN --json``."""

from typing import Any

FEWEST_EVALUATIONS = 8
LEAST_GAIN = (
    0.2  # of a score in 0..1; the whole quickstart gains .47 over the full pool and .52 over a random subset
)


def broken_promise(report: dict[str, Any]) -> str | None:
    """Return what the report of a quickstart's search does not keep, or None."""
    if report["search"]["state"] != "finished":
        return f"the search is {report['search']['state']}: {report['search']['message']}"
    if report["budget"]["evaluations"] < FEWEST_EVALUATIONS:
        return f"{report['budget']['evaluations']} evaluations, at least {FEWEST_EVALUATIONS} are promised"
    lost = [trial["name"] for trial in report["trials"] if trial["state"] != "succeeded"]
    if lost:
        return f"trials did not succeed: {', '.join(lost)}"
    gains = {gain["role"]: gain for gain in report["gains"]}
    for role in ("full_pool", "random_subset", "untuned"):
        if role not in gains:
            return f"no comparison with {role}"
        difference, conclusive = gains[role]["difference"], gains[role]["conclusive"]
        if not conclusive or difference["low"] <= 0 or difference["value"] < LEAST_GAIN:
            return f"the gain over {role} is {difference['value']:.3f}, from {difference['low']:.3f}, on unseen items"
    return None
