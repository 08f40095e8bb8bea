"""Regret of the recipe that a search finally picks, after 15 noisy evaluations.

Two settings over the landscapes of ``landscapes.py`` (true scores known, in points 0..100, deviation 1.06 over random
recipes; noise 0.8 points an evaluation, the standard error of a four-benchmark mean):

fixed   160 random recipes a pool; a search picks from the list; regret against the best of the list
free    the real operator space through ``propose``; regret against the best subset that any search of the pool
        realised, a random sample of 600 recipes included

    python -m benchmarks.search_regret fixed --pools 24
    python -m benchmarks.search_regret free --pools 6

The string GP is our own re-implementation of what the paper's code is described to do: operator on or off with one
parameter, isotropic Matern 5/2 fitted without a noise term, upper confidence bound 1.5, best observed score.
"""

import argparse
import hashlib
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from autosel_runtime.api.search import Recipe, SearchSettings
from autosel_runtime.errors import AutoselError
from autosel_runtime.recipe.catalog import CATALOG, recipe_digest
from autosel_runtime.recipe.execute import execute
from autosel_runtime.recipe.facts import PoolFacts
from autosel_runtime.recipe.prepared import prepare
from autosel_runtime.search import surrogate
from autosel_runtime.search.features import Point
from autosel_runtime.search.history import Realised, TrialRecord
from autosel_runtime.search.incumbent import Model, incumbent, model_of
from autosel_runtime.search.knobs import knob_unit
from autosel_runtime.search.propose import as_pending, propose
from autosel_runtime.search.rank import distance_to_known, expected_improvement
from autosel_runtime.search.space import Space, random_recipe, space_of
from benchmarks.landscapes import FAMILIES, Landscape, landscape, scaled

EVALUATIONS = 15
WARMUP = 3
LIST = 160
NOISE = 0.008  # of a score in 0..1
BASE = 0.40
Floats = NDArray[np.float64]


@dataclass(kw_only=True)
class Pool:
    """One landscape with a memory of every subset that was realised, and its true score (0..1)."""

    land: Landscape
    space: Space
    centre: float = 0.0
    factor: float = 1.0

    def __post_init__(self) -> None:
        self.columns = prepare(self.land.columns)
        self.masks: dict[str, NDArray[np.uint8]] = {}
        self.raw: dict[str, float] = {}

    def materialise(self, recipe: Recipe, seed: int) -> Realised | str:
        """Realise a recipe; the reason when it cannot be."""
        try:
            done = execute(recipe, self.columns, seed=seed, unions=self.masks)
        except AutoselError as error:
            return str(error)
        key = f"sha256:{hashlib.sha256(done.mask.tobytes()).hexdigest()}"
        self.masks[recipe_digest(recipe)] = done.mask
        if key not in self.raw:
            kept = np.unpackbits(done.mask, count=self.columns.rows, bitorder="little").astype(bool)
            self.raw[key] = self.land.value(kept)
        return Realised(
            size=done.size,
            retain=done.size / self.columns.rows,
            state_vector=done.state,
            identify=lambda: key,
        )

    def truth(self, subset: str) -> float:
        """Return the true score, 0..1."""
        return BASE + (self.raw[subset] - self.centre) * self.factor / 100


def make_pool(family: str, seed: int, count: int) -> tuple[Pool, list[TrialRecord]]:
    """Return a pool, scaled, and ``count`` distinct random recipes as pending records."""
    land = landscape(family, seed)
    pool = Pool(land=land, space=space_of(CATALOG, PoolFacts(names=land.columns.names), SearchSettings()))
    rng = np.random.default_rng(np.random.SeedSequence([seed, 160]))
    records: list[TrialRecord] = []
    while len(records) < count:
        recipe = random_recipe(pool.space, rng)
        done = pool.materialise(recipe, 42)
        if (
            isinstance(done, str)
            or done.size < 40
            or any(done.subset_digest == r.subset_digest for r in records)
        ):
            continue
        records.append(
            TrialRecord(
                ordinal=len(records),
                recipe=recipe,
                recipe_digest=recipe_digest(recipe),
                subset_digest=done.subset_digest,
                size=done.size,
                state_vector=done.state_vector,
                origin="random",
                phase=0,
                parent=None,
                state="pending",
                score=None,
                stderr=None,
            )
        )
    pool.centre, pool.factor = scaled([pool.raw[r.subset_digest] for r in records[:LIST]])
    return pool, records


def finish(record: TrialRecord, pool: Pool, rng: np.random.Generator) -> TrialRecord:
    """Evaluate with noise."""
    score = float(np.clip(pool.truth(record.subset_digest) + NOISE * rng.normal(), 0, 1))
    return replace(record, state="succeeded", score=score, stderr=NOISE)


# --- fixed list -------------------------------------------------------------------------------------------

Chooser = Callable[[list[TrialRecord], list[TrialRecord], Pool, np.random.Generator], int]
Picker = Callable[[list[TrialRecord], Pool], TrialRecord]


