"""Query samples of a target: read like a source, but strictly, and drawn with a seed."""

from pathlib import Path

import numpy as np

from autosel_runtime.api.pool import Target
from autosel_runtime.errors import DataError
from autosel_runtime.pool.convert import converter_for
from autosel_runtime.pool.detect import choose_format
from autosel_runtime.pool.files import Bring, find_inputs
from autosel_runtime.pool.read import Broken, read_records
from autosel_runtime.pool.sample import RecordError, Sample, make_sample

_SHOWN = 3


def load_queries(target: Target, base: Path, *, bring: Bring | None = None) -> list[Sample]:
    """Return at most ``target.limit`` samples, drawn with ``target.seed``, in the order of their file.

    Relative paths start at ``base``, ``bring`` brings ``s3://`` ones; the source of every sample is the target's
    name. A repeated query counts once. Queries are few and chosen by hand, so a record that is none is an error:
    DataError names the first ones with file and line. NoInputError when there is no file.
    """
    inputs = find_inputs(target.uri, base, bring=bring)
    converter = converter_for(choose_format(target, inputs.files).format, target.mapping)
    samples: dict[str, Sample] = {}
    problems: list[str] = []
    for file in inputs.files:
        for place, record in read_records(file):
            try:
                if isinstance(record, Broken):
                    raise RecordError(record.reason, record.detail)
                sample = make_sample(target.name, converter.chat(record))
            except RecordError as error:
                problems.append(f"{file.label}:{place}: {error}")
                continue
            samples.setdefault(sample.id, sample)
    if problems:
        more = f" (and {len(problems) - _SHOWN:,} more)" if len(problems) > _SHOWN else ""
        raise DataError(
            f"target {target.name!r}: {len(problems):,} records are no queries: {'; '.join(problems[:_SHOWN])}{more}"
        )
    if not samples:
        raise DataError(f"target {target.name!r} ({target.uri}) has no query")
    queries = list(samples.values())
    if len(queries) <= target.limit:
        return queries
    drawn = np.random.default_rng(target.seed).choice(len(queries), size=target.limit, replace=False)
    return [queries[i] for i in np.sort(drawn)]
