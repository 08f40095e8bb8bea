"""Run one step: find a finished result or make it, publish it, leave the summary."""

import contextlib
import os
import shutil
import sys
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import orjson

from autosel_runtime.errors import AutoselError, ExtensionError, disk_full
from autosel_runtime.steps.context import StepContext, StepOutput, open_context
from autosel_runtime.steps.document import StepDocument, read_document
from autosel_runtime.steps.drops import (
    ModelGoneError,
    drop_models,
    known_training,
    lacks_model,
    missing_model,
)
from autosel_runtime.steps.kept import keep, recall
from autosel_runtime.steps.sharing import Share, SharedStep, run_share, share_of, sweep_shards
from autosel_runtime.store.publish import Marker, find, publish, sweep

RESULT_FILE_VARIABLE = "AUTOSEL_RESULT_FILE"
MAX_REASON = 1000


def run_document(uri: str) -> int:
    """Run the step whose document lies at ``uri``; return the exit code. The result file tells the rest."""
    try:
        document = read_document(uri)
        share = share_of(document.step, os.environ)
        result = {"summary": run_step(document)} if share is None else run_shared(document, share)
    except AutoselError as error:
        if isinstance(error, ExtensionError) and error.trace:
            with contextlib.suppress(OSError):
                print(error.trace, file=sys.stderr, flush=True)
        return _fail(str(error), error.exit_code)
    except KeyboardInterrupt:
        return _fail("stopped", 130)
    except MemoryError:
        _print_trace()
        return _fail("out of memory", 75)
    except Exception as error:
        # The last line of defence: an unexpected fault ends as one sentence, with the trace in the log.
        _print_trace()
        if disk_full(error):
            place = f" ({error.filename})" if isinstance(error, OSError) and error.filename else ""
            return _fail(f"the disk is full or the quota is used up{place}; free some space", 73)
        if isinstance(error, OSError):
            return _fail(f"{type(error).__name__}: {error}", 75)
        return _fail(f"internal error: {type(error).__name__}: {error}", _exit_code_of(error))
    return 0 if not _publishes() or _write_result(result) else 73


def run_step(document: StepDocument) -> Mapping[str, Any]:
    """Find the step's result or make and publish it; return its summary, with ``cached`` when it was found.

    A step that misses a model which was dropped publishes nothing; its summary says so.
    """
    context = open_context(document)
    marker = find(context.store, document.output)
    known = known_training(context) if marker is None else None
    if known is not None:
        return known
    if marker is not None and lacks_model(context):
        return missing_model(context)
    if marker is None and not _publishes():
        return _function(document.step)(context).summary
    if marker is None:
        output = recall(context.work)
        if output is None:
            try:
                output = _function(document.step)(context)
            except ModelGoneError:
                return missing_model(context)
            keep(context.work, output)
        marker = publish(
            context.store,
            document.output,
            output.files,
            step=document.step,
            summary=output.summary,
            attempt=attempt_id(document),
        )
        if document.attempt > 1:
            sweep(context.store, document.output)  # what earlier attempts left half-written
    refused = drop_models(context)
    shutil.rmtree(context.work, ignore_errors=True)
    return {**marker.summary, **refused, "cached": not _is_own(marker, document)}


def run_shared(document: StepDocument, share: Share) -> Mapping[str, Any]:
    """Do this process's share of a step; return ``summary`` if that finished the step, else ``shard``."""
    context = open_context(document)
    marker = find(context.store, document.output)
    if marker is not None and _is_own(marker, document):
        sweep_shards(context)  # the process that published may have died before it did that
    if marker is not None and lacks_model(context):
        return {"summary": missing_model(context)}
    if marker is None:
        try:
            marker = run_share(context, share, _shared(document.step), attempt=attempt_id(document))
        except ModelGoneError:
            return {"summary": missing_model(context)}
    if marker is None:
        return {"shard": {"index": share.index, "count": share.count}}
    return {"summary": {**marker.summary, "cached": not _is_own(marker, document)}}


def _publishes() -> bool:
    """Under torchrun every process does the work, and the first one alone publishes it and tells the outcome."""
    return os.environ.get("RANK", "0") == "0"


def attempt_id(document: StepDocument) -> str:
    """Return the name of this attempt's objects; unique over searches, steps and attempts."""
    return f"{document.uid[:8]}-{document.name}-{document.attempt}-{os.getpid()}"


def _is_own(marker: Marker, document: StepDocument) -> bool:
    return marker.attempt.startswith(f"{document.uid[:8]}-{document.name}-")


def _function(step: str) -> Callable[[StepContext], StepOutput]:
    # Imported late: a step loads only what it needs, and torch takes seconds.
    match step:
        case "prepare":
            from autosel_runtime.steps.prepare import prepare as function
        case "score":
            from autosel_runtime.steps.score import score as function
        case "suggest":
            from autosel_runtime.steps.suggest import suggest as function
        case "materialize":
            from autosel_runtime.steps.materialize import materialize as function
        case "train":
            from autosel_runtime.steps.train import train as function
        case "evaluate":
            from autosel_runtime.steps.evaluate import evaluate as function
        case _:
            from autosel_runtime.steps.report import report as function
    return function


def _shared(step: str) -> SharedStep:
    if step == "score":
        from autosel_runtime.steps.score import SHARED_SCORE

        return SHARED_SCORE
    from autosel_runtime.steps.evaluate import SHARED_EVALUATE

    return SHARED_EVALUATE


def _exit_code_of(error: Exception) -> int:
    # On an accelerator a RuntimeError is mostly the device's: out of memory, a fault, a neighbour. That is worth
    # another try; a bug in our own code shows as another type, or on a CPU.
    torch = sys.modules.get("torch")
    on_accelerator = torch is not None and torch.accelerator.is_available()
    return 75 if isinstance(error, RuntimeError) and on_accelerator else 70


def _fail(reason: str, code: int) -> int:
    with contextlib.suppress(OSError):  # the log may lie on the disk that is full
        print(f"error: {reason}", file=sys.stderr, flush=True)
    # The code is in the result too: torchrun ends with 1, whatever its processes ended with.
    _write_result({"error": " ".join(reason.split())[:MAX_REASON], "exit_code": code})
    return code


def _print_trace() -> None:
    with contextlib.suppress(OSError):
        traceback.print_exc()


def _write_result(result: Mapping[str, Any]) -> bool:
    """Leave the result where the controller looks for it; False when that disk takes nothing any more."""
    target = os.environ.get(RESULT_FILE_VARIABLE)
    text = orjson.dumps(result)
    if target is None:
        sys.stdout.buffer.write(text + b"\n")
        sys.stdout.flush()
        return True
    path = Path(target)
    try:
        if path.parent == Path("/dev"):  # a pod's termination message is written in place
            path.write_bytes(text)
            return True
        temporary = path.with_suffix(".tmp")
        temporary.write_bytes(text)
        temporary.replace(path)
    except OSError as error:
        with contextlib.suppress(OSError):
            print(f"error: {path} cannot be written: {error.strerror}", file=sys.stderr, flush=True)
        return False
    return True
