"""Starts etcd, kube-apiserver and kube-controller-manager from a folder of programs, on free ports of 127.0.0.1."""

import secrets
import socket
import ssl
import subprocess
import time
import urllib.request
from collections.abc import Generator
from contextlib import ExitStack, contextmanager
from http.client import HTTPException
from pathlib import Path

import yaml

READY_SECONDS = 90.0


class StartError(Exception):
    """A control plane did not start; another try may."""


@contextmanager
def kube_programs(folder: Path, assets: Path, *, controllers: bool) -> Generator[Path]:
    """Give the kubeconfig of a control plane of the programs in ``assets`` while the block runs; its logs stay."""
    folder.mkdir(parents=True)
    etcd, peer, api = _free_ports(3)
    server, token = f"https://127.0.0.1:{api}", secrets.token_hex(16)
    key, certificate = folder / "accounts.key", folder / "certs" / "apiserver.crt"
    subprocess.run(["openssl", "genrsa", "-out", key, "2048"], check=True, capture_output=True)
    (folder / "tokens.csv").write_text(f"{token},admin,admin,system:masters\n")
    kubeconfig = folder / "kubeconfig"
    kubeconfig.write_text(yaml.safe_dump(_kubeconfig(server, token, certificate)))
    with ExitStack() as running:
        processes: list[subprocess.Popen[bytes]] = []

        def start(name: str, *arguments: str) -> None:
            log = running.enter_context((folder / f"{name.removeprefix('kube-')}.log").open("wb"))
            process = subprocess.Popen([assets / name, *arguments], cwd=folder, stdout=log, stderr=log)
            running.callback(process.wait)
            running.callback(process.kill)  # its data is thrown away; asked nicely it would wait for etcd
            processes.append(process)

        start(
            "etcd", "--data-dir=etcd", "--unsafe-no-fsync",
            f"--listen-client-urls=http://127.0.0.1:{etcd}", f"--advertise-client-urls=http://127.0.0.1:{etcd}",
            f"--listen-peer-urls=http://127.0.0.1:{peer}", f"--initial-advertise-peer-urls=http://127.0.0.1:{peer}",
            f"--initial-cluster=default=http://127.0.0.1:{peer}",
        )  # fmt: skip
        start(
            "kube-apiserver", f"--etcd-servers=http://127.0.0.1:{etcd}", "--cert-dir=certs",
            "--bind-address=127.0.0.1", f"--secure-port={api}", "--token-auth-file=tokens.csv",
            "--authorization-mode=RBAC", "--service-cluster-ip-range=10.96.0.0/16", "--allow-privileged",
            "--service-account-issuer=https://kubernetes.default.svc", f"--service-account-key-file={key}",
            f"--service-account-signing-key-file={key}", "--kubelet-preferred-address-types=InternalIP",
        )  # fmt: skip
        _wait_until_ready(server, token, certificate, processes, folder)
        if controllers:
            start(
                "kube-controller-manager", f"--kubeconfig={kubeconfig}", "--use-service-account-credentials",
                f"--service-account-private-key-file={key}", f"--root-ca-file={certificate}",
                "--leader-elect=false", "--secure-port=0",
            )  # fmt: skip
        yield kubeconfig


def tail(path: Path) -> str:
    """Return the end of a log, for a failure."""
    return path.read_text(errors="replace").strip()[-1500:] if path.exists() else "nothing"


def _wait_until_ready(
    server: str, token: str, certificate: Path, processes: "list[subprocess.Popen[bytes]]", folder: Path
) -> None:
    request = urllib.request.Request(f"{server}/readyz", headers={"Authorization": f"Bearer {token}"})
    end, ready = time.monotonic() + READY_SECONDS, False
    # A program that has ended has lost its port to another, and what answers there is not ours.
    while all(process.poll() is None for process in processes) and time.monotonic() < end:
        if ready:
            return
        try:
            tls = ssl.create_default_context(cafile=certificate)
            with urllib.request.urlopen(request, context=tls, timeout=5):
                ready = True
        except (OSError, HTTPException):  # no certificate yet, no connection yet, or not ready yet
            time.sleep(0.1)
    logs = "; ".join(f"{name}.log ends: {tail(folder / f'{name}.log')}" for name in ("etcd", "apiserver"))
    raise StartError(f"kube-apiserver did not become ready: {logs}")


def _kubeconfig(server: str, token: str, certificate: Path) -> dict[str, object]:
    cluster = {"server": server, "certificate-authority": str(certificate)}
    context = {"cluster": "plane", "user": "admin", "namespace": "default"}
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "plane", "cluster": cluster}],
        "users": [{"name": "admin", "user": {"token": token}}],
        "contexts": [{"name": "plane", "context": context}],
        "current-context": "plane",
    }


def _free_ports(count: int) -> list[int]:
    """Find ports that are free now; all are held until the last is found, so that they differ."""
    with ExitStack() as held:
        sockets = [held.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]
