"""Stores under test: a folder, and a bucket of a real S3 server."""

import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from autosel_runtime.store.folder import FolderStore
from autosel_runtime.store.port import Store
from autosel_runtime.store.retry import Retry
from autosel_runtime.store.s3 import S3Store
from tests.seaweed import ACCESS_KEY, SECRET_KEY, Seaweed, seaweed

IMPATIENT = Retry(attempts=3, first=0.02, longest=0.1)


@pytest.fixture(scope="session")
def s3_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Seaweed]:
    with seaweed(tmp_path_factory.mktemp("seaweed") / "server") as server:
        server.bucket("shared")
        yield server


OpenS3 = Callable[..., S3Store]


@pytest.fixture
def open_s3(s3_server: Seaweed) -> OpenS3:
    """A function that opens a store with a prefix of its own; keyword arguments replace the right ones."""
    prefix = uuid.uuid4().hex

    def open_(**changes: Any) -> S3Store:
        settings: dict[str, Any] = {
            "bucket": "shared",
            "prefix": prefix,
            "endpoint": s3_server.endpoint,
            "path_style": True,
            "access_key": ACCESS_KEY,
            "secret_key": SECRET_KEY,
            "retry": IMPATIENT,
            "timeout": 20.0,
        }
        return S3Store(**(settings | changes))

    return open_


@pytest.fixture(params=["folder", "s3"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    if request.param == "folder":
        return FolderStore(tmp_path / "store")
    return request.getfixturevalue("open_s3")()
