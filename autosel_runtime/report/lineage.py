"""The tree of recipes: which trial was made from which, phase by phase, in the order a reader scans it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from autosel_runtime.report.model import Trial

# How the lines left of a row run: through it, past a blank, branching to the row, or ending at it.
Guide = Literal["through", "blank", "tee", "end"]


@dataclass(frozen=True, kw_only=True)
class Branch:
    """One trial in the tree, ``depth`` edits below its root; ``guides`` has one entry a level."""

    trial: Trial
    depth: int
    guides: tuple[Guide, ...]


@dataclass(frozen=True, kw_only=True)
class Phase:
    """The trials between two reseeds, parents before children."""

    number: int
    branches: tuple[Branch, ...]


def lineage(trials: Sequence[Trial]) -> tuple[Phase, ...]:
    """Return the search trials as trees, one group a phase.

    A trial stands below its parent when both are of one phase and the parent came first; else it is a root.
    """
    searched = sorted((trial for trial in trials if trial.role == "search"), key=lambda trial: trial.ordinal)
    return tuple(
        Phase(number=number, branches=_trees([trial for trial in searched if trial.phase == number]))
        for number in sorted({trial.phase for trial in searched})
    )


def _trees(trials: Sequence[Trial]) -> tuple[Branch, ...]:
    known = {trial.ordinal for trial in trials}
    children: dict[int | None, list[Trial]] = {}
    for trial in trials:
        parent = trial.parent
        attached = parent is not None and parent in known and parent < trial.ordinal
        children.setdefault(parent if attached else None, []).append(trial)
    branches: list[Branch] = []
    # A stack, not recursion: a chain of a thousand edits is a valid search.
    waiting: list[Branch] = [
        Branch(trial=root, depth=0, guides=()) for root in reversed(children.get(None, []))
    ]
    while waiting:
        branch = waiting.pop()
        branches.append(branch)
        below = children.get(branch.trial.ordinal, [])
        inherited: tuple[Guide, ...] = tuple(
            "through" if guide in ("through", "tee") else "blank" for guide in branch.guides
        )
        for child in reversed(below):
            last: Guide = "end" if child is below[-1] else "tee"
            waiting.append(Branch(trial=child, depth=branch.depth + 1, guides=(*inherited, last)))
    return tuple(branches)
