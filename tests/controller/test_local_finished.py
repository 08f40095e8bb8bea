"""A search that nobody disturbs, and a finished one that goes on or does not."""

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.controller.local_search import Ended, LocalSearch, specification

Undisturbed = tuple[LocalSearch, Ended]


def copy_of(undisturbed: Undisturbed, folder: Path) -> LocalSearch:
    """Return a copy of the finished search that a test may change."""
    original, _ = undisturbed
    shutil.copytree(original.folder, folder / "copy", symlinks=True)
    return LocalSearch(folder=folder / "copy", spec=dict(original.spec))


def snapshot(folder: Path) -> dict[str, tuple[int, int]]:
    """Return inode and modification time of every file of the steps and the store."""
    files = [
        path for top in ("steps", "store", "trials") for path in (folder / top).rglob("*") if path.is_file()
    ]
    return {str(path): (path.stat().st_ino, path.stat().st_mtime_ns) for path in files}


def test_a_search_ends_with_a_report_a_status_and_its_trials(undisturbed: Undisturbed) -> None:
    search, ended = undisturbed
    status = search.json("status.json")
    assert (status["finished"], status["stalled"], status["evaluations"]) == (True, False, 3)
    trials = sorted(path.stem for path in search.out.glob("trials/*.json"))
    assert trials == ["full-pool", "t00001", "t00002", "t00003"]
    report = search.json("report.json")
    assert {row["name"] for row in report["trials"]} == set(trials)
    assert all(row["state"] == "succeeded" for row in report["trials"])
    assert all(row["steps"][-1]["kept"] == row["size"] for row in report["trials"] if row["steps"])
    assert any(row["steps"] for row in report["trials"])
    assert "<html" in (search.out / "report.html").read_text()
    assert status["best"] in ended.out
    assert "report.html" in ended.out
    assert "Traceback" not in ended.err


def test_every_step_ran_once_and_nothing_is_left_over(undisturbed: Undisturbed) -> None:
    search, _ = undisturbed
    assert set(search.finished_times().values()) == {1}
    assert not search.running()
    assert not list(search.out.rglob("*.tmp"))


def test_no_scratch_is_left_and_commands_that_read_the_folder_need_none(
    undisturbed: Undisturbed, tmp_path: Path
) -> None:
    search = copy_of(undisturbed, tmp_path)
    assert not list(search.out.glob("work*"))
    names = {path.name for path in search.out.iterdir()}
    lock = str(search.out / "recipe.lock")
    out = str(search.out)
    for arguments in (
        ["report", out],
        ["explain", out, "t00001", "full-pool"],
        ["lock", out],
        ["verify", lock],
    ):
        ended = subprocess.run(
            [sys.executable, "-m", "autosel_runtime.cli", *arguments],
            capture_output=True,
            text=True,
            check=False,
        )
        assert ended.returncode == 0, ended.stderr
    assert {path.name for path in search.out.iterdir()} == names | {"recipe.lock"}


def test_scores_differ_between_trials_so_that_equal_results_mean_something(undisturbed: Undisturbed) -> None:
    search, _ = undisturbed
    digests = {
        trial["subset_digest"] for name, trial in search.result()["trials"].items() if name != "full-pool"
    }
    assert len(digests) == 3
    losses = {o["summary"]["final_loss"] for n, o in search.attempts().items() if ".train/" in n}
    assert len(losses) == 4


def test_run_again_ends_at_once_with_the_same_answer(undisturbed: Undisturbed, tmp_path: Path) -> None:
    search = copy_of(undisturbed, tmp_path)
    before, result = snapshot(search.out), search.result()
    ended = search.run()
    assert ended.code == 0
    assert ended.out.splitlines()[0] == undisturbed[1].out.splitlines()[0]
    assert snapshot(search.out) == before
    assert search.result() == result


def test_a_raised_budget_goes_on_where_the_search_ended(undisturbed: Undisturbed, tmp_path: Path) -> None:
    search = copy_of(undisturbed, tmp_path)
    old = search.attempts()
    search.write(budget={"evaluations": 4}, parallelism=1)
    ended = search.run()
    assert ended.code == 0, ended.err
    assert search.json("status.json")["evaluations"] == 4
    assert (search.out / "trials" / "t00004.json").exists()
    new = search.attempts()
    assert {name: new[name] for name in old} == old
    done = {name.split("/")[0] for name in set(new) - set(old)}
    assert {"t00004.materialize", "t00004.train", "t00004.evaluate"} <= done
    assert not any(
        name.startswith(("t00001.train", "t00002.train", "t00003.train", "setup")) for name in done
    )


def test_an_immutable_field_is_refused_by_name(
    undisturbed: Undisturbed, tmp_path: Path, inputs: Path
) -> None:
    search = copy_of(undisturbed, tmp_path)
    before = snapshot(search.out)
    search.write(search={"minSamples": 20, "seed": 43})
    ended = search.run()
    assert ended.code == 78
    assert "spec.search.seed was 42 and is 43" in ended.err
    assert len(ended.err.strip().splitlines()) == 1
    assert snapshot(search.out) == before
    search.write(**specification(inputs))
    assert search.run().code == 0


def test_damaged_files_of_the_run_folder_are_named(undisturbed: Undisturbed, tmp_path: Path) -> None:
    search = copy_of(undisturbed, tmp_path)
    (search.out / "trials" / "t00002.json").write_text("{half")
    ended = search.run()
    assert ended.code == 65
    assert "t00002.json is damaged" in ended.err
    assert "Traceback" not in ended.err


def test_summaries_stay_small(undisturbed: Undisturbed) -> None:
    search, _ = undisturbed
    summaries: dict[str, Any] = {name: outcome["summary"] for name, outcome in search.attempts().items()}
    assert all(len(json.dumps(summary)) < 4096 for summary in summaries.values())
