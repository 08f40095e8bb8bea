"""From the storage section of a search to a store."""

from collections.abc import Mapping
from pathlib import Path

from autosel_runtime.api.resources import StorageSpec
from autosel_runtime.api.search import SecretKeyRef
from autosel_runtime.errors import ConfigError, NoInputError, UnavailableError
from autosel_runtime.store.folder import FolderStore
from autosel_runtime.store.port import Store

SCHEME = "s3://"


def open_store(spec: StorageSpec, *, base: Path, default: Path, environ: Mapping[str, str]) -> Store:
    """Return the store of ``spec``.

    Relative folders start at ``base``, the document's folder; ``default`` is the folder when no uri is given.
    Credentials are environment variables named by the keys of their references. ConfigError for a combination
    that cannot work, UnavailableError without the S3 library.
    """
    if spec.uri is None:
        return FolderStore(default)
    if not spec.uri.startswith(SCHEME):
        if "://" in spec.uri:
            raise ConfigError(
                f"storage.uri {spec.uri!r} is not supported; allowed are s3://bucket/prefix and a folder"
            )
        return FolderStore(base / Path(spec.uri).expanduser())
    bucket, _, prefix = spec.uri.removeprefix(SCHEME).partition("/")
    if not bucket:
        raise ConfigError(f"storage.uri {spec.uri!r} names no bucket; write s3://bucket/prefix")
    if (spec.access_key is None) != (spec.secret_key is None):
        raise ConfigError("storage.accessKey and storage.secretKey go together; one of them is missing")
    ca_bundle = base / spec.ca_bundle if spec.ca_bundle is not None else None
    if ca_bundle is not None and not ca_bundle.is_file():
        raise NoInputError(f"storage.caBundle: file {ca_bundle} does not exist")
    try:
        from autosel_runtime.store.s3 import S3Store  # boto3 is an extra and slow to import
    except ImportError as error:
        raise UnavailableError(
            f"storage.uri {spec.uri!r} needs boto3; install it with: pip install 'autosel[s3]'"
        ) from error
    return S3Store(
        bucket,
        prefix,
        endpoint=spec.endpoint,
        region=spec.region,
        path_style=spec.path_style,
        ca_bundle=ca_bundle,
        access_key=_secret(spec.access_key, "storage.accessKey", environ),
        secret_key=_secret(spec.secret_key, "storage.secretKey", environ),
    )


def _secret(reference: SecretKeyRef | None, field: str, environ: Mapping[str, str]) -> str | None:
    if reference is None:
        return None
    value = environ.get(reference.key, "")
    if not value:
        raise ConfigError(f"{field}: environment variable {reference.key} is not set")
    return value
