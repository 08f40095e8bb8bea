"""From the storage section of a search to a store."""

from collections.abc import Mapping
from pathlib import Path

from autosel_runtime.api.resources import StorageSpec
from autosel_runtime.api.uris import is_s3, split_s3, store_uri_problem
from autosel_runtime.errors import ConfigError, UnavailableError
from autosel_runtime.store.access import s3_access
from autosel_runtime.store.folder import FolderStore
from autosel_runtime.store.port import Store


def open_store(spec: StorageSpec, *, base: Path, default: Path, environ: Mapping[str, str]) -> Store:
    """Return the store of ``spec``.

    Relative folders start at ``base``, the document's folder; ``default`` is the folder when no uri is given.
    Credentials are environment variables named by the keys of their references. ConfigError for a combination
    that cannot work, UnavailableError without the S3 library.
    """
    if spec.uri is None:
        return FolderStore(default)
    problem = store_uri_problem(spec.uri)  # a uri that was set after the document was read was not checked
    if problem is not None:
        raise ConfigError(f"storage.uri: {problem}")
    if not is_s3(spec.uri):
        return FolderStore(base / Path(spec.uri).expanduser())
    bucket, prefix = split_s3(spec.uri)
    access = s3_access(spec, base=base, environ=environ)
    try:
        from autosel_runtime.store.s3 import S3Store  # boto3 is an extra and slow to import
    except ImportError as error:
        raise UnavailableError(
            f"storage.uri {spec.uri!r} needs boto3; install it with: pip install 'autosel[s3]'"
        ) from error
    return S3Store(
        bucket,
        prefix,
        endpoint=access.endpoint,
        region=access.region,
        path_style=access.path_style,
        ca_bundle=access.ca_bundle,
        access_key=access.access_key,
        secret_key=access.secret_key,
    )
