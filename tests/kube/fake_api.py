"""An API server in memory: uids, resource versions, preconditions, the status subresource, label selectors, owners.

Its clock stands still unless a test moves it. Every call can be cut off before or after it takes effect, or answered
with any error, so that a test can be cruel at one exact point.
"""

import types
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal

import orjson

from controller.kube.api import Listing, Object
from controller.kube.errors import (
    AlreadyExistsError,
    ApiError,
    ConflictError,
    InvalidObjectError,
    NotFoundError,
    ServerUnavailableError,
)
from controller.kube.kinds import Kind

WITH_STATUS = frozenset({"recipesearches", "recipetrials", "jobs", "pods"})
FIXED_SPEC = frozenset({"recipetrials"})
WRITES = frozenset({"create", "patch", "delete"})

Fault = Literal["kill_before", "kill_after", "lose_answer"] | ApiError
Reference = tuple[str, str, str]


class Killed(BaseException):
    """The process dies here; nothing of it runs any more."""


@dataclass(frozen=True, kw_only=True)
class Call:
    """One call as it arrived."""

    number: int
    verb: str
    plural: str
    name: str

    @property
    def writes(self) -> bool:
        """Whether the call changes something."""
        return self.verb in WRITES


@types.coroutine
def switch() -> Generator[None, None, None]:
    """Let the driver of several passes run another one."""
    yield


