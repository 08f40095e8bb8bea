"""A whole run by its commands: the examples of the help as they are printed, and what a run folder answers."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from autosel_runtime.cli.reference import commands, example_of
from autosel_runtime.report.model import parse_report
from tests.cli.calls import Answer, autosel, child, environment
from tests.tiny_model import build_model

RUN = "runs/quickstart"
# They pipe into kubectl, ask an endpoint, or need a cluster.
ELSEWHERE = {"crd", "pool map", "suspend", "resume"}


@pytest.fixture(scope="module")
def answers(example_root: Path) -> dict[str, Answer]:
    """The example of every command, called as it is printed, in an order in which each finds its input."""
    given = {words: example_of(words) for words, _ in commands() if words not in ELSEWHERE}
    answers = {"run": child(*given.pop("run"), cwd=example_root)}
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(example_root)
        order = ["validate", "pool build", "score", "materialize", "train", "evaluate", "lock"]
        for words in [*order, *(words for words in given if words not in order)]:
            answers[words] = autosel(*given[words])
    return answers


@pytest.fixture(autouse=True)
def _in_root(example_root: Path, answers: dict[str, Answer], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(example_root)


@pytest.mark.parametrize("words", [words for words, _ in commands() if words not in ELSEWHERE])
def test_examples_work_as_printed(words: str, answers: dict[str, Answer]) -> None:
    answer = answers[words]
    assert answer.code == 0, answer.err
    # A step that takes less than two seconds has nothing to say in its log; where the log lies is told.
    assert answer.out or (words == "logs" and answer.err.startswith("log of t00001.train: "))
    assert "error" not in answer.err
    assert "\x1b[" not in answer.out + answer.err


def test_run_ends_with_a_report(answers: dict[str, Answer]) -> None:
    assert f"report: {RUN}/report.html" in answers["run"].out
    assert "preparing the pool" in answers["run"].err
    report = parse_report(Path(RUN, "report.json").read_text())
    assert report.search.state == "finished"
    assert [transfer.model for transfer in report.transfer] == ["../smollm2/model"]


def test_a_finished_run_goes_on_at_once_and_says_so_in_json() -> None:
    answer = child("run", "examples/quickstart/search.yaml", "--out", RUN, "--json", cwd=Path.cwd())
    assert answer.code == 0, answer.err
    assert answer.json["finished"] is True
    assert answer.json["evaluations"] == 2
    assert "train" not in answer.err


def test_report_is_the_versioned_document() -> None:
    answer = autosel("report", RUN, "--json")
    assert (answer.code, answer.err) == (0, "")
    assert parse_report(answer.out) == parse_report(Path(RUN, "report.json").read_text())
    text = autosel("report", RUN)
    assert text.out.splitlines()[0].startswith("mini  finished  2 of 2 evaluations")
    assert all(len(line) <= 100 for line in text.out.splitlines())


def test_closed_pipe_is_quiet() -> None:
    for line in (["report", RUN], ["explain", RUN, "1", "2"]):
        process = subprocess.Popen(
            [sys.executable, "-m", "autosel_runtime.cli", *line],
            env=environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        assert process.stdout is not None
        process.stdout.close()  # as head does when it has enough
        assert process.stderr is not None
        assert process.stderr.read() == b""
        assert process.wait(60) == 141


def test_explain_names_trials_by_name_or_number() -> None:
    first = autosel("explain", RUN, "t00001", "full-pool", "--json")
    assert first.code == 0, first.err
    assert first.json == autosel("explain", RUN, "1", "full-pool", "--json").json
    assert autosel("explain", RUN, "1", "2", "--format", "markdown").out.startswith("# ")


@pytest.mark.parametrize(
    ("line", "part"),
    [
        (
            ["explain", RUN, "1", "t9"],
            "there is no trial 't9'; there are: t00001, t00002, full-pool, random-subset",
        ),
        (["explain", RUN, "1", "None"], "there is no trial 'None'"),
        (["explain", RUN, "untuned", "1"], "trial untuned has no subset: it is the model without training"),
        (["lock", RUN, "--trial", "untuned"], "no subset to lock"),
        (["lock", RUN, "--trial", "7"], "there is no trial '7'"),
    ],
)
def test_unknown_trials_are_refused_with_the_known_ones(line: list[str], part: str) -> None:
    answer = autosel(*line)
    assert (answer.code, answer.out) == (64, "")
    assert part in answer.err


def test_lock_holds_until_something_differs(tmp_path: Path) -> None:
    locked = autosel("lock", RUN, "--json").json
    assert locked["chosen"]["size"] > 0
    assert autosel("verify", locked["lock"], "--json").json == {"lock": locked["lock"], "valid": True}
    content = json.loads(Path(locked["lock"]).read_text())
    content["chosen"]["subset_digest"] = "sha256:" + "0" * 64
    edited = tmp_path / "edited.lock"
    edited.write_text(json.dumps(content))
    answer = autosel("verify", str(edited), "--run", RUN, "--json")
    assert (answer.code, answer.json["exit_code"]) == (65, 65)
    assert answer.json["problems"]
    text = autosel("verify", str(edited), "--run", RUN)
    assert (text.code, text.out) == (65, "")
    assert "subset" in text.err


def test_the_lock_of_another_trial_leaves_the_chosen_one_alone() -> None:
    chosen = autosel("lock", RUN, "--json").json
    before = Path(chosen["lock"]).read_bytes()
    other = next(name for name in ("t00001", "t00002") if name != chosen["trial"])
    locked = autosel("lock", RUN, "--trial", other, "--json").json
    assert (locked["lock"], locked["trial"]) == (f"{RUN}/{other}.lock", other)
    assert autosel("lock", RUN, "--trial", str(int(other[1:])), "--json").json["lock"] == locked["lock"]
    assert Path(chosen["lock"]).read_bytes() == before
    assert autosel("verify", locked["lock"]).out == f"{locked['lock']} holds\n"


def test_transfer_finds_what_the_search_has_done() -> None:
    # The search's own transfer rows name the same model, so there is nothing left to do.
    answer = autosel("transfer", RUN, "examples/smollm2/model", "--json")
    assert (answer.code, answer.err) == (0, "")
    found = answer.json
    report = parse_report(Path(RUN, "report.json").read_text())
    theirs = {half.role: half for half in report.transfer[0].scores}
    mine = {half["role"]: half for half in found["models"][1]["scores"]}
    assert list(mine) == ["untuned", "full_pool", "search"]
    for role, half in mine.items():
        assert half["overall"] == json.loads(theirs[role].model_dump_json())["overall"]
    own = {half["role"]: half["overall"] for half in found["models"][0]["scores"]}
    assert own["search"] == json.loads(report.model_dump_json())["report_half"][0]["overall"]
    assert [model["searched"] for model in found["models"]] == [True, False]


def test_transfer_to_a_new_model_trains_it_once(tmp_path: Path) -> None:
    other = build_model(tmp_path / "other", seed=5)
    first = autosel("transfer", RUN, str(other), "--json")
    assert first.code == 0, first.err
    done = [line for line in first.err.splitlines() if line.startswith(("tuning", "scoring"))]
    assert done == [
        f"scoring {other} as it is",
        f"tuning {other} on the full pool",
        f"scoring {other} tuned on the full pool",
        f"tuning {other} on the chosen subset",
        f"scoring {other} tuned on the chosen subset",
    ]
    again = autosel("transfer", RUN, str(other), "--json")
    assert (again.json, again.err) == (first.json, "")


def test_ood_scores_the_tasks_of_the_search_or_of_a_list(answers: dict[str, Answer]) -> None:
    known = autosel("ood", RUN, "--json")
    assert known.err == ""  # the search has scored them itself
    report = json.loads(parse_report(Path(RUN, "report.json").read_text()).model_dump_json())
    theirs = {half["role"]: half["tasks"] for half in report["out_of_domain"]}
    assert {half["role"]: half["tasks"] for half in known.json["scores"]} == theirs
    assert answers["ood"].err.count("scoring") == 4
    listed = autosel("ood", RUN, "--tasks", "examples/quickstart/more_tasks.yaml", "--json")
    assert (listed.code, listed.err) == (0, "")  # done by the example before
    assert all(list(half["tasks"]) == ["shots"] for half in listed.json["scores"])


@pytest.mark.parametrize(
    ("content", "part"),
    [
        (
            "- {name: t, weigth: 2}\n",
            "tasks.yaml:1: tasks[0].weigth: the field is unknown; did you mean weight?",
        ),
        ("[]\n", "tasks.yaml:1: tasks: there are 0 items; at least 1 are needed"),
        ("- {name: pick, definition: gsm8k, uri: x.jsonl}\n", "task names must differ"),
        ("- {name: new, definition: gsm8k, uri: x.jsonl}\n", "x.jsonl"),
        ("{", "tasks.yaml:1"),
    ],
)
def test_ood_says_what_is_wrong_with_a_task_list(content: str, part: str, tmp_path: Path) -> None:
    (tmp_path / "tasks.yaml").write_text(content)
    answer = autosel("ood", RUN, "--tasks", str(tmp_path / "tasks.yaml"))
    assert answer.code in (65, 66)
    assert answer.out == ""
    assert part in answer.err
    assert len(answer.err.splitlines()) == 1


def test_a_run_without_a_finished_trial_says_so(tmp_path: Path) -> None:
    shutil.copytree(RUN, tmp_path / "young", ignore=shutil.ignore_patterns("t0*", "report*", "choose*"))
    for line in (["transfer", tmp_path / "young", "examples/smollm2/model"], ["ood", tmp_path / "young"]):
        answer = autosel(*line)
        assert (answer.code, answer.out) == (65, "")
        assert "has no finished trial" in answer.err
    assert autosel("lock", tmp_path / "young").code == 65
    assert autosel("report", tmp_path / "young").code == 0


def test_a_run_that_is_stopped_says_how_to_go_on(tmp_path: Path) -> None:
    for number, code in ((signal.SIGINT, 130), (signal.SIGTERM, 143)):
        process = subprocess.Popen(
            [sys.executable, "-m", "autosel_runtime.cli", "run", "examples/quickstart/search.yaml", "--out",
             str(tmp_path / number.name)],
            env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        while not (tmp_path / number.name / "status.json").exists():
            time.sleep(0.05)
            assert process.poll() is None
        os.kill(process.pid, number)
        out, err = process.communicate(timeout=60)
        assert (process.returncode, out) == (code, "")
        assert err.splitlines()[-1] == "stopped; run the same command again to go on"


def test_a_search_that_cannot_start_is_one_sentence(tmp_path: Path) -> None:
    document = Path("examples/quickstart/search.yaml").read_text()
    folder = tmp_path / "bad"
    shutil.copytree("examples/quickstart", folder)
    for path in (folder / "pool").iterdir():
        path.write_text("{broken\n")
    (folder / "search.yaml").write_text(document.replace("../smollm2/model", "model"))
    answer = child("run", "search.yaml", "--out", "out", "--json", cwd=folder)
    assert (answer.code, answer.json["exit_code"]) == (65, 65)
    assert "the search stopped" in answer.json["error"]
    assert "records were rejected" in answer.json["error"]
