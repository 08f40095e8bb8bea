"""kopf as the shell: it watches searches and says which one to look at; nothing else is asked of it.

Trials and Jobs are watched by ``watching``: kopf lists all objects at once, and 10,000 trials are 80 MiB of JSON.

Only ``on.event`` is used: it adds no finalizer, no annotation and no patch to anybody's object. kopf runs in a thread
with an event loop of its own, so its signal handling, its memory and its stops stay out of the controller's.
"""

import asyncio
import logging
import random
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import kopf

from controller.kube.auth import Access
from controller.kube.kinds import SEARCHES
from controller.kube.observe import Key

LONGEST_PAUSE = 30.0
EXIT_SECONDS = 5.0

# Called with the key of a search, the type of an event and the UID and version of the object that it shows.
Tell = Callable[[Key, str | None, Mapping[str, Any]], None]


class EndlessBackoffs:
    """Pauses between attempts without an end: an outage of the API server must not end the process."""

    def __iter__(self) -> Iterator[float]:
        """Yield pauses that grow to ``LONGEST_PAUSE``, each between half and all of its length."""
        pause = 1.0
        while True:
            yield pause * random.uniform(0.5, 1.0)  # noqa: S311 - spreads reconnects
            pause = min(LONGEST_PAUSE, pause * 2.0)


def operator_settings(*, namespaced: bool) -> kopf.OperatorSettings:
    """Return kopf's settings: no events of its own, no peering, endless patience."""
    settings = kopf.OperatorSettings()
    settings.posting.enabled = False
    settings.peering.standalone = True
    settings.networking.error_backoffs = EndlessBackoffs()
    settings.watching.server_timeout = 300
    settings.watching.connect_timeout = 5
    settings.scanning.disabled = namespaced
    settings.process.ultimate_exiting_timeout = EXIT_SECONDS
    return settings


def operator_registry(access: Access, tell: Tell) -> kopf.OperatorRegistry:
    """Return the handlers: whatever happens to a search, ``tell`` hears of it."""
    registry = kopf.OperatorRegistry()

    @kopf.on.login(registry=registry)
    def login(**_: Any) -> kopf.ConnectionInfo:  # pyright: ignore[reportUnusedFunction]
        return kopf.ConnectionInfo(
            server=access.server,
            ca_data=access.authority,
            insecure=access.insecure,
            token=access.bearer(),
            certificate_data=access.certificate,
            private_key_data=access.private_key,
            default_namespace=access.namespace,
            proxy_url=access.proxy,
        )

    @kopf.on.event(SEARCHES.group, SEARCHES.version, SEARCHES.plural, registry=registry)
    async def search_changed(  # pyright: ignore[reportUnusedFunction]
        namespace: str | None, name: str | None, event: kopf.RawEvent, **_: Any
    ) -> None:
        tell(Key(namespace=namespace or "", name=name or ""), event.get("type"), _version(event))

    return registry


def _version(event: kopf.RawEvent) -> dict[str, Any]:
    """Return all that is kept of the object in an event."""
    metadata: Mapping[str, Any] = event["object"].get("metadata", {})
    return {key: metadata.get(key) for key in ("uid", "resourceVersion")}


@dataclass(kw_only=True)
class Shell:
    """kopf in its thread. ``ended`` is called, from that thread, when it stops by itself."""

    access: Access
    namespaces: tuple[str, ...]
    tell: Tell
    ended: Callable[[], None]
    _stop: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    def start(self) -> None:
        """Start watching."""
        self._thread = threading.Thread(target=self._run, name="kopf", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Ask the thread to end; it is a daemon and holds nothing, so nobody waits for it."""
        self._stop.set()

    def _run(self) -> None:
        why = "kopf ended"
        try:
            asyncio.run(
                kopf.operator(
                    registry=operator_registry(self.access, self.tell),
                    settings=operator_settings(namespaced=bool(self.namespaces)),
                    standalone=True,
                    clusterwide=not self.namespaces,
                    namespaces=self.namespaces,
                    stop_flag=self._stop,
                )
            )
        except Exception as error:  # whatever ends the thread must end the process, which is started again
            why = f"kopf ended: {type(error).__name__}: {error}"
        if not self._stop.is_set():
            logging.getLogger(__name__).error(why)
            self.ended()
