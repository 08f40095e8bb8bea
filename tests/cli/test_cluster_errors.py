"""What can be wrong between a command and a cluster: one sentence each, with the right code."""

import json
import subprocess
from pathlib import Path

import pytest
import yaml

from autosel_runtime.cli.target import Options, resolve
from autosel_runtime.errors import AutoselError
from tests.cli.calls import Answer, autosel
from tests.cli.cluster_bench import Asking
from tests.control_plane import control_plane
from tests.kube.operating import Bench
from tests.kube.plane import Plane, until

WATCHING = ("watch", "describe", "report", "logs", "suspend", "resume")


def edited(
    plane: Plane, path: Path, *, cluster: dict[str, object] | None = None, user: object = None
) -> Path:
    """Write the plane's kubeconfig with parts of it replaced."""
    document = yaml.safe_load(plane.kubeconfig.read_text())
    document["clusters"][0]["cluster"] |= cluster or {}
    document["users"][0]["user"] = user or document["users"][0]["user"]
    path.write_text(yaml.safe_dump(document))
    return path


def is_one_sentence(answer: Answer, code: int, *parts: str) -> None:
    assert (answer.code, answer.out) == (code, ""), answer.err
    assert len(answer.err.splitlines()) == 1, answer.err
    assert answer.err.startswith("error: ")
    for part in parts:
        assert part in answer.err


@pytest.mark.parametrize("command", WATCHING)
def test_without_a_kubeconfig(command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("KUBECONFIG", raising=False)
    is_one_sentence(
        autosel(command, "nope"), 66, "nope is not a run folder", f"no kubeconfig at {tmp_path}/.kube/config"
    )
    answer = autosel(command, "nope", "--kubeconfig", "gone")
    is_one_sentence(answer, 78, "there is no kubeconfig at gone")
    as_json = autosel(command, "nope", "--json")
    assert (as_json.code, as_json.json["exit_code"], as_json.err) == (66, 66, "")


def test_a_path_that_exists_is_a_run_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "quick").mkdir()
    for name, options, code, part in (
        ("quick", Options(), 66, "rsearch/quick is the search of that name"),
        ("quick", Options(namespace="ml"), 64, "write rsearch/quick for the search in the cluster"),
        ("./quick", Options(), 66, "./quick is not a run folder: it has no search.json"),
        ("runs/other", Options(), 66, "it does not exist; nor is it the name of a search"),
        ("Quick", Options(), 66, "nor is it the name of a search"),
        ("rsearch/Quick", Options(), 66, "nor is it the name of a search"),
    ):
        with pytest.raises(AutoselError, match=part) as caught:
            resolve(name, options)
        assert caught.value.exit_code == code
    (tmp_path / "quick" / "search.json").touch()
    assert resolve("quick", Options()) == Path("quick")
    for name in ("rsearch/quick", "recipesearch/quick", "recipesearches/quick", "slow"):
        found = resolve(name, Options(namespace="ml", context="c", kubeconfig="k"))
        assert not isinstance(found, Path)
        assert (found.name, found.namespace) == (name.rpartition("/")[2], "ml")
        assert (found.context, found.kubeconfig) == ("c", "k")


def test_suspend_is_not_for_run_folders(tmp_path: Path) -> None:
    (tmp_path / "search.json").touch()
    is_one_sentence(autosel("suspend", tmp_path), 64, "ctrl-c stops its run")
    is_one_sentence(autosel("resume", tmp_path), 64, "autosel run goes on with it")


def test_without_the_library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "aiohttp", None)
    for module in ("controller.cluster.connect", "controller.kube.client"):
        monkeypatch.delitem(__import__("sys").modules, module, raising=False)
    is_one_sentence(autosel("watch", "quick"), 69, "pip install 'autosel[cluster]'")


def test_context_and_server(plane: Plane, tmp_path: Path) -> None:
    def ask(path: Path, *options: str) -> Answer:
        return autosel("describe", "quick", "--kubeconfig", path, *options)

    is_one_sentence(ask(plane.kubeconfig, "--context", "prod"), 78, "no context 'prod'", "there are: plane")
    nobody = edited(plane, tmp_path / "nobody", cluster={"server": "https://127.0.0.1:1"})
    is_one_sentence(ask(nobody), 75, "https://127.0.0.1:1 cannot be reached", "refused")
    stranger = edited(
        plane, tmp_path / "stranger", cluster={"certificate-authority": str(_authority(tmp_path))}
    )
    is_one_sentence(ask(stranger), 78, "the certificate of https://127.0.0.1")
    expired = edited(plane, tmp_path / "expired", user={"token": "old"})
    is_one_sentence(ask(expired), 77, "does not accept the credentials")


