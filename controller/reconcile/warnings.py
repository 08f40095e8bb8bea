"""What suggestions warn of: an LLM that failed, a seed recipe that cannot be used. None of it stops a search, all of it
is for the person who runs one."""

from collections.abc import Iterable

from controller.reconcile.model import Observed

SUGGESTIONS = "suggest-"
MOST = 10
MORE = "there are more warnings: the log of each suggestion has its own"


def warnings_of(observed: Observed) -> tuple[str, ...]:
    """Return the distinct warnings of all suggestions so far, in order, and one more in place of those past the tenth.

    What is not kept any more of the suggestions comes in ``observed.warnings``; it stays first, so that the same
    warnings are told whether all outcomes are kept or the newest only.
    """
    return merged(
        observed.warnings,
        (
            warning
            for name, result in sorted(observed.steps.items())
            if name.startswith(SUGGESTIONS)
            for warning in result.summary.get("warnings") or ()
        ),
    )


def merged(known: Iterable[str], new: Iterable[str]) -> tuple[str, ...]:
    """Return both, each once and at most ``MOST``; merged again, the result stays as it is."""
    texts = list(dict.fromkeys((*known, *new)))
    kept = [text for text in texts if text != MORE]
    more = MORE in texts or len(kept) > MOST
    return (*kept[:MOST], *([MORE] if more else []))
