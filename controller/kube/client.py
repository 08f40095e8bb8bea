"""A thin client of the API server: the few calls that the controller makes, with limits, timeouts and clear errors.

No call is repeated here. Every caller is level-triggered: it comes again, reads what is, and does what is missing, so
a call whose answer was lost needs no memory.
"""

import ssl
import time
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import asynccontextmanager
from email.utils import parsedate_to_datetime
from typing import Any

import aiohttp
import orjson

from controller.kube.api import Listing, Object
from controller.kube.auth import Access
from controller.kube.errors import ApiError, IntakeClosedError, ServerUnavailableError, error_of
from controller.kube.kinds import Kind
from controller.kube.rate import RateLimit

CALL_SECONDS = 30.0
CONNECT_SECONDS = 5.0
PAGE = 500
MERGE_PATCH = "application/merge-patch+json"
JSON = "application/json"
# What the server answers with when objects are asked for without spec and status: a third of the bytes.
METADATA_LIST = "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io"
METADATA = "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io"


Count = Callable[[str, str, str, float], None]


def _count_nothing(verb: str, plural: str, outcome: str, seconds: float) -> None:
    del verb, plural, outcome, seconds


class Client:
    """An ``Api`` over HTTP. Use ``open_client``; one client belongs to one event loop."""

    def __init__(
        self, access: Access, session: aiohttp.ClientSession, *, limit: RateLimit, count: Count, agent: str
    ) -> None:
        self.access = access
        self._session = session
        self._limit = limit
        self._count = count
        self._agent = agent
        self._tls: ssl.SSLContext | bool = access.tls() if access.server.startswith("https:") else False
        self._may_write: Callable[[], bool] = lambda: True
        self._closed = False
        self._date = (time.time(), time.monotonic())

    def guard_writes(self, allowed: Callable[[], bool]) -> None:
        """Refuse writes while ``allowed()`` is false: a controller that no longer leads must not act."""
        self._may_write = allowed

    def close_intake(self) -> None:
        """Let calls in flight finish and refuse new ones; for shutting down."""
        self._closed = True

    async def get(self, kind: Kind, namespace: str, name: str) -> Object:
        """Return one object."""
        return await self._call("get", kind, kind.path(namespace, name))

    async def list(
        self,
        kind: Kind,
        namespace: str | None,
        labels: Mapping[str, str] | None = None,
        *,
        fields: str | None = None,
    ) -> Listing:
        """Return all objects, read page by page; ``fields`` is a field selector."""
        items: list[Object] = []
        version = ""
        async for page in self.pages(kind, namespace, labels, fields=fields):
            items += page.items
            version = page.resource_version
        return Listing(items=tuple(items), resource_version=version)

    async def pages(
        self,
        kind: Kind,
        namespace: str | None,
        labels: Mapping[str, str] | None = None,
        *,
        fields: str | None = None,
        metadata_only: bool = False,
    ) -> AsyncGenerator[Listing]:
        """Yield all objects in pages, so that they need not be in memory at once; all pages have one version."""
        accept = METADATA_LIST if metadata_only else JSON
        query = {"limit": str(PAGE), **selector(labels, fields)}
        while True:
            page = await self._call("list", kind, kind.path(namespace), query=query, accept=accept)
            metadata = page.get("metadata") or {}
            yield Listing(
                items=tuple(page.get("items") or ()),
                resource_version=str(metadata.get("resourceVersion", "")),
            )
            if not metadata.get("continue"):
                return
            query = {**query, "continue": metadata["continue"]}

    async def create(self, kind: Kind, namespace: str, body: Object) -> Object:
        """Create an object."""
        return await self._call("create", kind, kind.path(namespace), body=body)

    async def patch(
        self, kind: Kind, namespace: str, name: str, body: Object, subresource: str | None = None
    ) -> Object:
        """Change an object by a merge patch."""
        return await self._call("patch", kind, kind.path(namespace, name, subresource), body=body)

    async def delete(
        self,
        kind: Kind,
        namespace: str,
        name: str,
        *,
        uid: str | None = None,
        resource_version: str | None = None,
    ) -> None:
        """Delete an object."""
        body: Object = {"apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": "Background"}
        conditions = {"uid": uid, "resourceVersion": resource_version}
        if any(conditions.values()):
            body["preconditions"] = {key: value for key, value in conditions.items() if value is not None}
        await self._call("delete", kind, kind.path(namespace, name), body=body)

    def now(self) -> float:
        """Return the server's clock, read from the newest answer."""
        date, seen = self._date
        return date + time.monotonic() - seen

    def _read_clock(self, answer: aiohttp.ClientResponse) -> None:
        parsed = parsedate_to_datetime(answer.headers["Date"]) if "Date" in answer.headers else None
        if parsed is not None:
            self._date = (parsed.timestamp(), time.monotonic())

    async def _call(
        self,
        verb: str,
        kind: Kind,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: Object | None = None,
        accept: str = JSON,
    ) -> Object:
        await self._limit.take()
        if self._closed or (body is not None and not self._may_write()):
            raise IntakeClosedError(f"{verb} {path} was not sent: the controller stops or does not lead")
        started, outcome = time.monotonic(), "ok"
        try:
            async with self._request(
                _METHODS[verb],
                path,
                query,
                body,
                aiohttp.ClientTimeout(total=CALL_SECONDS, connect=CONNECT_SECONDS),
                accept,
            ) as answer:
                self._read_clock(answer)
                return await read_answer(answer, f"{verb} {path}")
        except ApiError as error:
            outcome = error.name
            raise
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            outcome = "ServerUnavailable"
            raise ServerUnavailableError(f"{verb} {path}: {type(error).__name__}: {error}") from error
        finally:
            self._count(verb, kind.plural, outcome, time.monotonic() - started)

    @asynccontextmanager
    async def stream(
        self,
        kind: Kind,
        path: str,
        query: Mapping[str, str],
        *,
        quiet_seconds: float | None,
        metadata_only: bool = False,
    ) -> AsyncGenerator[aiohttp.StreamReader]:
        """Open a long answer that ends when nothing comes for ``quiet_seconds``; for watches and logs."""
        await self._limit.take()
        if self._closed:
            raise IntakeClosedError(f"watch {path} was not sent: the controller stops")
        timeout = aiohttp.ClientTimeout(total=None, connect=CONNECT_SECONDS, sock_read=quiet_seconds)
        started, outcome = time.monotonic(), "ok"
        try:
            accept = METADATA if metadata_only else JSON
            async with self._request("GET", path, query, None, timeout, accept) as answer:
                if answer.status != 200:
                    await read_answer(answer, f"watch {path}")
                yield answer.content
        except ApiError as error:
            outcome = error.name
            raise
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            outcome = "ServerUnavailable"
            raise ServerUnavailableError(f"watch {path}: {type(error).__name__}: {error}") from error
        finally:
            self._count("watch", kind.plural, outcome, time.monotonic() - started)

    def _request(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | None,
        body: Object | None,
        timeout: aiohttp.ClientTimeout,
        accept: str,
    ) -> Any:
        headers = {"Accept": accept, "User-Agent": self._agent}
        token = self.access.bearer()
        if token:
            headers["Authorization"] = f"Bearer {token}"
        if body is not None:
            headers["Content-Type"] = MERGE_PATCH if method == "PATCH" else JSON
        return self._session.request(
            method,
            self.access.server + path,
            params=query,
            data=orjson.dumps(body) if body is not None else None,
            headers=headers,
            ssl=self._tls,
            server_hostname=self.access.server_name,
            proxy=self.access.proxy,
            timeout=timeout,
            allow_redirects=False,
        )


