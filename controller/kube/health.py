"""Whether the operator works, not merely whether it lives: probes that look at the work."""

import time
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from aiohttp import web

from controller.kube.metrics import Metrics

LONGEST_QUEUE_SECONDS = 600.0


@dataclass(kw_only=True)
class Health:
    """What the probes look at.

    ``queue_age`` is the age of the oldest key. ``listed`` is when all searches were last listed, on the monotonic
    clock; it may be ``longest_list_seconds`` old. ``leads`` is whether the lease is held; a process that waits for it
    is healthy but not ready.
    """

    queue_age: Callable[[], float]
    leads: Callable[[], bool]
    longest_list_seconds: float
    clock: Callable[[], float] = time.monotonic
    listed: float | None = None
    started: float = field(default=0.0)

    def __post_init__(self) -> None:
        self.started = self.clock()

    def begin(self) -> None:
        """This process leads from now on: silence counts from here."""
        self.started = self.clock()

    def note_list(self) -> None:
        """All searches have been listed just now."""
        self.listed = self.clock()

    def trouble(self) -> str | None:
        """Return why the process should be restarted, or None."""
        age = self.queue_age()
        if age > LONGEST_QUEUE_SECONDS:
            return f"the oldest piece of work is {age:.0f} s old"
        if not self.leads():
            return None
        silence = self.clock() - (self.listed if self.listed is not None else self.started)
        if silence > self.longest_list_seconds:
            return f"searches were not listed for {silence:.0f} s"
        return None

    def unready(self) -> str | None:
        """Return why the process does not work on searches yet, or None."""
        if not self.leads():
            return "another process leads"
        return None if self.listed is not None else "searches were not listed yet"


def routes(health: Health, metrics: Metrics) -> Mapping[str, Callable[[web.Request], web.Response]]:
    """Return the handlers by path."""

    def probe(reason: Callable[[], str | None]) -> Callable[[web.Request], web.Response]:
        def answer(request: web.Request) -> web.Response:
            del request
            why = reason()
            return web.Response(status=503 if why else 200, text=f"{why or 'ok'}\n")

        return answer

    def show_metrics(request: web.Request) -> web.Response:
        del request
        return web.Response(body=metrics.text(), headers={"Content-Type": "text/plain; version=0.0.4"})

    return {"/healthz": probe(health.trouble), "/readyz": probe(health.unready), "/metrics": show_metrics}


@asynccontextmanager
async def serve(port: int, health: Health, metrics: Metrics) -> AsyncGenerator[int]:
    """Answer probes and scrapes on ``port`` (0 picks one) while the block runs; yields the port."""
    application = web.Application()
    for path, handler in routes(health, metrics).items():

        async def handle(
            request: web.Request, handler: Callable[[web.Request], web.Response] = handler
        ) -> web.Response:
            return handler(request)

        application.router.add_get(path, handle)
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=1.0)
    await runner.setup()
    site = web.TCPSite(runner, None, port)
    await site.start()
    try:
        # With port 0 IPv4 and IPv6 get different ones; an IPv4 address has two parts.
        yield int(min(runner.addresses, key=len)[1])
    finally:
        await runner.cleanup()
