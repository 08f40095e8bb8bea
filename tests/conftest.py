"""Fixtures for all tests."""

import os
from collections.abc import Generator
from pathlib import Path

import pytest

# How the sentences begin with which tests are skipped that need Kubernetes' programs.
NO_CLUSTER = ("no API server", "no kubectl", "no helm")


@pytest.fixture(scope="session")
def example_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that looks like the root of the repository: examples/quickstart in miniature, see mini_search."""
    from tests.mini_search import write_example

    root = tmp_path_factory.mktemp("example")
    write_example(root)
    return root


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Where AUTOSEL_TEST_REQUIRE_CLUSTER is 1, a test that would be skipped for want of a cluster fails."""
    report = yield
    if report.skipped and os.environ.get("AUTOSEL_TEST_REQUIRE_CLUSTER") == "1":
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        if reason.removeprefix("Skipped: ").startswith(NO_CLUSTER):
            report.outcome = "failed"
            report.longrepr = f"{reason}; AUTOSEL_TEST_REQUIRE_CLUSTER=1 asks for it"
    return report
