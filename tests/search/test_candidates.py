"""Candidates: which subsets count as taken, and what that costs."""

from autosel_runtime.api.search import Recipe
from autosel_runtime.search.candidates import Known, known_of
from autosel_runtime.search.history import Realised, TrialRecord


def subset(name: str, size: int, asked: list[str]) -> Realised:
    """A subset that writes down when it is asked for its digest."""

    def identify() -> str:
        asked.append(name)
        return name

    return Realised(size=size, retain=size / 100, state_vector={}, identify=identify)


def trial(ordinal: int, digest: str, size: int) -> TrialRecord:
    """A trial that failed: it blocks its subset and nothing else."""
    return TrialRecord(
        ordinal=ordinal, recipe=Recipe(steps=[]), recipe_digest=f"r{ordinal}", subset_digest=digest, size=size,
        state_vector={}, origin="edit", phase=0, parent=None, state="failed", score=None, stderr=None,
    )  # fmt: skip


def taken(known: Known, name: str, size: int, asked: list[str]) -> bool:
    """Say whether a subset is taken; ``asked`` gets who was asked for a digest."""
    return known.has(subset(name, size, asked))


def test_a_subset_of_a_trial_or_of_a_candidate_is_taken() -> None:
    known, asked = known_of([trial(1, "a", 10), trial(2, "b", 20), trial(3, "", 30)]), list[str]()
    known.accepted.append(subset("c", 40, asked))
    assert taken(known, "a", 10, asked)
    assert taken(known, "c", 40, asked)
    assert not taken(known, "other", 10, asked)
    assert not taken(known, "other", 40, asked)
    assert not taken(known, "other", 30, asked)


def test_only_subsets_of_one_size_are_asked_for_their_digests_and_once() -> None:
    asked: list[str] = []
    known = known_of([trial(1, "a", 10)])
    known.accepted.append(subset("c", 40, asked))
    assert not taken(known, "x", 11, asked)
    assert asked == []
    assert not taken(known, "x", 40, asked)
    assert not taken(known, "y", 40, asked)
    assert sorted(asked) == ["c", "x", "y"]
