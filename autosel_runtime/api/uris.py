"""URIs of inputs: paths, ``file://`` and ``s3://bucket/key``; of stores; addresses of services. What is none is refused
with its document's line."""

import re
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field

S3_SCHEME = "s3://"
ALLOWED = "a path, file:///path, s3://bucket/key, or s3://bucket/folder/"
STORES = "a folder, s3://bucket, or s3://bucket/prefix"

_BUCKET = re.compile(r"[a-z0-9][a-z0-9._-]{1,61}[a-z0-9]")


def is_s3(uri: str) -> bool:
    """Say whether ``uri`` names something in object storage."""
    return uri.startswith(S3_SCHEME)


def split_s3(uri: str) -> tuple[str, str]:
    """Return bucket and key of an ``s3://`` uri; the key is empty for a whole bucket."""
    bucket, _, key = uri.removeprefix(S3_SCHEME).partition("/")
    return bucket, key


def uri_problem(uri: str) -> str | None:
    """Return what is wrong with the uri of an input, None when it can be read."""
    scheme, separator, _ = uri.partition("://")
    if not separator or scheme == "file":
        return None
    if scheme != "s3":
        return f"found {uri!r}; the scheme {scheme!r} is not supported; allowed: {ALLOWED}"
    bucket, key = split_s3(uri)
    problem = _object_problem(uri, ALLOWED)
    if problem is None and not key and not uri.endswith("/"):
        return f"found {uri!r}, which names no key; for the whole bucket write s3://{bucket}/"
    return problem


def store_uri_problem(uri: str) -> str | None:
    """Return what is wrong with the uri of a store, None when it is a folder or a place in a bucket."""
    scheme, separator, _ = uri.partition("://")
    if not separator:
        return None
    if scheme != "s3":
        return f"found {uri!r}; the scheme {scheme!r} is not supported; allowed: {STORES}"
    return _object_problem(uri, STORES)


def _object_problem(uri: str, allowed: str) -> str | None:
    bucket, key = split_s3(uri)
    if not bucket:
        return f"found {uri!r}, which names no bucket; allowed: {allowed}"
    if _BUCKET.fullmatch(bucket) is None:
        return (
            f"found {uri!r}; {bucket!r} is no bucket name: 3 to 63 lower-case letters, digits, dots, hyphens and "
            "underscores"
        )
    if any(part in ("", ".", "..") for part in key.removesuffix("/").split("/")) and key:
        return f"found {uri!r}, whose key has an empty segment, . or .., which no folder can hold"
    return None


def _check(uri: str) -> str:
    problem = uri_problem(uri)
    if problem is not None:
        raise ValueError(problem)
    return uri


def _check_store(uri: str) -> str:
    problem = store_uri_problem(uri)
    if problem is not None:
        raise ValueError(problem)
    return uri


def web_address_problem(address: str) -> str | None:
    """Return what is wrong with the address of a service, None when it can be asked."""
    allowed = "allowed: http://host:port/path and https://host:port/path"
    if any(character.isspace() or not character.isprintable() for character in address):
        return f"found {address!r}, which has a space or a control character; {allowed}"
    try:
        parts = urlsplit(address)
        port = parts.port
    except ValueError as error:
        return f"found {address!r}: {str(error)[:1].lower()}{str(error)[1:]}; {allowed}"
    if parts.scheme not in ("http", "https") or "://" not in address:
        return f"found {address!r}, which does not begin with http:// or https://; {allowed}"
    if not parts.hostname or port == 0:
        return f"found {address!r}, which names no {'port' if parts.hostname else 'host'}; {allowed}"
    return None


def _check_web_address(address: str) -> str:
    problem = web_address_problem(address)
    if problem is not None:
        raise ValueError(problem)
    return address


WebAddress = Annotated[str, Field(min_length=1, max_length=1024), AfterValidator(_check_web_address)]
InputUri = Annotated[str, Field(min_length=1, max_length=1024), AfterValidator(_check)]
StoreUri = Annotated[str, Field(min_length=1, max_length=1024), AfterValidator(_check_store)]
