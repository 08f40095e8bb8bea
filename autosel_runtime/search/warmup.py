"""Warm-up: the user's seed recipes, then probes whose realised retention falls in three zones.

A zone is a range of the fraction of the pool that a recipe really keeps; nominal fractions say little, since
filters overlap and dedup thresholds are no fractions. Probes are drawn at random, materialised, and the first in
the zone is kept; when none of a bounded number is, the nearest one.

Notation
    rho        retained fraction: rows that a recipe keeps / rows of the pool, 0..1
    [lo, hi]   a zone of rho; the three zones are the paper's (reference values of its warm-up probes)
    d(rho)     distance to a zone: max(lo - rho, rho - hi, 0)
"""

from collections.abc import Sequence

import numpy as np

from autosel_runtime.api.search import SearchSettings
from autosel_runtime.search.candidates import Candidate, Intake
from autosel_runtime.search.history import TrialRecord
from autosel_runtime.search.space import Space, random_recipe

Zone = tuple[float, float]

# Retained fraction of the pool; the paper's reference values, in the order in which they are filled.
ZONES: tuple[tuple[str, Zone], ...] = (
    ("high", (0.60, 0.70)),
    ("middle", (0.30, 0.50)),
    ("low", (0.05, 0.15)),
)
PROBE_TRIES = 48  # recipes materialised for one probe; a zone is hit by about one random recipe in ten


def probes_missing(settings: SearchSettings, live: Sequence[TrialRecord]) -> int:
    """Return how many probes the warm-up still lacks; live seed trials count as probes."""
    return settings.warmup - sum(r.origin in ("seed", "warmup") for r in live)


def next_zone(live: Sequence[TrialRecord], rows: int) -> tuple[str, Zone]:
    """Return the zone with the fewest live warm-up trials, each counted for the zone it is nearest to."""
    counts = [0] * len(ZONES)
    for record in live:
        if record.origin in ("seed", "warmup"):
            retain = record.size / max(rows, 1)
            counts[min(range(len(ZONES)), key=lambda i: distance(retain, ZONES[i][1]))] += 1
    return ZONES[counts.index(min(counts))]


def distance(retain: float, zone: Zone) -> float:
    """Return how far a retained fraction lies outside a zone; 0 inside."""
    return max(zone[0] - retain, retain - zone[1], 0.0)


def probe(
    space: Space, intake: Intake, live: Sequence[TrialRecord], rows: int, rng: np.random.Generator
) -> Candidate | None:
    """Return a new probe for the zone that needs one most, or None when no new recipe could be made.

    One operator of the probe is of a family that no live warm-up trial has, or else an operator that none has.
    """
    name, zone = next_zone(live, rows)
    used = {step.operator for record in live for step in record.recipe.steps}
    used_families = {space.operators[name].family for name in used if name in space.operators}
    unused = [operator for operator in space.filters if operator.name not in used]
    fresh = [o.name for o in unused if o.family not in used_families] or [o.name for o in unused]
    nearest: Candidate | None = None
    for _ in range(2 * PROBE_TRIES):
        recipe = random_recipe(space, rng, first=fresh)
        taken = intake.offer(recipe, origin="warmup", parent=None, note=f"probe of the {name} retention zone")
        if isinstance(taken, str):
            if intake.tries <= 0:
                break
            continue
        if nearest is None or distance(taken.realised.retain, zone) < distance(nearest.realised.retain, zone):
            nearest = taken
        if distance(taken.realised.retain, zone) == 0.0:
            break
    return nearest
