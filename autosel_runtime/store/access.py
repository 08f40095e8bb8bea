"""How a search reaches object storage: endpoint, region, certificates and keys of its storage section."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from autosel_runtime.api.resources import StorageSpec
from autosel_runtime.api.search import SecretKeyRef
from autosel_runtime.errors import ConfigError, NoInputError


@dataclass(frozen=True, kw_only=True)
class S3Access:
    """Settings of an S3 client; what is None comes from the environment's usual chain."""

    endpoint: str | None = None
    region: str | None = None
    path_style: bool = False
    ca_bundle: Path | None = None
    access_key: str | None = field(default=None, repr=False)
    secret_key: str | None = field(default=None, repr=False)


def s3_access(spec: StorageSpec, *, base: Path, environ: Mapping[str, str]) -> S3Access:
    """Return the access that ``spec`` describes; relative paths start at ``base``.

    Credentials are environment variables named by the keys of their references. ConfigError for a combination that
    cannot work or a variable that is not set, NoInputError for certificates that are not there.
    """
    if (spec.access_key is None) != (spec.secret_key is None):
        raise ConfigError("storage.accessKey and storage.secretKey go together; one of them is missing")
    ca_bundle = base / spec.ca_bundle if spec.ca_bundle is not None else None
    if ca_bundle is not None and not ca_bundle.is_file():
        raise NoInputError(f"storage.caBundle: file {ca_bundle} does not exist")
    return S3Access(
        endpoint=spec.endpoint,
        region=spec.region,
        path_style=spec.path_style,
        ca_bundle=ca_bundle,
        access_key=_secret(spec.access_key, "storage.accessKey", environ),
        secret_key=_secret(spec.secret_key, "storage.secretKey", environ),
    )


def _secret(reference: SecretKeyRef | None, name: str, environ: Mapping[str, str]) -> str | None:
    if reference is None:
        return None
    value = environ.get(reference.key, "")
    if not value:
        raise ConfigError(f"{name}: environment variable {reference.key} is not set")
    return value
