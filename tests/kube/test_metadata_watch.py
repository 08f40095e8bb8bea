"""Watches of metadata alone, against a real API server: they tell the same changes with less."""

import asyncio

from controller.kube.auth import from_kubeconfig
from controller.kube.client import open_client
from controller.kube.errors import ApiError
from controller.kube.kinds import SEARCHES
from controller.kube.watching import Change, WatchHealth, changes
from tests.kube.operating import Bench


async def _first(bench: Bench, count: int, *, metadata_only: bool) -> tuple[list[Change], list[ApiError]]:
    """The first changes of the namespace's searches; each one seen gives the search another label."""
    seen: list[Change] = []
    errors: list[ApiError] = []
    async with open_client(from_kubeconfig([bench.plane.kubeconfig])) as client:
        stream = changes(
            client,
            SEARCHES,
            bench.namespace,
            {},
            metadata_only=metadata_only,
            health=WatchHealth(),
            on_error=errors.append,
        )
        async for change in stream:
            seen.append(change)
            if len(seen) == count:
                break
            label = f"seen={len(seen)}"
            await asyncio.to_thread(
                bench.plane.must, "-n", bench.namespace, "label", "--overwrite", "rsearch", "simulated", label
            )
        await stream.aclose()
    return seen, errors


def test_listed_and_watched_objects_come_without_spec_and_status(bench: Bench) -> None:
    bench.create()
    whole, _ = asyncio.run(_first(bench, 1, metadata_only=False))
    seen, errors = asyncio.run(_first(bench, 3, metadata_only=True))
    assert errors == []
    assert [change.type for change in seen] == ["ADDED", "MODIFIED", "MODIFIED"]
    assert "spec" in whole[0].object
    assert all(not {"spec", "status"} & set(change.object) for change in seen)
    assert seen[0].object["metadata"] == whole[0].object["metadata"]
    assert [change.object["metadata"]["labels"]["seen"] for change in seen[1:]] == ["1", "2"]
    versions = [change.object["metadata"]["resourceVersion"] for change in seen]
    assert len(set(versions)) == 3
