"""The fixed pool: read, convert, validate, identify and shard samples."""

from autosel_runtime.pool.build import build_pool
from autosel_runtime.pool.manifest import PoolManifest, read_manifest
from autosel_runtime.pool.pool import Pool
from autosel_runtime.pool.queries import load_queries
from autosel_runtime.pool.sample import Message, RecordError, Sample, make_sample

__all__ = [
    "Message",
    "Pool",
    "PoolManifest",
    "RecordError",
    "Sample",
    "build_pool",
    "load_queries",
    "make_sample",
    "read_manifest",
]
