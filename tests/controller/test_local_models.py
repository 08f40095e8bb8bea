"""Models of a real search on this machine: which stay, and what a rerun does when one is missing."""

import json
import shutil
from pathlib import Path

import pytest

from autosel_runtime.store.drop import drop
from autosel_runtime.store.folder import FolderStore
from autosel_runtime.store.publish import find
from controller.local.report import load_run
from controller.reconcile.models import BEST
from controller.reconcile.search import overview
from tests.controller.local_search import LocalSearch, specification


@pytest.fixture(scope="module")
def ended(inputs: Path, tmp_path_factory: pytest.TempPathFactory) -> LocalSearch:
    """A finished search of five evaluations, one after the other."""
    search = LocalSearch(
        folder=tmp_path_factory.mktemp("models"),
        spec=specification(inputs, budget={"evaluations": 5}, parallelism=1),
    )
    done = search.run()
    assert done.code == 0, done.err
    return search


def in_store(search: LocalSearch) -> dict[str, bool]:
    """Say of every trial whether its model is in the store, and check that the status says the same."""
    observed, context = load_run(search.out)
    view = overview(observed, 0.0)
    found: dict[str, bool] = {}
    for trial in (*view.trials, *view.baselines):
        assert trial.model is not None
        found[trial.trial.name] = find(context.store, trial.model) is not None
        assert trial.dropped != found[trial.trial.name]
    return found


def test_the_best_the_chosen_and_the_baselines_keep_their_models(ended: LocalSearch) -> None:
    found = in_store(ended)
    best = ended.json("status.json")["best"]
    report = {row["name"]: row for row in ended.json("report.json")["trials"]}
    ranked = sorted(
        (name for name in found if name.startswith("t0")),
        key=lambda name: (-report[name]["score"]["value"], name),
    )
    expected = {*ranked[:BEST], best, "full-pool"}
    assert {name for name, there in found.items() if there} == expected
    assert {name for name, row in report.items() if not row["model_dropped"]} == expected
    assert all((ended.out / "store" / report[name]["model"]).is_dir() for name in expected)
    assert (ended.out / "report.html").read_text().count("model dropped") == len(found) - len(expected)
    assert len(found) > len(expected)
    files = {path.name for path in (ended.out / "store" / "models").rglob("*.safetensors")}
    assert files
    assert len(list((ended.out / "store" / "models").rglob("*.safetensors"))) == len(expected)


def test_a_rerun_trains_nothing_and_a_missing_chosen_model_is_trained_again(
    ended: LocalSearch, tmp_path: Path
) -> None:
    shutil.copytree(ended.folder, tmp_path / "copy", symlinks=True)
    search = LocalSearch(folder=tmp_path / "copy", spec=dict(ended.spec))
    before, times = search.result(), search.finished_times()
    again = search.run()
    assert again.code == 0, again.err
    assert search.finished_times() == times

    observed, context = load_run(search.out)
    best = str(overview(observed, 0.0).state.best)
    model = next(str(v.model) for v in overview(observed, 0.0).trials if v.trial.name == best)
    marker = find(context.store, model)
    assert marker is not None
    # As if the choice had just fallen on a trial whose model was dropped: its last scores are not recorded yet.
    drop(FolderStore(search.out / "store"), model)
    shutil.rmtree(search.out / "steps" / f"{best}.evaluate-report")
    ran = search.run()
    assert ran.code == 0, ran.err
    assert search.result() == before
    outcome = json.loads(
        (search.out / "steps" / f"{best}.evaluate-report" / "1" / "outcome.json").read_text()
    )
    assert outcome["summary"] == {"missing": 0}
    assert search.finished_times()[f"{best}.train-again"] == 1
    assert search.finished_times()[f"{best}.evaluate-report"] == 2
    made = find(context.store, model)
    assert made is not None
    assert {n: o.sha256 for n, o in made.objects.items() if n.endswith(".safetensors")} == {
        n: o.sha256 for n, o in marker.objects.items() if n.endswith(".safetensors")
    }
