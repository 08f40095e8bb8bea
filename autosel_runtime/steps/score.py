"""score: compute the signals of the pool, shard by shard; a new attempt goes on where the last one ended."""

import time

from autosel_runtime.errors import ConfigError
from autosel_runtime.pool.queries import load_queries
from autosel_runtime.recipe.extension import load_extensions
from autosel_runtime.signals.score import score_pool
from autosel_runtime.steps.context import StepContext, StepOutput, files_of
from autosel_runtime.steps.data import open_pool
from autosel_runtime.steps.device import device_count
from autosel_runtime.steps.summary import head

SIGNALS_BYTES = 2500  # of the summary; all signals are in signals.json


def score(context: StepContext) -> StepOutput:
    """Compute all signals that the search asks for."""
    started = time.monotonic()
    spec = context.spec
    language_model = spec.signals.language_model
    model = context.model(language_model.model or spec.model.uri) if language_model.enabled else None
    if isinstance(model, str):
        raise ConfigError(
            f"spec.signals.languageModel.model: signals need a model folder, found the hub id {model!r}"
        )
    out = context.work / "signals"
    manifest = score_pool(
        open_pool(context),
        spec.signals,
        model_dir=model,
        chat_template=spec.model.chat_template,
        targets={target.name: load_queries(target, context.base) for target in spec.targets},
        out=out,
        work=context.work / "shards",
        extensions=load_extensions(spec.search.extensions).signals,
    )
    seconds = time.monotonic() - started
    names, left_out = head(dict.fromkeys(sorted(manifest["scalars"])), SIGNALS_BYTES)
    return StepOutput(
        files=files_of(out),
        summary={
            "rows": manifest["rows"],
            "signals": list(names),
            "signals_left_out": left_out,
            "fingerprint": manifest["fingerprint"],
            "seconds": round(seconds, 2),
            "accelerator_seconds": round(seconds * device_count(), 2) if model else 0.0,
        },
    )