def _authority(folder: Path) -> Path:
    """Make the certificate of an authority that the server does not have."""
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=other", "-days", "1",
         "-keyout", folder / "other.key", "-out", folder / "other.crt"],
        check=True, capture_output=True,
    )  # fmt: skip
    return folder / "other.crt"


def test_names_and_namespaces_that_do_not_exist(bench: Bench, ask: Asking) -> None:
    until(lambda: not bench.plane.get("rsearch", "-A")["items"], what="searches of earlier tests are gone")
    is_one_sentence(
        ask("describe"), 66, f"no search 'simulated' in namespace {bench.namespace}", "there are: none"
    )
    bench.create()
    is_one_sentence(ask("watch", name="simulate"), 66, "did you mean simulated?")
    elsewhere = ["--kubeconfig", str(ask.kubeconfig), "-n"]
    is_one_sentence(
        autosel("suspend", "simulated", *elsewhere, "default"),
        66,
        f"there is one in namespace {bench.namespace}",
    )
    is_one_sentence(
        autosel("report", "simulated", *elsewhere, "kube-sytem"),
        66,
        "there is no namespace 'kube-sytem'",
        "did you mean kube-system",
    )


def test_a_right_that_is_missing_is_named(bench: Bench, plane: Plane, tmp_path: Path) -> None:
    bench.create()
    plane.must("-n", bench.namespace, "create", "serviceaccount", "guest")
    token = plane.must("-n", bench.namespace, "create", "token", "guest").strip()
    ask = Asking(bench=bench, kubeconfig=edited(plane, tmp_path / "guest", user={"token": token}))
    guest = f"system:serviceaccount:{bench.namespace}:guest"
    place = f"recipesearches.autosel.dev in namespace {bench.namespace}"
    is_one_sentence(ask("describe"), 77, f"{guest} may not get {place}", "the role view")

    plane.must("-n", bench.namespace, "create", "role", "reader", "--verb=get,list",
               "--resource=recipesearches.autosel.dev,recipetrials.autosel.dev")  # fmt: skip
    plane.must("-n", bench.namespace, "create", "rolebinding", "reader", "--role=reader",
               f"--serviceaccount={bench.namespace}:guest")  # fmt: skip
    until(lambda: ask("report", "--json").code == 0, what="the role is in force")
    is_one_sentence(ask("suspend"), 77, f"{guest} may not patch {place}", "the role edit")
    is_one_sentence(ask("describe"), 77, f"{guest} may not list jobs.batch")
    with ask.process("watch") as watch:
        answer = watch.end()
    assert answer.code == 77
    assert f"{guest} may not watch recipe" in answer.err.splitlines()[-1]


def test_a_credential_plugin_is_run(bench: Bench, plane: Plane, tmp_path: Path) -> None:
    bench.create()
    token = yaml.safe_load(plane.kubeconfig.read_text())["users"][0]["user"]["token"]
    version = "client.authentication.k8s.io/v1"

    def plugin(script: str) -> Answer:
        path = tmp_path / "bin" / "login"
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)
        settings = {"apiVersion": version, "command": "bin/login", "args": ["--for", "me"],
                    "env": [{"name": "WHO", "value": "us"}], "interactiveMode": "Never"}  # fmt: skip
        config = edited(plane, tmp_path / "plugin", user={"exec": settings})
        return Asking(bench=bench, kubeconfig=config)("describe", "--json")

    credential = json.dumps({"apiVersion": version, "kind": "ExecCredential", "status": {"token": token}})
    good = plugin(
        f"""test "$1 $2 $WHO" = "--for me us" && test -n "$KUBERNETES_EXEC_INFO" && echo '{credential}'"""
    )
    assert good.code == 0, good.out
    assert good.json["name"] == "simulated"
    for script, part in (
        ("exit 3", "failed with exit code 3; log in with it first"),
        ("echo hello", "printed no ExecCredential"),
        ("echo '{\"status\": {}}'", "gave neither a token nor a certificate"),
    ):
        bad = plugin(script)
        assert bad.code == 78
        assert part in bad.json["error"]
        assert token not in bad.out + bad.err


def test_autosel_is_not_installed(tmp_path: Path) -> None:
    with control_plane(tmp_path / "bare", controllers=False) as kubeconfig:
        answer = autosel("watch", "quick", "--kubeconfig", kubeconfig)
    is_one_sentence(answer, 69, "does not know RecipeSearch", "autosel is not installed there")
