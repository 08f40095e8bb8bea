"""The store of a search in a cluster, for somebody elsewhere who only reads."""

from collections.abc import Mapping

from autosel_runtime.api.resources import StorageSpec
from autosel_runtime.api.uris import store_uri_problem
from autosel_runtime.errors import ConfigError, UnavailableError
from autosel_runtime.store.port import Store
from autosel_runtime.store.retry import Retry

SCHEME = "s3://"
SECONDS = 15.0


def open_to_read(spec: StorageSpec, *, environ: Mapping[str, str]) -> Store:
    """Return the store; nothing is written to it, not even to try it out.

    The keys of the search are used where the environment has them, else the environment's usual chain. A server that
    does not answer is given up after seconds, not minutes. ConfigError for a folder, which only pods see;
    UnavailableError without the S3 library.
    """
    if spec.uri is None or not spec.uri.startswith(SCHEME):
        raise ConfigError(f"the store {spec.uri} is a folder that only the pods of the search see")
    problem = store_uri_problem(spec.uri)
    if problem is not None:
        raise ConfigError(f"the store's uri: {problem}")
    try:
        from autosel_runtime.store.s3 import S3Store  # boto3 is an extra and slow to import
    except ImportError as error:
        raise UnavailableError(
            f"reading {spec.uri} needs boto3; install it with: pip install 'autosel[s3]'"
        ) from error
    bucket, _, prefix = spec.uri.removeprefix(SCHEME).partition("/")
    keys = [reference.key for reference in (spec.access_key, spec.secret_key) if reference is not None]
    given = [environ[key] for key in keys if environ.get(key)]
    access_key, secret_key = given if len(given) == 2 else (None, None)
    return S3Store(
        bucket,
        prefix,
        endpoint=spec.endpoint,
        region=spec.region,
        path_style=spec.path_style,
        access_key=access_key,
        secret_key=secret_key,
        retry=Retry(attempts=2),
        timeout=SECONDS,
        probe=False,
    )