def run_fixed(pool: Pool, records: Sequence[TrialRecord], choose: Chooser, pick: Picker, seed: int) -> float:
    """Return the regret in points of one search over a fixed list."""
    rng = np.random.default_rng(np.random.SeedSequence([seed, 15]))
    left = list(records)
    done: list[TrialRecord] = []
    for index in range(EVALUATIONS):
        place = int(rng.integers(len(left))) if index < WARMUP else choose(done, left, pool, rng)
        done.append(replace(finish(left.pop(place), pool, rng), ordinal=index))
    best = max(pool.truth(r.subset_digest) for r in records)
    return 100 * (best - pool.truth(pick(done, pool).subset_digest))


def choose_random(
    _done: list[TrialRecord], left: list[TrialRecord], _pool: Pool, rng: np.random.Generator
) -> int:
    """Random search."""
    return int(rng.integers(len(left)))


def best_observed(done: list[TrialRecord], _pool: Pool) -> TrialRecord:
    """The highest score."""
    return max(done, key=lambda r: r.score or 0.0)


def choose_string_gp(
    done: list[TrialRecord], left: list[TrialRecord], pool: Pool, _rng: np.random.Generator
) -> int:
    """The string GP."""
    from sklearn.gaussian_process import GaussianProcessRegressor
    from sklearn.gaussian_process.kernels import ConstantKernel, Matern

    process = GaussianProcessRegressor(
        kernel=ConstantKernel(1.0, (1e-3, 1e3)) * Matern(1.0, (1e-2, 1e2), nu=2.5),
        alpha=1e-2,
        normalize_y=True,
        n_restarts_optimizer=3,
        random_state=0,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        process.fit(string_rows(done, pool.space), np.array([r.score for r in done]))
        mean, deviation = process.predict(string_rows(left, pool.space), return_std=True)
    return int(np.argmax(mean + 1.5 * deviation))


def string_rows(records: Sequence[TrialRecord], space: Space) -> Floats:
    """Encode recipes by operator: on or off and the first tunable's position; order is not seen."""
    rows: list[list[float]] = []
    for record in records:
        steps = {s.operator: s for s in record.recipe.steps}
        row: list[float] = []
        for name, operator in sorted(space.operators.items()):
            on = name in steps and bool(operator.knobs)
            row += (
                [1.0, knob_unit(operator.knobs[0], steps[name].params[operator.knobs[0].name])]
                if on
                else [0.0, 1.0]
            )
        rows.append(row)
    return np.array(rows)


def choose_ours(
    done: list[TrialRecord], left: list[TrialRecord], pool: Pool, _rng: np.random.Generator
) -> int:
    """Expected improvement of our surrogate, space-filling while it knows nothing."""
    points = [Point(recipe=r.recipe, state=r.state_vector) for r in left]
    model = model_of(done, pool.space, rows=pool.columns.rows, candidates=points)
    return _best_of(model, points, done)


def choose_without_state(
    done: list[TrialRecord], left: list[TrialRecord], pool: Pool, _rng: np.random.Generator
) -> int:
    """Ours, blind to the realised state."""
    blind = [replace(r, state_vector={}) for r in done]
    points = [Point(recipe=r.recipe, state={}) for r in left]
    return _best_of(model_of(blind, pool.space), points, blind)


def choose_without_noise(
    done: list[TrialRecord], left: list[TrialRecord], pool: Pool, _rng: np.random.Generator
) -> int:
    """Ours, with the reference's fixed noise variance of 1e-2 on standardised scores."""
    points = [Point(recipe=r.recipe, state=r.state_vector) for r in left]
    model = model_of(done, pool.space, rows=pool.columns.rows, candidates=points)
    return _best_of(replace(model, surrogate=_sure(model.surrogate)), points, done)


def _sure(model: surrogate.Surrogate | None) -> surrogate.Surrogate | None:
    if model is None:
        return None
    theta = np.append(model.theta[:-1], np.log(0.1))
    return surrogate.condition(
        model.groups,
        theta,
        model.targets,
        np.ones(len(model.targets)),
        centre=model.centre,
        spread=model.spread,
        trials=model.trials,
        skill=model.skill,
        informative=model.informative,
    )


def _best_of(model: Model, points: Sequence[Point], done: Sequence[TrialRecord]) -> int:
    known = model.groups([Point(recipe=r.recipe, state=r.state_vector) for r in done])
    groups = model.groups(points)
    if model.surrogate is None or not model.surrogate.trusted:
        return int(np.argmax(distance_to_known(groups, known)))
    best = float(model.surrogate.predict(known)[0].max())
    return int(np.argmax(expected_improvement(*model.surrogate.predict(groups), best)))


def pick_ours(done: list[TrialRecord], pool: Pool) -> TrialRecord:
    """The incumbent as the product defines it."""
    found = incumbent(done, pool.space, rows=pool.columns.rows)
    assert found is not None
    return found.pick


def pick_without_state(done: list[TrialRecord], pool: Pool) -> TrialRecord:
    """The incumbent of a surrogate that is blind to the state."""
    found = incumbent([replace(r, state_vector={}) for r in done], pool.space)
    assert found is not None
    return next(r for r in done if r.ordinal == found.pick.ordinal)


def pick_without_noise(done: list[TrialRecord], pool: Pool) -> TrialRecord:
    """The highest posterior mean under the fixed noise."""
    model = model_of(done, pool.space, rows=pool.columns.rows)
    sure = _sure(model.surrogate)
    assert sure is not None
    mean, _ = sure.predict(model.groups([Point(recipe=r.recipe, state=r.state_vector) for r in done]))
    return done[int(np.argmax(mean))]


FIXED: Mapping[str, tuple[Chooser, Picker]] = {
    "random": (choose_random, best_observed),
    "string GP": (choose_string_gp, best_observed),
    "ours": (choose_ours, pick_ours),
    "ours, no state": (choose_without_state, pick_without_state),
    "ours, no learned noise": (choose_without_noise, pick_without_noise),
    "ours, best observed": (choose_ours, best_observed),
    "random, our pick": (choose_random, pick_ours),
}


# --- free search ------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Free:
    """One way to search the real operator space: settings, and which incumbent is handed over."""

    settings: SearchSettings
    pick: Picker


def run_free(pool: Pool, search: Free, seed: int) -> tuple[str, float]:
    """Return the subset picked after 15 evaluations and the highest true score among all evaluated."""
    settings = search.settings.model_copy(update={"seed": seed})
    rng = np.random.default_rng(np.random.SeedSequence([seed, 16]))
    history: list[TrialRecord] = []
    for index in range(EVALUATIONS):
        proposals, diagnostics = propose(
            settings,
            history,
            count=1,
            catalog=CATALOG,
            facts=PoolFacts(names=pool.columns.names),
            rows=pool.columns.rows,
            materialise=pool.materialise,
            complete=None,
            first_ordinal=index,
        )
        assert proposals, diagnostics.reason
        history.append(finish(as_pending(proposals[0]), pool, rng))
    return pick_subset(search, history, pool), max(pool.truth(r.subset_digest) for r in history)


def pick_subset(search: Free, history: list[TrialRecord], pool: Pool) -> str:
    """Return the subset that the search hands over."""
    return search.pick(history, pool).subset_digest


FREE: Mapping[str, Free] = {
    "random": Free(
        settings=SearchSettings(proposer="random", ranker="random", patience=1000), pick=best_observed
    ),
    "edits, random rank": Free(settings=SearchSettings(ranker="random"), pick=best_observed),
    "ours, 5 candidates": Free(settings=SearchSettings(), pick=pick_ours),
    "ours, 40 candidates": Free(settings=SearchSettings(candidates=40), pick=pick_ours),
    "random + EI, 40": Free(
        settings=SearchSettings(proposer="random", candidates=40, patience=1000), pick=pick_ours
    ),
}


def free_pool(family: str, seed: int, names: Sequence[str]) -> Mapping[str, float]:
    """Return the regret in points of every search on one pool, against the best subset that anyone realised."""
    pool, _ = make_pool(family, seed, 600)
    picked = {name: run_free(pool, FREE[name], seed)[0] for name in names}
    best = max(pool.truth(subset) for subset in pool.raw)
    return {name: 100 * (best - pool.truth(subset)) for name, subset in picked.items()}


def report(
    results: Mapping[tuple[str, str], list[float]], names: Sequence[str], families: Sequence[str]
) -> None:
    """Print mean regret and its standard error by search and family."""
    print(f"{'search':26}" + "".join(f"{f:>16}" for f in [*families, "all"]))
    for name in names:
        cells = [results[name, f] for f in families]
        cells.append([v for cell in cells for v in cell])
        text = "".join(f"{np.mean(c):9.2f} ±{np.std(c) / max(len(c) - 1, 1) ** 0.5:5.2f}" for c in cells)
        print(f"{name:26}{text}")


def main() -> None:
    """Run one setting and print its table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("setting", choices=["fixed", "free"])
    parser.add_argument("--pools", type=int, default=24, help="pools of each family")
    parser.add_argument("--first", type=int, default=0, help="number of the first pool")
    parser.add_argument("--families", nargs="*", default=list(FAMILIES))
    parser.add_argument("--only", nargs="*", default=None, help="names of searches")
    arguments = parser.parse_args()
    searches: Mapping[str, object] = FIXED if arguments.setting == "fixed" else FREE
    names = [n for n in searches if arguments.only is None or n in arguments.only]
    results: dict[tuple[str, str], list[float]] = {(n, f): [] for n in names for f in arguments.families}
    started = time.monotonic()
    for family in arguments.families:
        for seed in range(arguments.first, arguments.first + arguments.pools):
            if arguments.setting == "free":
                for name, regret in free_pool(family, seed, names).items():
                    results[name, family].append(regret)
                continue
            pool, records = make_pool(family, seed, LIST)
            for name in names:
                results[name, family].append(run_fixed(pool, records, *FIXED[name], seed))
    print(
        f"{arguments.setting}: {arguments.pools} pools a family, {EVALUATIONS} evaluations, "
        f"noise {100 * NOISE:.1f} points, {time.monotonic() - started:.0f} s"
    )
    report(results, names, arguments.families)


if __name__ == "__main__":
    main()
