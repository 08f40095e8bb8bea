"""The comparison of two searches sees every difference, and allows one that has to be there."""

from typing import Any

import pytest

from tests.e2e.checks import CheckError
from tests.e2e.compare import same_search


def _role(name: str) -> str:
    return "search" if name.startswith("t") else name.rpartition("-")[0]


def report(*names: str) -> dict[str, Any]:
    trials = [
        {
            "name": name,
            "ordinal": k,
            "role": _role(name),
            "subset_digest": f"sha256:{name}",
            "score": {"value": 0.5},
        }
        for k, name in enumerate(names)
    ]
    return {
        "pool_rows": 9,
        "digests": {"pool": "sha256:p", "recipe": "sha256:r", "subset": "sha256:s"},
        "incumbent": {"trial": names[0]},
        "trials": trials,
        "report_half": [{"trial": names[0], "overall": {"value": 0.5}}],
        "gains": [{"role": "full_pool", "difference": {"value": 0.1}}],
    }


def test_the_baseline_of_an_earlier_end_is_demanded_and_allowed() -> None:
    same_search(report("t1", "t2"), report("t1", "t2"), only_ours=set())
    ours = report("t1", "t2", "random-subset-9")
    same_search(ours, report("t1", "t2"), only_ours={"random-subset-9"})
    moved = report("t1", "t2", "full-pool-0")
    same_search(report("t1", "t2", "random-subset-9", "full-pool-0"), moved, only_ours={"random-subset-9"})
    same_search(ours, ours, only_ours={"random-subset-9"})  # both ends chose the same size
    with pytest.raises(CheckError, match="random-subset-7"):
        same_search(ours, report("t1", "t2"), only_ours={"random-subset-7"})
    with pytest.raises(CheckError, match="more entries"):
        same_search(ours, report("t1", "t2"), only_ours=set())
    with pytest.raises(CheckError):
        same_search(report("t1"), report("t1", "t2"), only_ours=set())


@pytest.mark.parametrize(
    "path",
    [
        ("pool_rows",),
        ("digests", "subset"),
        ("incumbent", "trial"),
        ("trials", 1, "subset_digest"),
        ("trials", 1, "ordinal"),
        ("trials", 1, "score", "value"),
        ("report_half", 0, "overall", "value"),
        ("gains", 0, "difference", "value"),
    ],
)
def test_every_difference_is_seen(path: tuple[str | int, ...]) -> None:
    ours, theirs = report("t1", "t2"), report("t1", "t2")
    *way, last = path
    place: Any = ours
    for key in way:
        place = place[key]
    place[last] = "other"
    with pytest.raises(CheckError):
        same_search(ours, theirs, only_ours=set())
