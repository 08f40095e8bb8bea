"""score: compute the signals of the pool, shard by shard; a new attempt goes on where the last one ended."""

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from autosel_runtime.api.signals import ModelSignals
from autosel_runtime.errors import ConfigError
from autosel_runtime.pool.queries import load_queries
from autosel_runtime.recipe.extension import load_extensions
from autosel_runtime.signals import embedding, language_model
from autosel_runtime.signals.causal import choose_dtype
from autosel_runtime.signals.score import score_pool
from autosel_runtime.steps.context import StepContext, StepOutput, files_of
from autosel_runtime.steps.data import open_pool
from autosel_runtime.steps.device import device_count
from autosel_runtime.steps.sharing import Share, SharedStep, total
from autosel_runtime.steps.summary import head
from autosel_runtime.store.publish import Marker

SIGNALS_BYTES = 2500  # of the summary; all signals are in signals.json


def score(context: StepContext) -> StepOutput:
    """Compute all signals that the search asks for."""
    started = time.monotonic()
    out = context.work / "signals"
    manifest = _score(context, out=out, work=context.work / "shards")
    return _output(out, manifest, **_spent(context, started))


def _score_part(context: StepContext, share: Share) -> StepOutput:
    """Compute every count-th shard of the pool; with more pods than shards some have nothing to do."""
    started = time.monotonic()
    work = context.work / "shards"
    _score(context, out=context.work / "signals", work=work, shards=(share.index, share.count))
    files = {name: path for name, path in files_of(work).items() if name.endswith(".npz")}
    return StepOutput(files=files, summary=_spent(context, started))


def _merge_parts(context: StepContext, folder: Path, parts: Sequence[Marker]) -> StepOutput:
    """Finish the signals of the whole pool (ranks, groups, pairs) from the shards in ``folder``."""
    started = time.monotonic()
    out = context.work / "signals"
    manifest = _score(context, out=out, work=folder)
    merging = _spent(context, started)
    return _output(
        out,
        manifest,
        seconds=round(max(part.summary["seconds"] for part in parts) + merging["seconds"], 2),
        accelerator_seconds=round(total(parts, "accelerator_seconds") + merging["accelerator_seconds"], 2),
    )


def _layout(context: StepContext) -> Mapping[str, Any]:
    signals = context.spec.signals
    layout = {
        "rows_per_shard": signals.rows_per_shard,
        "dtype": choose_dtype(signals.language_model, language_model.SECTION)
        if signals.language_model.enabled
        else None,
    }
    if signals.embedding.enabled:
        layout["embedding_dtype"] = choose_dtype(signals.embedding, embedding.SECTION)
    return layout


SHARED_SCORE = SharedStep(layout=_layout, part=_score_part, merge=_merge_parts)


def _score(
    context: StepContext, *, out: Path, work: Path, shards: tuple[int, int] | None = None
) -> dict[str, Any]:
    spec = context.spec
    return score_pool(
        open_pool(context),
        spec.signals,
        model_dir=_model(context, spec.signals.language_model, language_model.SECTION),
        embedding_model_dir=_model(context, spec.signals.embedding, embedding.SECTION),
        chat_template=spec.model.chat_template,
        targets={
            target.name: load_queries(target, context.base, bring=context.inputs.bring)
            for target in spec.targets
        },
        out=out,
        work=work,
        shards=shards,
        extensions=load_extensions(spec.search.extensions).signals,
    )


def _model(context: StepContext, settings: ModelSignals, section: str) -> Path | None:
    """Return the folder of the model that ``settings`` name, None when they are off."""
    if not settings.enabled:
        return None
    model = context.model(settings.model or context.spec.model.uri)
    if isinstance(model, str):
        raise ConfigError(f"spec.{section}.model: signals need a model folder, found the hub id {model!r}")
    return model


def _spent(context: StepContext, started: float) -> dict[str, float]:
    seconds = time.monotonic() - started
    signals = context.spec.signals
    devices = device_count() if signals.language_model.enabled or signals.embedding.enabled else 0
    return {"seconds": round(seconds, 2), "accelerator_seconds": round(seconds * devices, 2)}


def _output(
    out: Path, manifest: Mapping[str, Any], *, seconds: float, accelerator_seconds: float
) -> StepOutput:
    names, left_out = head(dict.fromkeys(sorted(manifest["scalars"])), SIGNALS_BYTES)
    return StepOutput(
        files=files_of(out),
        summary={
            "rows": manifest["rows"],
            "signals": list(names),
            "signals_left_out": left_out,
            "fingerprint": manifest["fingerprint"],
            "seconds": seconds,
            "accelerator_seconds": accelerator_seconds,
        },
    )
