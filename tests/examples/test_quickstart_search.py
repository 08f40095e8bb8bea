"""The quickstart's search with a third of its training: it must find a recipe that beats what it is compared with."""

import copy
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.examples.promise import FEWEST_EVALUATIONS, broken_promise

pytest.importorskip("torch")
ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "examples" / "quickstart"
STEPS = 30


def shorter(folder: Path) -> Path:
    """Write the example's document with less training and the fewest evaluations, its files where they are."""
    document: dict[str, Any] = yaml.safe_load((EXAMPLE / "search.yaml").read_text())
    spec = document["spec"]
    for place in (*spec["pool"]["sources"], *spec["targets"], spec["model"], *spec["evaluation"]["tasks"]):
        for name in {"uri", "definition"} & place.keys():
            place[name] = str(EXAMPLE / place[name])
    spec["training"]["maxSteps"] = STEPS
    spec["budget"]["evaluations"] = FEWEST_EVALUATIONS
    path = folder / "search.yaml"
    path.write_text(yaml.safe_dump(document))
    return path


def autosel(*arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "autosel_runtime.cli", *arguments], cwd=ROOT, capture_output=True, text=True,
        env={**os.environ, "HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("quickstart")
    autosel("run", str(shorter(folder)), "--out", str(folder / "run"))
    return json.loads(autosel("report", str(folder / "run"), "--json"))


def test_the_best_recipe_beats_full_pool_and_random_subset_on_unseen_items(report: dict[str, Any]) -> None:
    assert broken_promise(report) is None


def test_the_chosen_trial_is_among_the_best_of_the_search(report: dict[str, Any]) -> None:
    scores = {
        trial["name"]: trial["score"]["value"] for trial in report["trials"] if trial["role"] == "search"
    }
    assert len(set(scores.values())) > 4, "recipes differ"
    assert scores[report["incumbent"]["trial"]] >= max(scores.values()) - 0.05


@pytest.mark.parametrize(
    ("words", "change"),
    [
        ("is running", lambda r: r["search"].update(state="running")),
        ("7 evaluations", lambda r: r["budget"].update(evaluations=7)),
        ("did not succeed: t00001", lambda r: r["trials"][0].update(state="failed")),
        ("no comparison with random_subset", lambda r: r["gains"].pop(1)),
        ("gain over full_pool", lambda r: r["gains"][0].update(conclusive=False)),
        ("gain over random_subset", lambda r: r["gains"][1]["difference"].update(low=-0.1)),
        ("gain over untuned", lambda r: r["gains"][2]["difference"].update(value=0.1)),
    ],
)
def test_a_broken_promise_is_seen(words: str, change: Any, report: dict[str, Any]) -> None:
    worse = copy.deepcopy(report)
    change(worse)
    assert words in (broken_promise(worse) or "")
