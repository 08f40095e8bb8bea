"""Find the search that was named, or say what is missing: autosel, the namespace, or the name."""

import difflib
from collections.abc import Iterable

from autosel_runtime.errors import AutoselError, NoInputError, UnavailableError
from controller.cluster.connect import Cluster
from controller.kube.api import Object
from controller.kube.errors import ApiError, ForbiddenError, NotFoundError
from controller.kube.kinds import NAMESPACES, SEARCHES, Kind

MAX_NEAR = 3


async def get_search(cluster: Cluster) -> Object:
    """Return the search's object. NoInputError with near names, UnavailableError where autosel is not installed."""
    try:
        return await cluster.client.get(SEARCHES, cluster.namespace, cluster.name)
    except NotFoundError as error:
        raise await _missing(cluster, error) from None


async def _missing(cluster: Cluster, error: NotFoundError) -> AutoselError:
    try:
        here = await cluster.client.list(SEARCHES, cluster.namespace)
    except NotFoundError:
        return UnavailableError(
            f"the cluster at {cluster.server} does not know RecipeSearch: autosel is not installed there; an "
            "administrator installs its chart, or the definitions alone with: autosel crd | kubectl apply -f -"
        )
    except ApiError:
        return error
    what = f"there is no search {cluster.name!r} in namespace {cluster.namespace}"
    names = [item["metadata"]["name"] for item in here.items]
    near = near_names(cluster.name, names)
    if near:
        return NoInputError(f"{what}; did you mean {' or '.join(near)}?")
    namespaces = await _names(cluster, NAMESPACES)
    if namespaces and cluster.namespace not in namespaces:
        near = near_names(cluster.namespace, namespaces)
        hint = f"did you mean {' or '.join(near)}?" if near else f"there are: {_some(namespaces)}"
        return NoInputError(f"there is no namespace {cluster.namespace!r} at {cluster.server}; {hint}")
    elsewhere = await _namespaces_with(cluster)
    if elsewhere:
        return NoInputError(f"{what}; there is one in namespace {' and '.join(elsewhere[:MAX_NEAR])}")
    return NoInputError(f"{what}; there are: {_some(names)}")


def near_names(name: str, names: Iterable[str]) -> list[str]:
    """Return the names that look like ``name``, the nearest first."""
    return difflib.get_close_matches(name, sorted(names), n=MAX_NEAR, cutoff=0.6)


async def _names(cluster: Cluster, kind: Kind) -> list[str]:
    try:
        return [item["metadata"]["name"] for item in (await cluster.client.list(kind, None)).items]
    except ForbiddenError:
        return []  # only those who may see them get a hint


async def _namespaces_with(cluster: Cluster) -> list[str]:
    try:
        found = (await cluster.client.list(SEARCHES, None)).items
    except ForbiddenError:
        return []
    return [item["metadata"]["namespace"] for item in found if item["metadata"]["name"] == cluster.name]


def _some(names: list[str]) -> str:
    shown = sorted(names)[:10]
    more = f" and {len(names) - len(shown)} more" if len(names) > len(shown) else ""
    return ", ".join(shown) + more if shown else "none"
