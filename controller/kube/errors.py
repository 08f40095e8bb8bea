"""What the API server can answer, told apart by what the controller should do about it.

A status code alone is not enough: 403 is a quota that frees up later, a pod that is not secure enough, a namespace on
its way out, or a missing permission; 409 is a name that is taken or an object that has changed.
"""

from collections.abc import Mapping
from typing import Any

from autosel_runtime.errors import AutoselError

LONGEST_MESSAGE = 1000


class ApiError(AutoselError):
    """A call to the API server that did not do what was asked.

    ``retry_after`` is the number of seconds that the server asks to wait, None when it does not say.
    """

    exit_code = 69

    def __init__(self, message: str, *, status: int | None = None, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.retry_after = retry_after

    @property
    def name(self) -> str:
        """The class in one word, for metrics and logs."""
        return type(self).__name__.removesuffix("Error")


class ConflictError(ApiError):
    """The object has changed since it was read, or a precondition does not hold: read again."""


class AlreadyExistsError(ApiError):
    """The name is taken: look whose it is."""


class NotFoundError(ApiError):
    """The object or the kind does not exist."""


class ExpiredError(ApiError):
    """The resource version is too old to go on from: list again."""


class InvalidObjectError(ApiError):
    """The server refuses the object itself; the same object will be refused again."""


class UnauthorizedError(ApiError):
    """The credentials are not accepted."""


class ForbiddenError(ApiError):
    """The controller may not do this: a permission is missing or a policy refuses."""


class AdmissionRefusedError(ForbiddenError):
    """An admission webhook of the cluster refuses the object."""


class QuotaExceededError(ForbiddenError):
    """A ResourceQuota is used up; it may free up by itself."""


class PodSecurityError(ForbiddenError):
    """The namespace's pod security level refuses the pod."""


class NamespaceTerminatingError(ForbiddenError):
    """The namespace is being deleted: nothing can be created in it any more."""


class TooManyRequestsError(ApiError):
    """The server is busy and says so."""


class ServerUnavailableError(ApiError):
    """The server did not answer, or answered that it cannot now. A write may or may not have taken effect."""


class AdmissionUnavailableError(ServerUnavailableError):
    """An admission webhook of the cluster does not answer, so the server refuses the object for now."""


class IntakeClosedError(ApiError):
    """The controller is shutting down or no longer leads: no further call is sent."""


_BY_STATUS: Mapping[int, type[ApiError]] = {
    400: InvalidObjectError,
    401: UnauthorizedError,
    403: ForbiddenError,
    404: NotFoundError,
    409: ConflictError,
    410: ExpiredError,
    413: InvalidObjectError,
    422: InvalidObjectError,
    429: TooManyRequestsError,
}


def error_of(
    status: int, body: Mapping[str, Any], *, call: str, retry_after: float | None = None
) -> ApiError:
    """Return the error of an answer. ``body`` is the server's Status object, empty when it sent none."""
    reason, text = str(body.get("reason", "")), str(body.get("message", ""))
    kind = _kind(status, reason, text, body)
    details = body.get("details")
    if retry_after is None and isinstance(details, Mapping) and details.get("retryAfterSeconds"):
        retry_after = float(details["retryAfterSeconds"])
    sentence = f"{call}: {text or reason or 'no reason given'} ({status})"
    return kind(sentence[:LONGEST_MESSAGE], status=status, retry_after=retry_after)


def _kind(status: int, reason: str, text: str, body: Mapping[str, Any]) -> type[ApiError]:
    if status == 409 and reason == "AlreadyExists":
        return AlreadyExistsError
    if reason == "Expired":
        return ExpiredError
    if "admission webhook" in text and "denied the request" in text:
        return AdmissionRefusedError  # with whatever code the webhook chose, 409 and 500 among them
    if status == 403:
        return _kind_of_refusal(text, body)
    if status >= 500 and "failed calling webhook" in text:
        return AdmissionUnavailableError
    if status >= 500 or status in (408, 425):
        return ServerUnavailableError
    return _BY_STATUS.get(status, ApiError)


def _kind_of_refusal(text: str, body: Mapping[str, Any]) -> type[ApiError]:
    causes = (body.get("details") or {}).get("causes") or ()
    # A quota's status is unknown in the moments after it was made.
    if "exceeded quota" in text or "status unknown for quota" in text:
        return QuotaExceededError
    if "violates PodSecurity" in text:
        return PodSecurityError
    if any(cause.get("reason") == "NamespaceTerminating" for cause in causes) or "being terminated" in text:
        return NamespaceTerminatingError
    return ForbiddenError
