"""Which samples an optimizer step sees, and which of them share a forward pass.

The samples are read in a stream of seeded permutations joined end to end; each step takes the next G of it, so
every step has exactly G samples and its content depends on the seed and the pool order alone. Inside a
step the samples are sorted by length and cut into micro-batches: that saves most of the padding and, since
the loss is a sum over the step's answer tokens divided by their number, changes no gradient. The number of
devices and the size of a micro-batch therefore never change what is learnt.

Notation
    n   samples            G   global batch, samples of a step over all devices
    W   devices            M   micro-batch, samples of a forward pass on one device
    S   optimizer steps    A   forward passes of a step on one device, G = W·M·A
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from autosel_runtime.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class BatchPlan:
    """Sizes of a run: ``steps`` S, ``global_batch`` G, ``devices`` W, ``micro_batch`` M, ``accumulation`` A."""

    steps: int
    global_batch: int
    devices: int
    micro_batch: int
    accumulation: int


def plan_batches(
    *, samples: int, epochs: float, max_steps: int | None, global_batch: int, micro_batch: int, devices: int
) -> BatchPlan:
    """Return the sizes: S = max_steps or ceil(epochs·n/G), M the largest divisor of G/W that is allowed.

    Raises ConfigError when the devices cannot share the global batch evenly.
    """
    if global_batch % devices:
        lower, upper = global_batch // devices * devices, -(-global_batch // devices) * devices
        near = f"{lower} or {upper}" if lower else f"{upper}"
        raise ConfigError(
            f"training.globalBatch {global_batch} cannot be shared by {devices} devices; "
            f"allowed are multiples of {devices}, such as {near}"
        )
    share = global_batch // devices
    micro = largest_divisor(share, micro_batch)
    steps = max_steps if max_steps is not None else max(1, math.ceil(epochs * samples / global_batch - 1e-9))
    return BatchPlan(
        steps=steps,
        global_batch=global_batch,
        devices=devices,
        micro_batch=micro,
        accumulation=share // micro,
    )


def largest_divisor(number: int, limit: int) -> int:
    """Return the largest divisor of ``number`` that is at most ``limit`` (1 or more)."""
    return next(d for d in range(min(number, limit), 0, -1) if number % d == 0)


def draw(n: int, plan: BatchPlan, *, seed: int) -> NDArray[np.int64]:
    """Return the sample numbers [S·G] of all steps, a step after the other: seeded permutations joined end to end."""
    total = plan.steps * plan.global_batch
    rounds = -(-total // n)
    return np.concatenate([np.random.default_rng([seed, k]).permutation(n) for k in range(rounds)])[:total]


def sample_order(drawn: NDArray[np.int64], lengths: NDArray[np.int64], plan: BatchPlan) -> NDArray[np.int64]:
    """Return the drawn sample numbers [S·G] in the order of forward passes, W·M at a time.

    ``lengths`` [n] in tokens. Pass j of a step holds entries j·W·M to (j+1)·W·M, device w those from w·M on. Longest
    first, so that memory that does not suffice shows at once; equal lengths keep the order of the draw.
    """
    steps = drawn.reshape(plan.steps, plan.global_batch)
    by_length = np.argsort(-lengths[steps], axis=1, kind="stable")
    return np.take_along_axis(steps, by_length, axis=1).reshape(-1).astype(np.int64)
