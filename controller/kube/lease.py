"""One controller acts, the others wait: leader election by a Lease of the API server.

Clocks of other hosts are never compared. A holder is taken for gone when its Lease did not change for the Lease's
duration on our own monotonic clock. The lease keeps work from being done twice at once; it is not what correctness
stands on: names, preconditions and recorded outcomes are.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from autosel_runtime.errors import AutoselError
from controller.kube.api import Api, Object
from controller.kube.errors import AlreadyExistsError, ApiError, ConflictError, NotFoundError
from controller.kube.kinds import LEASES


class LeaseLostError(AutoselError):
    """The lease could not be renewed in time, or another controller has it: stop at once."""


@dataclass(kw_only=True)
class Election:
    """One candidate for a Lease.

    The holder renews every ``retry`` seconds and gives up ``deadline`` seconds after the last renewal was sent, well
    before others may take the lease over, ``duration`` seconds after they saw the last change.
    """

    api: Api
    namespace: str
    name: str
    identity: str
    duration: float = 15.0
    deadline: float = 10.0
    retry: float = 2.0
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    _renewed: float | None = None
    _version: str = ""
    _seen: tuple[str, float] = field(default=("", 0.0))
    _attempts: dict[str, float] = field(default_factory=dict[str, float])

    def held(self) -> bool:
        """Whether this candidate holds the lease and may act now."""
        return self._renewed is not None and self.clock() - self._renewed < self.deadline

    async def acquire(self, on_wait: Callable[[str], None] | None = None) -> None:
        """Wait until this candidate holds the lease; ``on_wait`` hears why it does not yet."""
        while True:
            try:
                holder = await self._try()
            except ApiError as error:
                holder = str(error)
            if holder is None:
                return
            if on_wait is not None:
                on_wait(holder)
            await self.sleep(self.retry)

    async def hold(self) -> None:
        """Renew until the lease is lost. LeaseLostError then."""
        while True:
            await self.sleep(self.retry)
            if not self.held():
                self._lose("it could not be renewed in time")
            sent = self.clock()
            try:
                body = self._body(self._version)
                self._attempts[body["spec"]["renewTime"]] = sent
                async with asyncio.timeout(max(0.1, self.deadline - (sent - (self._renewed or 0.0)))):
                    stored = await self.api.patch(LEASES, self.namespace, self.name, body)
            except ConflictError:
                await self._look_again()
            except NotFoundError:
                self._lose("the Lease was deleted")
            except (ApiError, TimeoutError):
                continue
            else:
                self._remember(stored, sent)

    async def release(self) -> None:
        """Give the lease up, so that another controller need not wait. A failure only costs that wait."""
        if self._renewed is None:
            return
        self._renewed = None
        body: Object = {
            "metadata": {"resourceVersion": self._version},
            "spec": {"holderIdentity": "", "leaseDurationSeconds": 1},
        }
        try:
            async with asyncio.timeout(3.0):
                await self.api.patch(LEASES, self.namespace, self.name, body)
        except (ApiError, TimeoutError):
            return

    async def _try(self) -> str | None:
        """Take the lease if it is free; return None, or who holds it."""
        sent = self.clock()
        try:
            lease = await self.api.get(LEASES, self.namespace, self.name)
        except NotFoundError:
            return await self._create(sent)
        spec = lease.get("spec") or {}
        holder = str(spec.get("holderIdentity") or "")
        version = str(lease["metadata"]["resourceVersion"])
        if self._seen[0] != version:
            self._seen = (version, self.clock())
        waited = self.clock() - self._seen[1]
        if (
            holder
            and holder != self.identity
            and waited < float(spec.get("leaseDurationSeconds") or self.duration)
        ):
            return f"the lease is held by {holder}"
        sent = self.clock()
        try:
            body = self._body(version, transitions=int(spec.get("leaseTransitions") or 0) + 1)
            stored = await self.api.patch(LEASES, self.namespace, self.name, body)
        except ConflictError:
            return "another candidate was faster"
        self._remember(stored, sent)
        return None

    async def _create(self, sent: float) -> str | None:
        body = {
            "apiVersion": LEASES.api_version,
            "kind": LEASES.kind,
            **self._body(None, transitions=0),
        }
        try:
            self._remember(await self.api.create(LEASES, self.namespace, body), sent)
        except AlreadyExistsError:
            return "another candidate was faster"
        return None

    async def _look_again(self) -> None:
        # Our own renewal may have taken effect though its answer was lost; then the lease is still ours.
        try:
            lease = await self.api.get(LEASES, self.namespace, self.name)
        except ApiError:
            return
        spec = lease.get("spec") or {}
        if spec.get("holderIdentity") != self.identity:
            self._lose("another controller took it over")
        self._remember(lease, self._attempts.get(str(spec.get("renewTime")), self._renewed or 0.0))

    def _body(self, version: str | None, *, transitions: int | None = None) -> Object:
        now = datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
        spec: dict[str, Any] = {
            "holderIdentity": self.identity,
            "leaseDurationSeconds": round(self.duration),
            "renewTime": now,
        }
        if transitions is not None:
            spec |= {"acquireTime": now, "leaseTransitions": transitions}
        metadata = {"name": self.name, "namespace": self.namespace}
        return {"metadata": metadata | ({"resourceVersion": version} if version else {}), "spec": spec}

    def _remember(self, stored: Object, sent: float) -> None:
        self._renewed = sent
        self._attempts.clear()
        self._version = str(stored["metadata"]["resourceVersion"])

    def _lose(self, why: str) -> None:
        self._renewed = None
        raise LeaseLostError(f"the lease {self.namespace}/{self.name} is lost: {why}")
