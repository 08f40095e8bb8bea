"""How to reach the API server: a kubeconfig context or the pod's own service account."""

import base64
import binascii
import os
import ssl
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from autosel_runtime.errors import ConfigError
from controller.kube.plugin import Plugin

SERVICE_ACCOUNT_FOLDER = Path("/var/run/secrets/kubernetes.io/serviceaccount")


@dataclass(frozen=True, kw_only=True)
class Access:
    """Where the API server is and how to prove who is asking. Secrets never appear in ``repr``."""

    server: str
    namespace: str = "default"
    authority: str | None = field(default=None, repr=False)
    token: str | None = field(default=None, repr=False)
    token_file: Path | None = None
    plugin: Plugin | None = field(default=None, repr=False)
    certificate: str | None = field(default=None, repr=False)
    private_key: str | None = field(default=None, repr=False)
    insecure: bool = False
    server_name: str | None = None
    proxy: str | None = None

    def bearer(self) -> str | None:
        """Return the token of the next call; a file is read again each time, since tokens are rotated."""
        if self.plugin is not None:
            return self.plugin.token()
        if self.token_file is None:
            return self.token
        try:
            return self.token_file.read_text().strip()
        except OSError as error:
            raise ConfigError(f"the token {self.token_file} cannot be read: {error.strerror}") from error

    def tls(self) -> ssl.SSLContext:
        """Return the TLS settings. ConfigError when certificates or keys are not what they should be."""
        try:
            context = ssl.create_default_context(cadata=self.authority)
            if self.insecure:
                context.check_hostname = False
                context.verify_mode = ssl.CERT_NONE
            certificate, private_key = self.certificate, self.private_key
            if self.plugin is not None and certificate is None:
                certificate, private_key = self.plugin.certificate()
            if certificate is not None and private_key is not None:
                _load_pair(context, certificate, private_key)
        except (ssl.SSLError, ValueError) as error:
            raise ConfigError(f"the certificates for {self.server} cannot be used: {error}") from error
        return context


def find_access(
    *, kubeconfig: str | None = None, context: str | None = None, plugins: bool = False
) -> Access:
    """Return the access named explicitly, else the pod's own, else the current context of the usual kubeconfig."""
    if kubeconfig is None and context is None and "KUBERNETES_SERVICE_HOST" in os.environ:
        return in_cluster()
    named = kubeconfig or os.environ.get("KUBECONFIG") or str(Path.home() / ".kube" / "config")
    return from_kubeconfig(
        [Path(part) for part in named.split(os.pathsep) if part], context=context, plugins=plugins
    )


def in_cluster(folder: Path = SERVICE_ACCOUNT_FOLDER, environ: Mapping[str, str] = os.environ) -> Access:
    """Return the access of a pod's service account."""
    host, port = environ.get("KUBERNETES_SERVICE_HOST", ""), environ.get("KUBERNETES_SERVICE_PORT", "443")
    if not host:
        raise ConfigError("KUBERNETES_SERVICE_HOST is not set: this is no pod; name a kubeconfig")
    try:
        authority = (folder / "ca.crt").read_text()
        namespace = (folder / "namespace").read_text().strip()
    except OSError as error:
        raise ConfigError(f"the service account in {folder} cannot be read: {error.strerror}") from error
    return Access(
        server=f"https://{f'[{host}]' if ':' in host else host}:{port}",
        namespace=namespace,
        authority=authority,
        token_file=folder / "token",
    )


def from_kubeconfig(paths: Sequence[Path], *, context: str | None = None, plugins: bool = False) -> Access:
    """Return the access of a context, the current one when none is named.

    Several files count as one, the first to name something wins. Credential plugins (``exec``) are run only if
    ``plugins``.
    """
    documents = [(path, _read(path)) for path in paths if path.exists()]
    if not documents:
        raise ConfigError(
            f"there is no kubeconfig at {', '.join(str(path) for path in paths) or '(no path)'}"
        )
    chosen = context or next((d["current-context"] for _, d in documents if d.get("current-context")), None)
    if chosen is None:
        raise ConfigError(f"{documents[0][0]} has no current context; name one")
    _, bound = _named(documents, "contexts", "context", chosen)
    folder, cluster = _named(documents, "clusters", "cluster", str(bound.get("cluster")))
    user_folder, user = (
        _named(documents, "users", "user", str(bound.get("user"))) if bound.get("user") else (folder, {})
    )
    if "auth-provider" in user or ("exec" in user and not plugins):
        raise ConfigError(
            f"context {chosen} logs in by a plugin, which autosel does not run; "
            "use a context with a token or a certificate, for instance of a service account"
        )
    token_file = user.get("tokenFile")
    return Access(
        server=str(cluster["server"]).rstrip("/"),
        namespace=str(bound.get("namespace") or "default"),
        authority=_material(cluster, "certificate-authority", folder),
        token=user.get("token"),
        token_file=user_folder / token_file if token_file else None,
        plugin=Plugin(settings=user["exec"], folder=user_folder) if "exec" in user else None,
        certificate=_material(user, "client-certificate", user_folder),
        private_key=_material(user, "client-key", user_folder),
        insecure=bool(cluster.get("insecure-skip-tls-verify", False)),
        server_name=cluster.get("tls-server-name"),
        proxy=cluster.get("proxy-url"),
    )


def _read(path: Path) -> dict[str, Any]:
    try:
        content = yaml.safe_load(path.read_text())
    except (OSError, yaml.YAMLError) as error:
        raise ConfigError(f"the kubeconfig {path} cannot be read: {error}") from error
    if not isinstance(content, dict):
        raise ConfigError(f"{path} is no kubeconfig: a mapping is expected")
    return content


def _named(
    documents: Sequence[tuple[Path, Mapping[str, Any]]], section: str, key: str, name: str
) -> tuple[Path, Mapping[str, Any]]:
    known: list[str] = []
    for path, document in documents:
        for entry in document.get(section) or ():
            known.append(str(entry.get("name")))
            if entry.get("name") == name:
                return path.parent, entry.get(key) or {}
    raise ConfigError(
        f"the kubeconfig has no {key} {name!r}; there are: {', '.join(sorted(known)) or 'none'}"
    )


def _material(entry: Mapping[str, Any], key: str, folder: Path) -> str | None:
    encoded, name = entry.get(f"{key}-data"), entry.get(key)
    try:
        if encoded:
            return base64.b64decode(encoded, validate=True).decode()
        return (folder / name).read_text() if name else None
    except (OSError, binascii.Error, UnicodeDecodeError) as error:
        raise ConfigError(f"{key} of the kubeconfig cannot be read: {error}") from error


def _load_pair(context: ssl.SSLContext, certificate: str, private_key: str) -> None:
    # The standard library takes certificates from files only; the file is readable by its owner and gone at once.
    with tempfile.NamedTemporaryFile("w", suffix=".pem") as stream:
        stream.write(f"{certificate.rstrip()}\n{private_key.rstrip()}\n")
        stream.flush()
        context.load_cert_chain(stream.name)
