"""Credentials from the program that a kubeconfig names under ``exec``, as the clients of most clouds give them.

Only a person's own command line runs such programs: it acts for the one whose kubeconfig names them. The operator
does not.
"""

import os
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import orjson

from autosel_runtime.errors import ConfigError

LONGEST_SECONDS = 120.0
# A token is asked for anew before it ends: the clocks of two machines differ.
EARLY_SECONDS = 30.0
VERSIONS = ("client.authentication.k8s.io/v1", "client.authentication.k8s.io/v1beta1")


@dataclass(kw_only=True)
class Plugin:
    """A credential program and what it last gave. Secrets never appear in ``repr``."""

    settings: Mapping[str, Any]
    folder: Path
    _status: Mapping[str, Any] = field(default_factory=dict[str, Any], repr=False)
    _until: float = field(default=0.0, repr=False)

    def token(self) -> str | None:
        """Return a token that holds, None when the program gives a certificate instead."""
        self._refresh()
        return self._status.get("token")

    def certificate(self) -> tuple[str | None, str | None]:
        """Return the client's certificate and key, None when the program gives a token instead."""
        self._refresh()
        return self._status.get("clientCertificateData"), self._status.get("clientKeyData")

    def _refresh(self) -> None:
        if time.time() < self._until:
            return
        self._status = self._run()
        expires = self._status.get("expirationTimestamp")
        try:
            end = datetime.fromisoformat(expires).timestamp() if expires else float("inf")
        except ValueError:
            raise ConfigError(f"{self._name} gave a credential with the end {expires!r}, no time") from None
        self._until = max(end - EARLY_SECONDS, time.time() + 1.0)

    @property
    def _name(self) -> str:
        return f"the credential plugin {self.settings.get('command')!r} of the kubeconfig"

    def _run(self) -> Mapping[str, Any]:
        version = self.settings.get("apiVersion")
        if version not in VERSIONS:
            raise ConfigError(
                f"{self._name} speaks {version!r}; {' and '.join(VERSIONS)} are understood: update the kubeconfig"
            )
        command = str(self.settings.get("command") or "")
        if os.sep in command:
            command = str(self.folder / command)
        arguments = [str(argument) for argument in self.settings.get("args") or ()]
        added = {str(entry["name"]): str(entry["value"]) for entry in self.settings.get("env") or ()}
        interactive = self.settings.get("interactiveMode") != "Never" and sys.stdin.isatty()
        request = {"apiVersion": version, "kind": "ExecCredential", "spec": {"interactive": interactive}}
        try:
            done = subprocess.run(
                [command, *arguments],
                env={**os.environ, **added, "KUBERNETES_EXEC_INFO": orjson.dumps(request).decode()},
                stdin=None if interactive else subprocess.DEVNULL,
                stdout=subprocess.PIPE,  # what it says to people stays on standard error
                timeout=LONGEST_SECONDS,
                check=False,
            )
        except FileNotFoundError:
            hint = " ".join(
                str(self.settings.get("installHint") or "install it, or put it on the path").split()
            )
            raise ConfigError(f"{self._name} is not installed: {hint}") from None
        except (OSError, subprocess.TimeoutExpired) as error:
            raise ConfigError(f"{self._name} cannot be run: {error}") from error
        if done.returncode != 0:
            raise ConfigError(f"{self._name} failed with exit code {done.returncode}; log in with it first")
        return _status_of(done.stdout, self._name)


def _status_of(text: bytes, name: str) -> Mapping[str, Any]:
    try:
        status = orjson.loads(text)["status"]
    except (orjson.JSONDecodeError, KeyError, TypeError):
        raise ConfigError(f"{name} printed no ExecCredential with a status") from None
    if not isinstance(status, dict) or not (status.get("token") or status.get("clientCertificateData")):
        raise ConfigError(f"{name} gave neither a token nor a certificate")
    return status
