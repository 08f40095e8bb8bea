"""Results that the store had and has no longer: which steps have to be done again so that a search can go on."""

from collections.abc import Mapping

from autosel_runtime.store.marker import marker_key
from autosel_runtime.store.port import Store
from autosel_runtime.store.publish import find
from controller.reconcile.model import StepResult

# Models are dropped on purpose and trained again when they are missed; suggestions are in the account.
KEPT_STEPS = frozenset({"prepare", "score", "materialize", "evaluate", "report"})


def lost_steps(store: Store, results: Mapping[str, StepResult], outputs: Mapping[str, str]) -> list[str]:
    """Return the steps that ended well and whose result is gone. ``outputs`` is the prefix of each step by name.

    A prepare step whose pool is gone loses its marker too, for it would find itself finished.
    """
    lost: list[str] = []
    for name, result in sorted(results.items()):
        kind = name.split(".")[-1].split("-")[0]
        if result.state != "succeeded" or kind not in KEPT_STEPS or "missing" in result.summary:
            continue
        if find(store, outputs[name]) is None:
            lost.append(name)
        elif kind == "prepare" and find(store, str(result.summary.get("pool"))) is None:
            store.delete(marker_key(outputs[name]))
            lost.append(name)
    return lost
