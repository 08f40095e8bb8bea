"""A proxy in front of a real API server that misbehaves on request.

Clients talk plain HTTP to it; it talks to the server with the administrator's credentials. ``plan`` sees every call and
says what is done to it: nothing; ``refuse`` (an answer of our own, the server hears nothing); ``drop`` (the connection
is reset, the server hears nothing); ``lose`` (the server acts, then the connection is reset); ``delay``; ``cut_after``
bytes (a watch ends in the middle of a line, by a reset or, ``cut_cleanly``, as if it were complete). ``on_call`` and
``on_answer`` are told of every call before and after the server; ``forbidden`` are those that the server answered
with 403.
"""

import asyncio
import contextlib
import json
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
import yaml
from aiohttp import web

from controller.kube.auth import Access, from_kubeconfig
from tests.kube.plane import Plane

HOP = frozenset(
    {"connection", "transfer-encoding", "content-length", "host", "keep-alive", "content-encoding"}
)
REASONS = {
    409: "Conflict",
    410: "Expired",
    429: "TooManyRequests",
    500: "InternalError",
    503: "ServiceUnavailable",
}


@dataclass(frozen=True, kw_only=True)
class Call:
    """One call as it arrived: ``number`` counts those of one ``agent`` from 0."""

    number: int
    agent: str
    method: str
    path: str
    query: str

    @property
    def watch(self) -> bool:
        """Whether the answer is a stream."""
        return "watch=true" in self.query

    @property
    def writes(self) -> bool:
        """Whether the call changes something."""
        return self.method in ("POST", "PATCH", "PUT", "DELETE")


@dataclass(frozen=True, kw_only=True)
class Harm:
    """What is done to one call."""

    drop: bool = False
    lose: bool = False
    refuse: int | None = None
    retry_after: int | None = None
    delay: float = 0.0
    cut_after: int | None = None
    cut_cleanly: bool = False


Plan = Callable[[Call], Harm | None]


@dataclass(kw_only=True)
class FaultProxy:
    """What the proxy does and has done."""

    access: Access
    plan: Plan = lambda call: None
    calls: list[Call] = field(default_factory=list[Call])
    forbidden: list[Call] = field(default_factory=list[Call])
    harmed: list[tuple[Call, Harm]] = field(default_factory=list[tuple[Call, Harm]])
    on_call: Callable[[Call], None] = lambda call: None
    on_answer: Callable[[Call], None] = lambda call: None
    url: str = ""
    counts: dict[str, int] = field(default_factory=dict[str, int])

    def kubeconfig(self, folder: Path) -> Path:
        """A kubeconfig that leads through the proxy."""
        path = folder / "proxied-kubeconfig"
        content = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "c",
            "clusters": [{"name": "c", "cluster": {"server": self.url}}],
            "users": [{"name": "u", "user": {}}],
            "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
        }
        path.write_text(yaml.safe_dump(content))
        return path

    async def serve(self, session: aiohttp.ClientSession, request: web.Request) -> web.StreamResponse:
        """Pass one call on, or not."""
        agent = request.headers.get("User-Agent", "")
        number = self.counts.get(agent, 0)
        self.counts[agent] = number + 1
        call = Call(
            number=number, agent=agent, method=request.method, path=request.path, query=request.query_string
        )
        self.calls.append(call)
        self.on_call(call)
        harm = self.plan(call) or Harm()
        if harm != Harm():
            self.harmed.append((call, harm))
        body = await request.read()
        if harm.delay:
            await asyncio.sleep(harm.delay)
        if harm.drop:
            return self._reset(request)
        if harm.refuse is not None:
            return _refusal(harm.refuse, harm.retry_after)
        headers = {key: value for key, value in request.headers.items() if key.lower() not in HOP}
        token = self.access.bearer()
        if token is not None:
            headers["Authorization"] = f"Bearer {token}"
        async with session.request(
            request.method, self.access.server + request.raw_path, headers=headers, data=body or None
        ) as answer:
            if answer.status == 403:
                self.forbidden.append(call)
            if call.watch and answer.status == 200:
                return await self._stream(request, answer, harm)
            data = await answer.read()
            self.on_answer(call)
            if harm.lose:
                return self._reset(request)
            kept = {key: value for key, value in answer.headers.items() if key.lower() not in HOP}
            return web.Response(status=answer.status, body=data, headers=kept)

    async def _stream(
        self, request: web.Request, answer: aiohttp.ClientResponse, harm: Harm
    ) -> web.StreamResponse:
        stream = web.StreamResponse(headers={"Content-Type": "application/json"})
        await stream.prepare(request)
        sent = 0
        with contextlib.suppress(ConnectionError, aiohttp.ClientError):
            async for chunk in answer.content.iter_any():
                if harm.cut_after is not None and sent + len(chunk) > harm.cut_after:
                    await stream.write(chunk[: len(chunk) // 2])
                    if not harm.cut_cleanly:
                        return self._reset(request)
                    break
                await stream.write(chunk)
                sent += len(chunk)
            await stream.write_eof()
        return stream

    def _reset(self, request: web.Request) -> web.Response:
        if request.transport is not None:
            request.transport.abort()
        return web.Response(status=503)


def _refusal(status: int, retry_after: int | None) -> web.Response:
    body = {
        "apiVersion": "v1",
        "kind": "Status",
        "status": "Failure",
        "reason": REASONS.get(status, "Unknown"),
        "message": "the proxy says so",
        "code": status,
    }
    headers = {"Retry-After": str(retry_after)} if retry_after is not None else {}
    return web.Response(
        status=status, text=json.dumps(body), content_type="application/json", headers=headers
    )


@contextmanager
def fault_proxy(plane: Plane) -> Generator[FaultProxy]:
    """Run a proxy in a thread while the block runs."""
    proxy = FaultProxy(access=from_kubeconfig([plane.kubeconfig]))
    loop = asyncio.new_event_loop()
    started, stop = threading.Event(), asyncio.Event()

    async def run() -> None:
        connector = aiohttp.TCPConnector(ssl=proxy.access.tls(), limit=0)
        timeout = aiohttp.ClientTimeout(total=None)
        async with aiohttp.ClientSession(
            connector=connector, timeout=timeout, auto_decompress=True
        ) as session:
            server = web.Server(lambda request: proxy.serve(session, request))  # pyright: ignore[reportArgumentType]
            runner = web.ServerRunner(server, shutdown_timeout=0.5)
            await runner.setup()
            site = web.TCPSite(runner, "127.0.0.1", 0)
            await site.start()
            proxy.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
            started.set()
            await stop.wait()
            await runner.cleanup()

    thread = threading.Thread(target=lambda: loop.run_until_complete(run()), daemon=True)
    thread.start()
    assert started.wait(timeout=60)
    try:
        yield proxy
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join(timeout=10)
