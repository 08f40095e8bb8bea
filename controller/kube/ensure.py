"""Create an object under its deterministic name, or recognise it when it is there already.

A create whose answer was lost, a second controller and a pass that died all leave the object behind; the next one finds
it under the same name and takes it over, but only if it belongs to the same owner object (by UID) and was made from
the same content. What belongs to somebody else is never touched.
"""

from collections.abc import Mapping
from typing import Any

from autosel_runtime.api.common import API_VERSION
from controller.kube import names
from controller.kube.api import Api, Object
from controller.kube.errors import AlreadyExistsError, ApiError, NotFoundError
from controller.kube.kinds import Kind

LEAVING_SECONDS = 5.0


class NameConflictError(ApiError):
    """The name is taken by an object that is not this search's; only a person can decide what to do."""


class LeavingError(ApiError):
    """The name is still taken by an object of ours that is on its way out: come again."""


async def ensure(api: Api, kind: Kind, namespace: str, body: Mapping[str, Any]) -> Object:
    """Create ``body`` or return the same object that exists. NameConflictError or LeavingError when it is another."""
    name = str(body["metadata"]["name"])
    try:
        return await api.create(kind, namespace, dict(body))
    except AlreadyExistsError:
        pass
    place = f"{kind.kind} {namespace}/{name}"
    try:
        found = await api.get(kind, namespace, name)
    except NotFoundError:
        raise LeavingError(f"{place} has just gone", retry_after=1.0) from None
    owner = next(entry for entry in body["metadata"]["ownerReferences"] if entry.get("controller"))
    ours = names.is_owned_by(found, owner["uid"])
    if found["metadata"].get("deletionTimestamp") or (not ours and _was_ours(found, owner)):
        raise LeavingError(f"{place} of an earlier owner is still being deleted", retry_after=LEAVING_SECONDS)
    if not ours:
        raise NameConflictError(
            f"{place} exists and does not belong to this search; rename or delete it, or choose another name"
        )
    if not _same_content(_hash(found), _hash(body)):
        raise NameConflictError(f"{place} was made from other content; delete it to have it made again")
    return found


def _same_content(found: str, wanted: str) -> bool:
    """Compare hashes of one version. Another version of the operator hashed otherwise: owner and name must do then."""
    return found == wanted or found.partition(":")[0] != wanted.partition(":")[0]


def _hash(item: Mapping[str, Any]) -> str:
    """Return what says from which content an object was made: the hash of a step, the recipe of a trial."""
    noted = (item["metadata"].get("annotations") or {}).get(names.SPEC_HASH)
    return str(noted or (item.get("spec") or {}).get("recipeDigest", ""))


def _was_ours(found: Object, owner: Mapping[str, Any]) -> bool:
    """Say whether an object belonged to an earlier search or trial of the same name, which is gone: it will follow."""
    owners = found["metadata"].get("ownerReferences") or ()
    return any(
        entry.get("controller")
        and (entry.get("apiVersion"), entry.get("kind"), entry.get("name"))
        == (API_VERSION, owner["kind"], owner["name"])
        for entry in owners
    )
