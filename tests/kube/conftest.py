"""Fixtures of the operator's tests."""

from tests.kube.plane import plane

__all__ = ["plane"]
