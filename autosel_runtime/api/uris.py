"""URIs of inputs: paths, ``file://`` and ``s3://bucket/key``; anything else is refused with its document's line."""

import re
from typing import Annotated

from pydantic import AfterValidator, Field

S3_SCHEME = "s3://"
ALLOWED = "a path, file:///path, s3://bucket/key, or s3://bucket/folder/"

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
    if not bucket:
        return f"found {uri!r}, which names no bucket; allowed: {ALLOWED}"
    if _BUCKET.fullmatch(bucket) is None:
        return (
            f"found {uri!r}; {bucket!r} is no bucket name: 3 to 63 lower-case letters, digits, dots, hyphens and "
            "underscores"
        )
    if not key and not uri.endswith("/"):
        return f"found {uri!r}, which names no key; for the whole bucket write s3://{bucket}/"
    if any(part in ("", ".", "..") for part in key.removesuffix("/").split("/")) and key:
        return f"found {uri!r}, whose key has an empty segment, . or .., which no folder can hold"
    return None


def _check(uri: str) -> str:
    problem = uri_problem(uri)
    if problem is not None:
        raise ValueError(problem)
    return uri


InputUri = Annotated[str, Field(min_length=1, max_length=1024), AfterValidator(_check)]
