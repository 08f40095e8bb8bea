"""A search as it goes on: a watch says that something happened, then everything is read anew.

Nothing is kept between looks, so an event that was missed while the server was away costs nothing: the next look sees
what is. A look follows at the latest after ``RESYNC_SECONDS``.
"""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable, Mapping

from autosel_runtime.errors import AutoselError, DeniedError, NoInputError, TransientError
from controller.cluster.connect import Cluster, explained
from controller.cluster.look import look
from controller.kube import names
from controller.kube.errors import ApiError, ForbiddenError, NotFoundError, UnauthorizedError
from controller.kube.kinds import SEARCHES, TRIALS, Kind
from controller.kube.watching import WatchHealth, changes
from controller.views.snapshot import Snapshot

RESYNC_SECONDS = 30.0
# Looks are at least this far apart: a search that starts a hundred steps at once is looked at once.
GAP_SECONDS = 0.5
LONGEST_PAUSE = 10.0
# A server that has just started refuses for a moment what it will allow; after so many refusals in a row it means it.
MAX_DENIED = 4

Trouble = Callable[[str], None]


async def snapshots(cluster: Cluster, *, trouble: Trouble) -> AsyncIterator[Snapshot]:
    """Yield the search now and after every change, until the caller has enough.

    The first look fails as any call does. After it, what passes (a server that restarts, a lost connection) is told to
    ``trouble``, once, and waited out; what does not (a right that is missing, a search that was deleted) is raised.
    """
    yield await look(cluster)
    news = asyncio.Event()
    watchers = [
        asyncio.create_task(_watch(cluster, kind, labels, news))
        for kind, labels in ((SEARCHES, {}), (TRIALS, {names.SEARCH: cluster.name}))
    ]
    try:
        pause, denied = 0.0, 0
        while True:
            await _wait(news, watchers, pause or RESYNC_SECONDS, heed=pause == 0.0)
            news.clear()
            started = time.monotonic()
            try:
                snapshot = await look(cluster)
            except NoInputError:
                raise NoInputError(
                    f"{cluster.namespace}/{cluster.name} was deleted while it was watched"
                ) from None
            except AutoselError as error:
                told = explained(error, cluster.server) if isinstance(error, ApiError) else error
                denied = denied + 1 if isinstance(told, DeniedError) else 0
                if not isinstance(told, TransientError | DeniedError) or denied >= MAX_DENIED:
                    raise told from error
                if pause == 0.0:
                    trouble(f"{told}; trying again")
                pause = min(LONGEST_PAUSE, pause * 2 or 1.0)
                continue
            pause, denied = 0.0, 0
            yield snapshot
            await asyncio.sleep(max(0.0, GAP_SECONDS - (time.monotonic() - started)))
    finally:
        for task in watchers:
            task.cancel()
        await asyncio.gather(*watchers, return_exceptions=True)


async def _wait(
    news: asyncio.Event, watchers: list["asyncio.Task[None]"], seconds: float, *, heed: bool
) -> None:
    """Wait for news, at most ``seconds``; without ``heed`` the whole time. A watcher that gave up raises."""
    if not heed:
        await asyncio.sleep(seconds)
    waiting = asyncio.create_task(news.wait())
    try:
        timeout = seconds if heed else 0.0
        done, _ = await asyncio.wait({waiting, *watchers}, timeout=timeout, return_when="FIRST_COMPLETED")
    finally:
        waiting.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await waiting
    for task in done:
        if task is not waiting:
            await task  # raises what ended it


async def _watch(cluster: Cluster, kind: Kind, labels: Mapping[str, str], news: asyncio.Event) -> None:
    """Set ``news`` whenever an object of the search changes."""

    denied = 0

    def on_error(error: ApiError) -> None:
        nonlocal denied
        denied = denied + 1 if isinstance(error, ForbiddenError | UnauthorizedError | NotFoundError) else 0
        if denied >= MAX_DENIED:
            raise explained(error, cluster.server) from error
        news.set()  # the next look finds out whether it is the watch alone that broke off

    stream = changes(
        cluster.client,
        kind,
        cluster.namespace,
        labels,
        metadata_only=True,
        health=WatchHealth(),
        on_error=on_error,
    )
    async for change in stream:
        denied = 0
        if kind is not SEARCHES or change.object["metadata"]["name"] == cluster.name:
            news.set()
