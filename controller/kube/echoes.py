"""Our own writes come back as events; they say nothing that the pass which made them did not know.

A pass does all that can be done at once, or asks for the next one itself. So an event that shows an object exactly as
one of our writes left it need not wake anybody. Whoever else changes the object afterwards makes another version, and
whoever changed it before was seen, since statuses are written only over the version that was read.
"""

from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

from controller.kube.api import Api, Listing, Object
from controller.kube.kinds import JOBS, SEARCHES, TRIALS, Kind

# Kinds whose changes are watched.
WATCHED = frozenset({SEARCHES.plural, TRIALS.plural, JOBS.plural})
MAX_WRITES = 10_000


class Echoes:
    """The versions that our newest writes left behind; the oldest are forgotten, which costs a pass and no more."""

    def __init__(self) -> None:
        self._versions: OrderedDict[str, str] = OrderedDict()

    def note(self, stored: Object) -> None:
        """Remember an object as a write of ours left it."""
        metadata = stored["metadata"]
        self._versions[str(metadata["uid"])] = str(metadata["resourceVersion"])
        self._versions.move_to_end(str(metadata["uid"]))
        if len(self._versions) > MAX_WRITES:
            self._versions.popitem(last=False)

    def is_echo(self, metadata: Mapping[str, Any]) -> bool:
        """Say whether an object, seen in an event, is as our newest write left it."""
        return self._versions.get(str(metadata.get("uid"))) == str(metadata.get("resourceVersion"))

    def forget(self, metadata: Mapping[str, Any]) -> None:
        """Drop an object that is gone."""
        self._versions.pop(str(metadata.get("uid")), None)


class NotingApi:
    """An ``Api`` that remembers what it writes."""

    def __init__(self, api: Api, echoes: Echoes) -> None:
        self._api = api
        self._echoes = echoes

    async def get(self, kind: Kind, namespace: str, name: str) -> Object:
        """Return one object."""
        return await self._api.get(kind, namespace, name)

    async def list(
        self, kind: Kind, namespace: str | None, labels: Mapping[str, str] | None = None
    ) -> Listing:
        """Return all objects."""
        return await self._api.list(kind, namespace, labels)

    async def create(self, kind: Kind, namespace: str, body: Object) -> Object:
        """Create an object."""
        stored = await self._api.create(kind, namespace, body)
        # A new Job is news: its owner's status has to tell that it waits.
        return stored if kind == JOBS else self._noted(kind, stored)

    async def patch(
        self, kind: Kind, namespace: str, name: str, body: Object, subresource: str | None = None
    ) -> Object:
        """Change an object by a merge patch."""
        return self._noted(kind, await self._api.patch(kind, namespace, name, body, subresource))

    async def delete(
        self,
        kind: Kind,
        namespace: str,
        name: str,
        *,
        uid: str | None = None,
        resource_version: str | None = None,
    ) -> None:
        """Delete an object; that it goes is news, and no echo."""
        await self._api.delete(kind, namespace, name, uid=uid, resource_version=resource_version)

    def now(self) -> float:
        """Return the server's clock."""
        return self._api.now()

    def _noted(self, kind: Kind, stored: Object) -> Object:
        if kind.plural in WATCHED:
            self._echoes.note(stored)
        return stored
