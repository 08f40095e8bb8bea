"""Where tests find an API server, and what is done when one does not start; the programs here are shell scripts."""

import subprocess
import time
from pathlib import Path

import pytest

from tests.control_plane import TRIES, control_plane
from tests.kube_programs import StartError

# Starts a process, and fails in the first tries, as when another process takes a port.
SCRIPT = """\
mkdir -p "$1"
sleep 1000 > /dev/null 2>&1 &
echo $! > "$1/pids"
echo "$1" >> {calls}
if [ "$(wc -l < {calls})" -le {failures} ]; then echo "address already in use" >&2; exit 1; fi
touch "$1/kubeconfig"
"""


@pytest.fixture(autouse=True)
def nothing_is_set(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("CONTEXT", "KUBECONFIG", "CONTROL_PLANE", "REQUIRE_CLUSTER"):
        monkeypatch.delenv(f"AUTOSEL_TEST_{name}", raising=False)
    monkeypatch.delenv("KUBEBUILDER_ASSETS", raising=False)
    monkeypatch.setenv("AUTOSEL_TEST_KUBECTL", str(program(tmp_path / "kubectl", "exit 0")))


def program(path: Path, script: str) -> Path:
    """Write an executable shell script."""
    path.parent.mkdir(exist_ok=True)
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return path


def failing(folder: Path, times: int, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Set a script that fails so many times; return the file with its calls."""
    calls, script = folder / "calls", folder / "up.sh"
    script.write_text(SCRIPT.format(calls=calls, failures=times))
    monkeypatch.setenv("AUTOSEL_TEST_CONTROL_PLANE", str(script))
    return calls


def alive(folders: list[str]) -> list[bool]:
    """Whether the processes that the script started in these folders run."""
    states = []
    for folder in folders:
        pid = (Path(folder) / "pids").read_text().strip()
        done = subprocess.run(["ps", "-o", "stat=", "-p", pid], capture_output=True, text=True)
        states.append(bool(done.stdout.strip()) and not done.stdout.startswith("Z"))
    return states


def all_end(folders: list[str]) -> bool:
    """Whether the processes are gone, soon after they were killed."""
    end = time.monotonic() + 30
    while any(alive(folders)) and time.monotonic() < end:
        time.sleep(0.05)
    return not any(alive(folders))


def test_a_start_that_fails_is_tried_again_in_a_new_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = failing(tmp_path, 2, monkeypatch)
    with control_plane(tmp_path / "plane", controllers=False) as kubeconfig:
        folders = calls.read_text().split()
        assert len(set(folders)) == 3
        assert kubeconfig == Path(folders[-1]) / "kubeconfig"
        assert all_end(folders[:-1])
        assert alive(folders[-1:]) == [True]
    assert all_end(folders)


def test_a_start_that_always_fails_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = failing(tmp_path, 99, monkeypatch)
    with (
        pytest.raises(
            StartError, match=r"in 3 tries; the last: .*up\.sh ended with exit code 1: address already"
        ),
        control_plane(tmp_path / "plane", controllers=False),
    ):
        pass
    folders = calls.read_text().split()
    assert len(folders) == TRIES
    assert all_end(folders)


def test_controllers_that_do_not_work_are_another_try(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = failing(tmp_path, 0, monkeypatch)
    program(tmp_path / "kubectl", f'echo "timed out" >&2; test "$(wc -l < {calls})" = 2')
    with control_plane(tmp_path / "plane", controllers=True):
        folders = calls.read_text().split()
        assert len(folders) == 2
    assert all_end(folders)


def test_programs_that_end_at_once_show_the_end_of_their_logs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("etcd", "kube-apiserver", "kube-controller-manager"):
        program(tmp_path / "assets" / name, f"echo {name} cannot listen; exit 1")
    monkeypatch.setenv("KUBEBUILDER_ASSETS", str(tmp_path / "assets"))
    with (
        pytest.raises(StartError, match=r"etcd\.log ends: etcd cannot listen; apiserver\.log ends: "),
        control_plane(tmp_path / "plane", controllers=True),
    ):
        pass


def test_programs_without_a_controller_manager_leave_suites_that_need_one_to_the_script(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program(tmp_path / "assets" / "etcd", "exit 1")
    monkeypatch.setenv("KUBEBUILDER_ASSETS", str(tmp_path / "assets"))
    with (
        pytest.raises(pytest.skip.Exception, match=r"no API server with controllers: .* has no kube-contr"),
        control_plane(tmp_path / "plane", controllers=True),
    ):
        pass
    calls = failing(tmp_path, 0, monkeypatch)
    with control_plane(tmp_path / "other", controllers=True):
        assert len(calls.read_text().split()) == 1


@pytest.mark.parametrize("variable", ["AUTOSEL_TEST_CONTEXT", "AUTOSEL_TEST_KUBECONFIG"])
def test_without_a_source_tests_are_skipped_with_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    monkeypatch.setenv(variable, "mine")  # one alone does not name a cluster
    with (
        pytest.raises(pytest.skip.Exception, match=r"^no API server of their own"),
        control_plane(tmp_path / "plane", controllers=True, existing=True),
    ):
        pass
