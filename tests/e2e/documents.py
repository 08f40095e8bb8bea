"""The quickstart's search as the cluster and as one machine run it, both made from the example itself.

Every relative address of the example becomes one in the bucket, or an absolute path; nothing else of the inputs is
touched, so these documents cannot drift away from the example.
"""

from collections.abc import Callable, Collection, Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any

import yaml

EXAMPLE = Path(__file__).parents[2] / "examples" / "quickstart"
ADDRESSES = ("uri", "definition")
SECRET = "autosel-s3"
ACCESS_NAME, SECRET_NAME = "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"

Document = dict[str, Any]


def example() -> Document:
    """Return the quickstart's document, with a smaller training and budget than the example's."""
    document = yaml.safe_load((EXAMPLE / "search.yaml").read_text())
    document["spec"]["training"]["maxSteps"] = 30
    document["spec"]["budget"] = {"evaluations": 8}
    document["spec"]["parallelism"] = 2
    return document


def inputs(document: Document) -> list[Path]:
    """Return the files of the example that a document names, relative to the example's folder."""
    found: list[Path] = []
    for address in _addresses(document["spec"]):
        path = EXAMPLE / address
        found += sorted(entry for entry in path.rglob("*") if entry.is_file()) if path.is_dir() else [path]
    return [path.relative_to(EXAMPLE) for path in dict.fromkeys(found)]


def for_machine(document: Document) -> Document:
    """Return the document with absolute paths, so that it may lie anywhere."""
    return _moved(document, lambda address: str(EXAMPLE / address))


def for_cluster(
    document: Document,
    *,
    bucket: str,
    endpoint: str,
    namespace: str,
    accelerators: Collection[str] = ("nvidia", "ascend"),
) -> Document:
    """Return the document with inputs and results in a bucket, and steps that fit a node with two processors.

    Two steps ask for one of those ``accelerators`` that the cluster has: only the scheduler sees them.
    """
    moved = _moved(document, lambda address: f"s3://{bucket}/inputs/{address}")
    moved["metadata"]["namespace"] = namespace
    spec = moved["spec"]
    spec["storage"] = {
        "uri": f"s3://{bucket}/results",
        "endpoint": endpoint,
        "region": "us-east-1",
        "pathStyle": True,
        "accessKey": {"name": SECRET, "key": ACCESS_NAME},
        "secretKey": {"name": SECRET, "key": SECRET_NAME},
    }
    small = {"cpu": "500m", "memory": "1536Mi"}
    spec["steps"] = {
        "prepare": {**small},
        "score": small | _one_of("nvidia", accelerators),
        "suggest": {**small},
        "materialize": {**small},
        "train": {**small},
        "evaluate": small | _one_of("ascend", accelerators),
        "report": {**small},
    }
    spec["failurePolicy"] = {"retries": 8}
    return moved


def for_two_nodes(document: Document) -> Document:
    """Return a smaller search of a cluster's document in which two pods train together."""
    pair = deepcopy(document)
    pair["metadata"]["name"] = "pair"
    spec = pair["spec"]
    spec["budget"] = {"evaluations": 1}
    spec["parallelism"] = 1
    spec["training"]["maxSteps"] = 10
    spec["search"]["warmup"] = 1
    spec["baselines"] = {"untuned": False, "fullPool": False, "randomSubset": False}
    spec["steps"]["train"] |= {"nodes": 2}
    return pair


def _one_of(kind: str, accelerators: Collection[str]) -> dict[str, Any]:
    return {"accelerator": {"kind": kind, "count": 1}} if kind in accelerators else {}


def _addresses(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for key, entry in value.items():
            if key in ADDRESSES and isinstance(entry, str):
                yield entry
            else:
                yield from _addresses(entry)
    elif isinstance(value, list):
        for entry in value:
            yield from _addresses(entry)


def _moved(document: Document, move: Callable[[str], str]) -> Document:
    def walk(value: Any) -> Any:
        if isinstance(value, dict):
            return {
                key: move(entry) if key in ADDRESSES and isinstance(entry, str) else walk(entry)
                for key, entry in value.items()
            }
        return [walk(entry) for entry in value] if isinstance(value, list) else value

    return deepcopy(document) | {"spec": walk(document["spec"])}
