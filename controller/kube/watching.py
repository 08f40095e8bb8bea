"""Changes of objects as they happen, without an end: list, watch from there, list again when the server says so.

Events only say where to look. A missed one costs at most a resync, so nothing is kept of the objects.
"""

import asyncio
import random
import time
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import orjson

from controller.kube.api import Object
from controller.kube.client import Client, selector
from controller.kube.errors import ApiError, ExpiredError, IntakeClosedError, error_of
from controller.kube.kinds import Kind

# The server sends a bookmark about every minute, so silence this long is a dead connection.
QUIET_SECONDS = 90.0
WATCH_SECONDS = (240, 480)
LONGEST_LINE = 8 << 20
FIRST_BACKOFF, LONGEST_BACKOFF = 1.0, 30.0

ChangeType = Literal["ADDED", "MODIFIED", "DELETED"]


@dataclass(frozen=True, kw_only=True)
class Change:
    """One object that was added, modified or deleted; objects found by a list count as added."""

    type: ChangeType
    object: Object


@dataclass(kw_only=True)
class WatchHealth:
    """When a watch last heard from the server, on the monotonic clock, and whether it has listed at all."""

    heard: float = field(default_factory=time.monotonic)
    synced: bool = False


async def changes(
    client: Client,
    kind: Kind,
    namespace: str | None,
    labels: Mapping[str, str],
    *,
    fields: str | None = None,
    metadata_only: bool = False,
    health: WatchHealth,
    on_error: Callable[[ApiError], None],
) -> AsyncIterator[Change]:
    """Yield the changes of all selected objects for ever; what is selected no more counts as deleted.

    ``metadata_only``: objects come without spec and status, which is a third of the bytes. Errors are told to
    ``on_error`` and waited out.
    """
    version: str | None = None
    failures = 0
    while True:
        try:
            if version is None:
                listed = ""
                pages = client.pages(kind, namespace, labels, fields=fields, metadata_only=metadata_only)
                async for page in pages:
                    listed = page.resource_version
                    for item in page.items:
                        yield Change(type="ADDED", object=item)
                version = listed
                health.heard, health.synced = time.monotonic(), True
            selected = selector(labels, fields)
            heard = False
            async for event in _events(client, kind, namespace, selected, version, metadata_only):
                failures, heard = 0, True
                health.heard = time.monotonic()
                version = str(event["object"]["metadata"]["resourceVersion"])
                if event["type"] != "BOOKMARK":
                    yield Change(type=event["type"], object=event["object"])
            if not heard:  # whoever ends every watch at once must not be asked as fast as it answers
                await asyncio.sleep(FIRST_BACKOFF * random.uniform(0.5, 1.0))  # noqa: S311
        except IntakeClosedError:
            return
        except ExpiredError:
            version = None
        except ApiError as error:
            failures += 1
            on_error(error)
            pause = min(LONGEST_BACKOFF, FIRST_BACKOFF * 2.0 ** min(failures - 1, 10))
            await asyncio.sleep(max(error.retry_after or 0.0, pause * random.uniform(0.5, 1.0)))  # noqa: S311
            # After several failures in a row the resource version may be at fault.
            version = None if failures >= 3 else version


async def _events(
    client: Client,
    kind: Kind,
    namespace: str | None,
    selected: Mapping[str, str],
    version: str,
    metadata_only: bool,
) -> AsyncIterator[dict[str, Any]]:
    query = {
        "watch": "true",
        "allowWatchBookmarks": "true",
        "resourceVersion": version,
        "timeoutSeconds": str(random.randint(*WATCH_SECONDS)),  # noqa: S311 - spreads reconnects
        **selected,
    }
    path = kind.path(namespace)
    answer = client.stream(kind, path, query, quiet_seconds=QUIET_SECONDS, metadata_only=metadata_only)
    async with answer as content:
        rest = b""
        async for chunk in content.iter_any():
            *lines, rest = (rest + chunk).split(b"\n")
            if len(rest) > LONGEST_LINE:
                raise ApiError(f"watch {path}: an event exceeds {LONGEST_LINE:,} bytes")
            for line in lines:
                if line.strip():
                    yield _event(line, path)


def _event(line: bytes, path: str) -> dict[str, Any]:
    try:
        event = orjson.loads(line)
        kind, content = event["type"], event["object"]
    except (orjson.JSONDecodeError, KeyError, TypeError) as error:
        raise ApiError(f"watch {path}: the server sent no event: {line[:100]!r}") from error
    if kind == "ERROR":
        raise error_of(int(content.get("code", 500)), content, call=f"watch {path}")
    return event
