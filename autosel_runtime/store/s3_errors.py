"""What went wrong in an S3 call: is it worth another try, and what does a person read?"""

from dataclasses import dataclass
from typing import Any

from botocore import exceptions as botocore_errors
from botocore.parsers import ResponseParserError

from autosel_runtime.errors import AutoselError, ConfigError, NoInputError, OutputError, TransientError

_MISSING_KEY = frozenset({"NoSuchKey", "NotFound", "404"})
_DENIED = frozenset(
    {
        "AccessDenied",
        "AllAccessDisabled",
        "ExpiredToken",
        "Forbidden",
        "InvalidAccessKeyId",
        "InvalidToken",
        "SignatureDoesNotMatch",
        "TokenRefreshRequired",
        "Unauthorized",
    }
)
_TRANSIENT = frozenset(
    {
        "ConditionalRequestConflict",
        "InternalError",
        "OperationAborted",
        "RequestTimeout",
        "RequestTimeoutException",
        "RequestTimeTooSkewed",
        "SlowDown",
        "Throttling",
        "ThrottlingException",
        "TooManyRequests",
        "ServiceUnavailable",
        "BadDigest",
        "IncompleteBody",
        "XAmzContentSHA256Mismatch",
    }
)
_FULL = frozenset({"EntityTooLarge", "QuotaExceeded", "XMinioStorageFull", "InsufficientCapacity"})
_TRANSPORT = (
    botocore_errors.ConnectionError,  # refused, no such host, connection time-out
    botocore_errors.HTTPClientError,  # read time-out, proxy, closed connection
    botocore_errors.IncompleteReadError,
    botocore_errors.ResponseStreamingError,
    botocore_errors.FlexibleChecksumError,
    ResponseParserError,
    botocore_errors.CredentialRetrievalError,
    botocore_errors.MetadataRetrievalError,
)


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where a call went. Carries no credentials, so that no message can."""

    endpoint: str
    bucket: str
    prefix: str

    def __str__(self) -> str:
        return f"s3://{self.bucket}/{self.prefix}".removesuffix("/") + f" at {self.endpoint}"


def status_of(error: Exception) -> int:
    """Return the HTTP status of a service error, 0 for anything else."""
    response: Any = getattr(error, "response", None)
    if not isinstance(response, dict):
        return 0
    return int(response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))


def code_of(error: Exception) -> str:
    """Return the service's error code, empty for anything else."""
    response: Any = getattr(error, "response", None)
    return str(response.get("Error", {}).get("Code", "")) if isinstance(response, dict) else ""


def classify(error: Exception, *, place: Place, action: str) -> AutoselError:
    """Return the autosel error for what botocore raised while doing ``action`` ("read KEY", say)."""
    if isinstance(error, botocore_errors.ClientError):
        return _classify_answer(error, place=place, action=action)
    if isinstance(error, botocore_errors.SSLError) and "CERTIFICATE" in str(error).upper():
        return ConfigError(
            f"cannot {action} in {place}: the server's certificate is not trusted; set storage.caBundle to its "
            "authority's certificate"
        )
    if isinstance(error, _TRANSPORT):
        return TransientError(f"cannot {action} in {place}: {_one_line(error)}")
    if isinstance(error, botocore_errors.NoCredentialsError | botocore_errors.PartialCredentialsError):
        return ConfigError(
            f"cannot {action} in {place}: no credentials; set storage.accessKey and storage.secretKey, or "
            "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
        )
    return ConfigError(f"cannot {action} in {place}: {_one_line(error)}")


def _classify_answer(error: Exception, *, place: Place, action: str) -> AutoselError:
    code, status = code_of(error), status_of(error)
    said = f"the server answered {status} {code}".rstrip()
    if code == "NoSuchBucket":
        return ConfigError(
            f"cannot {action}: bucket {place.bucket} does not exist at {place.endpoint}; create it"
        )
    if (
        code in _TRANSIENT
        or status in (408, 409, 429)
        or (status >= 500 and status != 501 and code not in _FULL)
    ):
        return TransientError(f"cannot {action} in {place}: {said}")
    if code in _FULL or status == 507:
        return OutputError(f"cannot {action} in {place}: the store is full or refuses the size ({said})")
    if code in _MISSING_KEY or (status == 404 and code != "NoSuchUpload"):
        return NoInputError(f"cannot {action}: it does not exist in {place}")
    if code in _DENIED or status in (401, 403):
        return ConfigError(
            f"cannot {action}: no permission in bucket {place.bucket} under {place.prefix or 'its root'!r} at "
            f"{place.endpoint} ({said}); check the credentials and their rights"
        )
    if status in (301, 307) or code == "AuthorizationHeaderMalformed":
        return ConfigError(
            f"cannot {action}: bucket {place.bucket} lies in another region; set storage.region ({said})"
        )
    return ConfigError(f"cannot {action} in {place}: {said}")


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:300] or type(error).__name__
