"""Fixtures for all tests."""

from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def example_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that looks like the root of the repository: examples/quickstart in miniature, see mini_search."""
    from tests.mini_search import write_example

    root = tmp_path_factory.mktemp("example")
    write_example(root)
    return root
