"""From the options of a command to one search in a cluster."""

import asyncio
import os
import ssl
from collections.abc import AsyncGenerator, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import aiohttp

from autosel_runtime.errors import (
    AutoselError,
    ConfigError,
    DataError,
    DeniedError,
    NoInputError,
    TransientError,
)
from controller.cluster.question import Question
from controller.cluster.refusals import sentence_of_refusal
from controller.kube.auth import Access, find_access
from controller.kube.client import Client, open_client
from controller.kube.errors import (
    ApiError,
    ConflictError,
    ForbiddenError,
    InvalidObjectError,
    ServerUnavailableError,
    UnauthorizedError,
)
from controller.kube.rate import RateLimit

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class Cluster:
    """A connection, and the search that is asked about."""

    client: Client
    namespace: str
    name: str

    @property
    def server(self) -> str:
        """The API server's address."""
        return self.client.access.server


def access_of(question: Question) -> Access:
    """Return how to reach the cluster. ConfigError when the kubeconfig does not say; NoInputError when there is none
    and nobody spoke of a cluster."""
    try:
        access = find_access(kubeconfig=question.kubeconfig, context=question.context, plugins=True)
    except ConfigError as error:
        if question.given or os.environ.get("KUBECONFIG") or "there is no kubeconfig" not in str(error):
            raise
        raise NoInputError(
            f"{question.name} is not a run folder, and no cluster can be asked for a search of that name: {error}"
        ) from None
    return replace(access, namespace=question.namespace or access.namespace)


@asynccontextmanager
async def connect(question: Question) -> AsyncGenerator[Cluster]:
    """Open a connection. What the API server refuses inside the block becomes a sentence with an exit code."""
    access = access_of(question)
    try:
        limit = RateLimit(per_second=50.0, burst=100)
        async with open_client(access, limit=limit, agent="autosel-cli") as client:
            yield Cluster(client=client, namespace=access.namespace, name=question.name)
    except ApiError as error:
        raise explained(error, access.server) from error


def explained(error: ApiError, server: str) -> AutoselError:
    """Return what a person can do about an answer of the API server."""
    if isinstance(error, UnauthorizedError):
        return DeniedError(
            f"{server} does not accept the credentials of the kubeconfig: they may have expired; log in again"
        )
    if isinstance(error, ForbiddenError):
        return DeniedError(sentence_of_refusal(str(error)))
    if isinstance(error, ServerUnavailableError):
        return _unreachable(error, server)
    if isinstance(error, InvalidObjectError):
        return DataError(f"{server} refuses: {error}")
    if isinstance(error, ConflictError):
        return TransientError(f"the object was changed at the same moment; try again ({error})")
    return error


def ask(question: Coroutine[Any, Any, T]) -> T:
    """Run a conversation with a cluster to its end."""
    return asyncio.run(question)


def _unreachable(error: ServerUnavailableError, server: str) -> AutoselError:
    cause = error.__cause__
    if isinstance(
        cause, aiohttp.ClientConnectorCertificateError | aiohttp.ClientConnectorSSLError | ssl.SSLError
    ):
        return ConfigError(
            f"the certificate of {server} is not that of the cluster in the kubeconfig: {_short(cause)}"
        )
    if isinstance(cause, TimeoutError):
        return TransientError(f"{server} does not answer in time")
    if isinstance(cause, aiohttp.ClientConnectorError | OSError):
        return TransientError(f"{server} cannot be reached: {_short(cause)}")
    if isinstance(cause, aiohttp.ClientPayloadError | aiohttp.ServerDisconnectedError):
        return TransientError(f"the connection to {server} broke off")
    return TransientError(f"{server} does not answer as it should: {error}")


def _short(cause: BaseException) -> str:
    inner = getattr(cause, "os_error", cause)
    number = getattr(inner, "errno", None)
    known = (
        os.strerror(number) if isinstance(number, int) and number > 0 else getattr(inner, "strerror", None)
    )
    return " ".join(str(known or inner or "the connection was closed").split())[:200]
