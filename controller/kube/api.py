"""What the controller asks of an API server, whoever answers: the real one, a shell around it, or a simulation."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from controller.kube.kinds import Kind

Object = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Listing:
    """All objects of a list and the resource version that a watch goes on from."""

    items: tuple[Object, ...]
    resource_version: str


class Api(Protocol):
    """What observing and acting need of the API server.

    Every method raises ApiError. A patch is a merge patch; ``metadata.resourceVersion`` or ``metadata.uid`` in it is
    a precondition. ``labels`` select objects with all of these labels.
    """

    async def get(self, kind: Kind, namespace: str, name: str) -> Object:
        """Return one object."""
        ...

    async def list(
        self, kind: Kind, namespace: str | None, labels: Mapping[str, str] | None = None
    ) -> Listing:
        """Return all objects of a namespace, or of all namespaces."""
        ...

    async def create(self, kind: Kind, namespace: str, body: Object) -> Object:
        """Create an object and return it as stored."""
        ...

    async def patch(
        self, kind: Kind, namespace: str, name: str, body: Object, subresource: str | None = None
    ) -> Object:
        """Change an object and return it as stored."""
        ...

    async def delete(
        self,
        kind: Kind,
        namespace: str,
        name: str,
        *,
        uid: str | None = None,
        resource_version: str | None = None,
    ) -> None:
        """Delete an object, its children in the background; only that very object, and only unchanged, if asked."""
        ...

    def now(self) -> float:
        """Return the server's clock in seconds since the epoch, to the second."""
        ...
