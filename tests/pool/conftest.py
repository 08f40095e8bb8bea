"""A pool built of a few small files."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from autosel_runtime.api.pool import PoolSource, PoolSpec
from autosel_runtime.pool.build import build_pool
from autosel_runtime.pool.manifest import PoolManifest

Build = Callable[..., tuple[PoolManifest, Path]]


@pytest.fixture
def build(tmp_path: Path) -> Build:
    """Write files, build a pool of them, and return manifest and folder."""
    count = 0

    def run(
        files: dict[str, bytes],
        *,
        rows_per_shard: int = 50_000,
        max_reject_fraction: float = 1.0,
        **source: Any,
    ) -> tuple[PoolManifest, Path]:
        nonlocal count
        count += 1
        base, out = tmp_path / f"in{count}", tmp_path / f"out{count}"
        for name, data in files.items():
            path = base / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
        uri = source.pop("uri", next(iter(files)))
        entry = PoolSource(name=source.pop("name", "s"), uri=uri, **source)
        spec = PoolSpec(sources=[entry], max_reject_fraction=max_reject_fraction)
        return build_pool(spec, base=base, out=out, rows_per_shard=rows_per_shard), out

    return run