_METHODS = {"get": "GET", "list": "GET", "create": "POST", "patch": "PATCH", "delete": "DELETE"}


@asynccontextmanager
async def open_client(
    access: Access, *, limit: RateLimit | None = None, count: Count = _count_nothing, agent: str = "autosel"
) -> AsyncGenerator[Client]:
    """Open a client; its connections end with the block."""
    connector = aiohttp.TCPConnector(limit=32, keepalive_timeout=60)
    async with aiohttp.ClientSession(connector=connector) as session:
        yield Client(access, session, limit=limit or RateLimit(), count=count, agent=agent)


def selector(labels: Mapping[str, str] | None, fields: str | None = None) -> dict[str, str]:
    """Return the query that selects by labels and fields; an empty label asks only that it is there."""
    query = {"fieldSelector": fields} if fields else {}
    if labels:
        chosen = (f"{key}={value}" if value else key for key, value in sorted(labels.items()))
        query["labelSelector"] = ",".join(chosen)
    return query


async def read_answer(answer: aiohttp.ClientResponse, call: str) -> Object:
    """Return the object of an answer, or raise what the server says."""
    data = await answer.read()
    try:
        body = orjson.loads(data) if data else {}
    except orjson.JSONDecodeError:
        body = {"message": data[:200].decode(errors="replace")}
    if not isinstance(body, dict):
        body = {}
    if 200 <= answer.status < 300:
        return body
    header = answer.headers.get("Retry-After", "")
    raise error_of(answer.status, body, call=call, retry_after=float(header) if header.isdigit() else None)
