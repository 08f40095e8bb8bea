"""Summaries: at most 4 KiB, however large the search, and complete where it counts."""

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from autosel_runtime.digest import canonical_json
from autosel_runtime.steps.summary import (
    MOST_WARNINGS,
    NAMED_STATE_BYTES,
    REASON_BYTES,
    beside,
    cut_text,
    head,
    named_quantities,
    recorded_state,
)
from autosel_runtime.store.marker import SUMMARY_BYTES
from autosel_runtime.store.publish import fetch, find
from tests.steps.world import Steps, history_row

NAMES = st.lists(st.text("abcx-.", min_size=1, max_size=63), unique=True, max_size=300)


def fits(summary: dict[str, Any]) -> bool:
    return len(canonical_json(summary)) <= SUMMARY_BYTES


def test_a_crowded_search_is_prepared_and_scored(crowded: Steps) -> None:
    account = crowded.account
    assert fits(account)
    assert len(account["sources"]) + account["sources_left_out"] == 256
    scored = find(crowded.store, "signals/x")
    assert scored is not None
    assert fits(scored.summary)
    assert len(scored.summary["signals"]) + scored.summary["signals_left_out"] > 64


def test_proposals_of_a_crowded_search_fit_and_have_the_same_quantities(crowded: Steps) -> None:
    first = crowded.suggest(1)
    assert fits(first.summary)
    proposal = first.summary["proposals"][0]
    assert crowded.materialize(proposal["recipe"], digest=proposal["subset_digest"]).code == 0
    history = [history_row(proposal, 0.5)]
    second = crowded.suggest(2, history)
    assert fits(second.summary)
    states = [set(one["state_vector"]) for one in (proposal, second.summary["proposals"][0])]
    shares = [{name for name in state if name.startswith("source_share.")} for state in states]
    assert shares[0] == shares[1]
    assert 3 < len(shares[0]) < 20
    assert any(name.startswith("score.") for name in states[0])
    assert {"retain_ratio", "source_entropy"} <= states[0] & states[1]


def test_a_crowded_evaluation_keeps_the_heaviest_tasks_and_the_report_has_all(crowded: Steps) -> None:
    model = crowded.spec["model"]["uri"]
    summary = crowded.run(
        "evaluate", "evaluations/y", model=None, base_model=model, group="objective", half="search"
    ).summary
    assert fits(summary)
    assert len(summary["tasks"]) + summary["tasks_left_out"] == 64
    assert [name[5:7] for name in summary["tasks"]][:3] == ["63", "62", "61"]
    row: dict[str, Any] = {
        "name": "untuned",
        "ordinal": None,
        "role": "untuned",
        "state": "succeeded",
        "origin": "baseline",
        "phase": 0,
        "parent": None,
        "recipe": {"steps": []},
        "recipe_digest": "sha256:" + "0" * 64,
        "subset_digest": None,
        "size": None,
        "state_vector": {},
        "score": summary["objective"]["mean"],
        "stderr": summary["objective"]["stderr"],
        "tasks": summary["tasks"],
        "mean": None,
        "deviation": None,
        "message": "",
        "rationale": "",
        "model_dropped": False,
        "subset": None,
        "model": None,
        "steps": {},
        "tasks_left_out": summary["tasks_left_out"],
        "evaluation": "evaluations/y",
    }
    ran = crowded.run(
        "report",
        "reports/y",
        pool=crowded.account["pool"],
        signals="signals/x",
        chosen=None,
        trials=[row],
        finals={},
    )
    assert fits(ran.summary)
    marker = find(crowded.store, "reports/y")
    assert marker is not None
    report = json.loads((fetch(crowded.store, marker, crowded.folder / "report") / "report.json").read_text())
    assert len(report["trials"][0]["tasks"]) == 64


def test_a_recipe_too_long_to_be_recorded_is_refused_at_once(ready: Steps) -> None:
    weights = {f"source-{i:03d}".ljust(63, "x"): 1.0 for i in range(60)}
    long = {"steps": [{"operator": "source_mix", "params": {"weights": weights, "fraction": 0.5}}]}
    ready.spec = {**ready.spec, "search": {"minSamples": 20, "seedRecipes": [long]}}
    ran = ready.run("prepare", "searches/y/prepare")
    assert ran.code == 65
    assert "spec.search.seedRecipes[0]: the recipe takes" in ran.error


@given(targets=NAMES, sources=NAMES)
def test_recorded_quantities_are_bounded_and_the_first_ones(targets: list[str], sources: list[str]) -> None:
    kept = named_quantities(targets, sources)
    state = {
        **{f"score.{name}": -1.2345678901234567e-05 for name in targets},
        **{f"source_share.{name}": 1.2345678901234567e-05 for name in sources},
        "retain_ratio": 0.5,
    }
    recorded = recorded_state(state, kept)
    assert recorded["retain_ratio"] == 0.5
    assert (
        len(canonical_json({name: v for name, v in recorded.items() if "." in name})) <= NAMED_STATE_BYTES + 2
    )
    places = sorted(
        sources.index(name.removeprefix("source_share.")) for name in kept if name.startswith("source_s")
    )
    assert places == list(range(len(places)))


@given(
    entries=st.dictionaries(st.text(max_size=20), st.integers(-(10**9), 10**9), max_size=30),
    limit=st.integers(2, 300),
)
def test_head_keeps_the_first_that_fit(entries: dict[str, int], limit: int) -> None:
    kept, left_out = head(entries, limit)
    assert len(canonical_json(kept)) <= limit
    assert list(kept) == list(entries)[: len(kept)]
    assert len(kept) + left_out == len(entries)


@given(text=st.text(max_size=200), limit=st.integers(3, 100))
def test_cut_text_never_breaks_a_character(text: str, limit: int) -> None:
    cut = cut_text(text, limit)
    assert len(cut.encode()) <= limit
    assert cut == text or text.startswith(cut[:-3])


@given(warnings=st.lists(st.text(max_size=400), max_size=8), rest=st.integers(0, 4000))
def test_warnings_take_the_room_that_a_summary_leaves(warnings: list[str], rest: int) -> None:
    summary = {"proposals": "x" * rest}
    kept = beside(summary, warnings)
    assert kept == [cut_text(text, REASON_BYTES) for text in warnings[: len(kept)]]
    assert len(kept) <= MOST_WARNINGS
    assert not kept or fits({**summary, "warnings": kept, "drop_refused": 100, "cached": False})


def test_a_short_summary_has_room_for_five_warnings() -> None:
    assert beside({"proposals": []}, ["x" * 1000] * 8) == [f"{'x' * 297}..."] * 5