@dataclass(kw_only=True)
class FakeApi:
    """The server's objects, replaced and never changed in place, and what is done to calls."""

    fault: Callable[[Call], Fault | None] = lambda call: None
    clock: float = 1_700_000_000.0
    interleaved: bool = False
    objects: dict[Reference, Object] = field(default_factory=dict)
    calls: list[Call] = field(default_factory=list)
    created: list[Object] = field(default_factory=list)
    version: int = 0

    def now(self) -> float:
        """The server's clock."""
        return self.clock

    def find(self, kind: Kind, namespace: str = "ml") -> list[Object]:
        """All objects of a kind, by name."""
        return [
            item
            for (plural, space, _), item in sorted(self.objects.items())
            if (plural, space) == (kind.plural, namespace)
        ]

    async def get(self, kind: Kind, namespace: str, name: str) -> Object:
        return await self._do("get", kind, name, lambda: self._get(kind, namespace, name))

    async def list(
        self, kind: Kind, namespace: str | None, labels: Mapping[str, str] | None = None
    ) -> Listing:
        return await self._do("list", kind, "", lambda: self._list(kind, namespace, labels or {}))

    async def create(self, kind: Kind, namespace: str, body: Object) -> Object:
        return await self._do(
            "create", kind, body["metadata"]["name"], lambda: self._create(kind, namespace, body)
        )

    async def patch(
        self, kind: Kind, namespace: str, name: str, body: Object, subresource: str | None = None
    ) -> Object:
        return await self._do(
            "patch", kind, name, lambda: self._patch(kind, namespace, name, body, subresource)
        )

    async def delete(
        self,
        kind: Kind,
        namespace: str,
        name: str,
        *,
        uid: str | None = None,
        resource_version: str | None = None,
    ) -> None:
        await self._do(
            "delete", kind, name, lambda: self._delete(kind, namespace, name, uid, resource_version)
        )

    async def _do(self, verb: str, kind: Kind, name: str, effect: Callable[[], Any]) -> Any:
        if self.interleaved:
            await switch()
        call = Call(number=len(self.calls), verb=verb, plural=kind.plural, name=name)
        self.calls.append(call)
        fault = self.fault(call)
        if fault == "kill_before":
            raise Killed
        if isinstance(fault, ApiError):
            raise fault
        answer = _copy(effect())
        if fault == "kill_after":
            raise Killed
        if fault == "lose_answer":
            raise ServerUnavailableError(f"{verb} {kind.plural}/{name}: the answer was lost")
        return answer

    def _get(self, kind: Kind, namespace: str, name: str) -> Object:
        try:
            return self.objects[kind.plural, namespace, name]
        except KeyError:
            raise NotFoundError(f"{kind.plural} {name!r} not found", status=404) from None

    def _list(self, kind: Kind, namespace: str | None, labels: Mapping[str, str]) -> Listing:
        def selected(item: Object) -> bool:
            have = item["metadata"].get("labels") or {}
            return all(key in have and value in ("", have[key]) for key, value in labels.items())

        items = [
            item
            for (plural, space, _), item in sorted(self.objects.items())
            if plural == kind.plural and namespace in (None, space) and selected(item)
        ]
        return Listing(items=tuple(items), resource_version=str(self.version))

    def _create(self, kind: Kind, namespace: str, body: Object) -> Object:
        name = body["metadata"]["name"]
        if (kind.plural, namespace, name) in self.objects:
            raise AlreadyExistsError(f"{kind.plural} {name!r} already exists", status=409)
        item = _copy(body)
        if kind.plural in WITH_STATUS:
            item.pop("status", None)
        self.version += 1
        item["metadata"] |= {
            "namespace": namespace,
            "uid": f"uid-{self.version:06d}",
            "resourceVersion": str(self.version),
            "creationTimestamp": timestamp(self.clock),
            "generation": 1,
        }
        self.objects[kind.plural, namespace, name] = item
        self.created.append(_copy(item))
        return item

    def _patch(self, kind: Kind, namespace: str, name: str, body: Object, subresource: str | None) -> Object:
        old = self._get(kind, namespace, name)
        for key in ("resourceVersion", "uid"):
            wanted = (body.get("metadata") or {}).get(key)
            if wanted is not None and wanted != old["metadata"][key]:
                raise ConflictError(f"{kind.plural} {name!r}: {key} is not {wanted}", status=409)
        changed = merge(_copy(old), body)
        if kind.plural in WITH_STATUS:
            kept = ("status",) if subresource != "status" else tuple(key for key in old if key != "status")
            for key in kept:
                changed.pop(key, None)
                if key in old:
                    changed[key] = _copy(old[key])
        if kind.plural in FIXED_SPEC and changed["spec"] != old["spec"]:
            raise InvalidObjectError("the spec of a RecipeTrial is fixed", status=422)
        changed["metadata"] = {
            **changed["metadata"],
            **{
                key: old["metadata"][key]
                for key in ("resourceVersion", "uid", "creationTimestamp", "generation")
            },
        }
        if changed == old:
            return old
        self.version += 1
        changed["metadata"]["resourceVersion"] = str(self.version)
        if changed.get("spec") != old.get("spec"):
            changed["metadata"]["generation"] += 1
        self.objects[kind.plural, namespace, name] = changed
        return changed

    def _delete(self, kind: Kind, namespace: str, name: str, uid: str | None, version: str | None) -> None:
        old = self._get(kind, namespace, name)["metadata"]
        if uid not in (None, old["uid"]) or version not in (None, old["resourceVersion"]):
            raise ConflictError(f"{kind.plural} {name!r} is another object by now", status=409)
        del self.objects[kind.plural, namespace, name]
        self.version += 1

    def collect_garbage(self) -> None:
        """Delete objects whose owners are gone, and finished Jobs whose time is up."""
        for reference, item in list(self.objects.items()):
            if _job_is_due(item, self.clock):
                del self.objects[reference]
        gone = True
        while gone:
            uids = {item["metadata"]["uid"] for item in self.objects.values()}
            gone = [
                reference
                for reference, item in self.objects.items()
                if (owners := item["metadata"].get("ownerReferences"))
                and not any(owner["uid"] in uids for owner in owners)
            ]
            for reference in gone:
                del self.objects[reference]


def _copy(value: Any) -> Any:
    if isinstance(value, Listing):
        return Listing(items=tuple(_copy(list(value.items))), resource_version=value.resource_version)
    return orjson.loads(orjson.dumps(value))


def merge(target: Any, patch: Any) -> Any:
    """Apply a JSON merge patch (RFC 7396)."""
    if not isinstance(patch, Mapping):
        return _copy(patch)
    result = target if isinstance(target, dict) else {}
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        else:
            result[key] = merge(result.get(key), value)
    return result


def timestamp(seconds: float) -> str:
    """A time as the server writes it."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _job_is_due(item: Object, now: float) -> bool:
    spec, status = item.get("spec") or {}, item.get("status") or {}
    finished = status.get("completionTime") or next(
        (c["lastTransitionTime"] for c in status.get("conditions") or () if c["type"] == "Failed"), None
    )
    ttl = spec.get("ttlSecondsAfterFinished") if item.get("kind") == "Job" else None
    if ttl is None or finished is None:
        return False
    return now >= datetime.fromisoformat(finished).timestamp() + ttl
