"""A realistic synthetic search, for tests and for looking at the page.

``python -m tests.report.sample KIND > page.html`` writes the page of one kind: full, close, running, one, none,
many, hostile.
"""

import math
import sys
from collections.abc import Mapping
from dataclasses import replace
from statistics import NormalDist

import numpy as np

from autosel_runtime.api.recipe_search import RecipeSearch
from autosel_runtime.api.search import Recipe, RecipeStep
from autosel_runtime.digest import digest
from autosel_runtime.recipe.columns import Scalar, rank_of
from autosel_runtime.recipe.model import StepTrace
from autosel_runtime.report.build import build_report
from autosel_runtime.report.inputs import ItemScores, ReportInputs, SearchProgress, TaskScore, TrialInput
from autosel_runtime.report.model import Digests, Estimate, Report, StepUse
from tests.array_columns import ArrayColumns

TASKS = {"gpqa": (448, 0.27), "gsm8k": (1319, 0.55), "bbh": (920, 0.29), "mmlu": (1800, 0.57)}
OUTSIDE = {"graphwiz": (600, 0.37), "nlgraph": (620, 0.56)}
SOURCES = (
    "metamath",
    "numina-cot",
    "code-feedback",
    "magpie-pro",
    "tulu-if",
    "sciq",
    "aqua-rat",
    "wizard-lm",
)


class SimpleStatistics:
    """Normal intervals from item variances; slow and plain, independent of the product's own."""

    def mean(self, items: ItemScores, weights: Mapping[str, float], confidence: float) -> Estimate:
        return _weighted({task: list(scores.values()) for task, scores in items.items()}, weights, confidence)

    def paired(
        self, first: ItemScores, second: ItemScores, weights: Mapping[str, float], confidence: float
    ) -> Estimate:
        differences = {
            task: [score - second[task][item] for item, score in scores.items() if item in second[task]]
            for task, scores in first.items()
        }
        return _weighted(differences, weights, confidence)


def _weighted(values: Mapping[str, list[float]], weights: Mapping[str, float], confidence: float) -> Estimate:
    whole = sum(weights.get(task, 1.0) for task in values)
    mean = variance = 0.0
    for task, numbers in values.items():
        share = weights.get(task, 1.0) / whole
        center = sum(numbers) / len(numbers)
        mean += share * center
        if len(numbers) > 1:
            spread = sum((x - center) ** 2 for x in numbers) / (len(numbers) - 1)
            variance += share**2 * spread / len(numbers)
    error = math.sqrt(variance)
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    items = sum(len(numbers) for numbers in values.values())
    return Estimate(value=mean, stderr=error, low=mean - z * error, high=mean + z * error, items=items)


def search_document(
    name: str = "math-and-reasoning", evaluations: int = 15, tasks: Mapping[str, object] = TASKS
):
    """Return a RecipeSearch over ``tasks``."""
    return RecipeSearch.model_validate(
        {
            "metadata": {"name": name, "namespace": "ml"},
            "spec": {
                "pool": {"sources": [{"name": source, "uri": f"{source}.jsonl"} for source in SOURCES]},
                "model": {"uri": "Qwen/Qwen2.5-1.5B"},
                "evaluation": {
                    "tasks": [{"name": task, "uri": f"{task}.jsonl"} for task in tasks],
                    "outOfDomain": [{"name": task, "uri": f"{task}.jsonl"} for task in OUTSIDE],
                },
                "training": {"method": "full"},
                "budget": {"evaluations": evaluations, "acceleratorSeconds": 200_000},
            },
        }
    )


def columns(rows: int = 45_500, seed: int = 3) -> ArrayColumns:
    """Return columns with plausible shapes: skewed lengths, bounded ratios, some missing values."""
    rng = np.random.default_rng(seed)
    codes = rng.choice(len(SOURCES), rows, p=[0.24, 0.2, 0.15, 0.14, 0.11, 0.07, 0.05, 0.04]).astype(
        np.uint16
    )
    lift = rng.normal(0, 1, len(SOURCES))[codes]
    values = {
        "words": np.exp(rng.normal(5.1, 0.8, rows) + 0.2 * lift),
        "answer_words": np.exp(rng.normal(4.3, 1.0, rows)),
        "ngram_entropy": 6.2 + 0.7 * rng.normal(0, 1, rows) + 0.2 * lift,
        "quality": 1 / (1 + np.exp(-rng.normal(1.2, 1.0, rows))),
        "ifd": np.exp(rng.normal(-0.4, 0.35, rows)),
        "varentropy": np.abs(rng.normal(1.1, 0.5, rows)),
        "nll_cond": np.abs(rng.normal(0.9, 0.4, rows)),
        "mona.gsm8k": np.clip(rng.beta(2, 9, rows) + 0.03 * lift, 0, 1),
        "mona.mmlu": rng.beta(2, 12, rows),
        "mona.bbh": rng.beta(2, 14, rows),
        "tokens": np.exp(rng.normal(5.5, 0.8, rows)),
    }
    values["ifd"][rng.random(rows) < 0.02] = np.nan
    arrays = {name: value.astype(np.float32) for name, value in values.items()}
    return ArrayColumns(
        rows=rows,
        source_names=SOURCES,
        source_codes=codes,
        scalars={name: Scalar(values=value, ranks=rank_of(value)) for name, value in arrays.items()},
    )


def step(operator: str, **params: object) -> RecipeStep:
    """Return a recipe step."""
    return RecipeStep(operator=operator, params=params)


def recipe(*steps: RecipeStep) -> Recipe:
    """Return a recipe of ``steps``."""
    return Recipe(steps=list(steps))


def chosen_mask(pool: ArrayColumns, fraction: float = 0.4) -> np.ndarray:
    """Return a mask that prefers low IFD, high relevance and some sources."""
    rng = np.random.default_rng(9)
    ifd = np.nan_to_num(pool.scalar("ifd").values, nan=9.0)
    key = (
        ifd
        - 2.0 * pool.scalar("mona.gsm8k").values
        + rng.normal(0, 0.15, pool.rows)
        + 0.03 * pool.source_codes
    )
    bits = key <= np.quantile(key, fraction)
    return np.packbits(bits, bitorder="little")


def item_scores(
    tasks: Mapping[str, tuple[int, float]], lift: float, seed: int
) -> dict[str, dict[str, float]]:
    """Return 0/1 scores by item; items share their difficulty between calls, so that pairing helps."""
    shared, own = np.random.default_rng(1), np.random.default_rng(seed)
    scores: dict[str, dict[str, float]] = {}
    for task, (items, rate) in tasks.items():
        difficulty = shared.random(items // 2)
        noise = own.random(items // 2)
        right = 0.8 * difficulty + 0.2 * noise < rate + lift
        scores[task] = {f"{task}-{i}": float(one) for i, one in enumerate(right)}
    return scores


def _edited(parent: Recipe, rng: np.random.Generator) -> Recipe:
    steps = [RecipeStep(operator=s.operator, params=dict(s.params)) for s in parent.steps]
    kind = int(rng.integers(5))
    fresh = [
        step("ifd_filter", fraction=round(float(rng.uniform(0.3, 0.9)), 2), direction="lowest"),
        step("semantic_dedup", threshold=round(float(rng.uniform(0.6, 0.95)), 2)),
        step("mona_filter", fraction=round(float(rng.uniform(0.3, 0.9)), 2), combine="max"),
        step("random_subset", size=int(rng.integers(10, 40)) * 1000),
        step("varentropy_mix", fraction=0.8, temperature=round(float(rng.uniform(0.3, 3)), 2)),
    ]
    if kind == 0 and len(steps) < 6:
        steps.insert(int(rng.integers(len(steps) + 1)), fresh[int(rng.integers(5))])
    elif kind == 1 and len(steps) > 1:
        steps.pop(int(rng.integers(len(steps))))
    elif kind == 2 and len(steps) > 1:
        steps[0], steps[-1] = steps[-1], steps[0]
    else:
        at = int(rng.integers(len(steps)))
        if "fraction" in steps[at].params:
            steps[at] = step(
                steps[at].operator,
                **{**steps[at].params, "fraction": round(float(rng.uniform(0.2, 0.95)), 2)},
            )
        else:
            steps[at] = fresh[int(rng.integers(5))]
    return recipe(*steps)


def trials(number: int, pool_rows: int, seed: int = 5) -> list[TrialInput]:
    """Return ``number`` search trials over several phases, with some that failed, and the three baselines."""
    rng = np.random.default_rng(seed)
    starts = [
        recipe(step("random_subset", fraction=0.2)),
        recipe(step("ngram_entropy_filter", fraction=0.9), step("mona_filter", fraction=0.85)),
        recipe(step("ifd_filter", fraction=0.5, direction="lowest"), step("semantic_dedup", threshold=0.8)),
    ]
    found: list[TrialInput] = []
    phase, anchor, since = 0, None, 0
    for i in range(number):
        if i < 3:
            plan, origin, parent = starts[i], "warmup", None
        elif since >= 5:
            phase, since = phase + 1, 0
            plan, origin, parent = _edited(starts[i % 3], rng), "reseed", None
        else:
            best = max(
                (t for t in found if t.score and t.phase == phase), key=lambda t: t.score or 0, default=None
            )
            anchor = best or max((t for t in found if t.score), key=lambda t: t.score or 0, default=found[0])
            plan, origin, parent = _edited(anchor.recipe or starts[0], rng), "edit", anchor.ordinal
        since += 1
        state = "succeeded"
        if i % 11 == 7:
            state = "failed"
        elif i % 17 == 12:
            state = "reused"
        if i == number - 1 and number > 20:
            state = "running"
        size = int(pool_rows * float(rng.uniform(0.15, 0.8)))
        score = 0.385 + 0.028 * (1 - math.exp(-i / 8)) + float(rng.normal(0, 0.009)) - (0.04 if i == 0 else 0)
        scored = state in ("succeeded", "reused")
        message = {
            "failed": "train: out of memory on the device, after 3 attempts",
            "reused": "Same subset as trial 4.",
        }
        found.append(
            TrialInput(
                name=f"math-{i:03d}",
                ordinal=i,
                role="search",
                state=state,
                origin=origin,
                phase=phase,
                parent=parent,
                recipe=plan,
                recipe_digest=digest(plan.model_dump(mode="json")),
                subset_digest=digest([i, size]),
                size=size,
                state_vector={"retain_ratio": size / pool_rows, "mean_ifd": 0.6},
                score=score if scored else None,
                stderr=0.0081 if scored else None,
                tasks={t: TaskScore(score=r, stderr=0.02, items=n // 2) for t, (n, r) in TASKS.items()}
                if scored
                else {},
                mean=None if i < 3 else score + float(rng.normal(0, 0.01)),
                deviation=None if i < 3 else 0.011,
                message=message.get(state, ""),
                use=_use(size, failed=state == "failed") if state != "reused" else (),
            )
        )
    return found


def _use(size: int, *, failed: bool = False) -> tuple[StepUse, ...]:
    train = 0.018 * size
    use = [
        StepUse(step="suggest", seconds=14.0),
        StepUse(step="materialize", seconds=6.0 + size / 9000),
        StepUse(
            step="train",
            runs=4 if failed else 1,
            seconds=train,
            accelerator_seconds=8 * train,
            tokens=size * 3 * 310,
        ),
    ]
    if not failed:
        use.append(StepUse(step="evaluate", seconds=340.0, accelerator_seconds=8 * 340.0, tokens=2_900_000))
    return tuple(use)


def baselines(pool_rows: int, size: int) -> list[TrialInput]:
    """Return the three baselines with search-half scores."""

    def one(
        name: str, role: str, score: float, plan: Recipe | None, rows: int | None, ordinal: int
    ) -> TrialInput:
        return TrialInput(
            name=name, ordinal=ordinal, role=role, state="succeeded", origin="baseline", recipe=plan, size=rows,
            score=score, stderr=0.008, use=_use(rows) if rows else (),
        )  # fmt: skip

    return [
        one("baseline-full-pool", "full_pool", 0.388, recipe(), pool_rows, 0),
        one("baseline-random", "random_subset", 0.394, recipe(step("random_subset", size=size)), size, 1),
        one("baseline-untuned", "untuned", 0.331, None, None, 2),
    ]


def traced(trial: TrialInput, pool_rows: int, size: int) -> TrialInput:
    """Return ``trial`` with a trace that ends at ``size`` samples."""
    steps = trial.recipe.steps if trial.recipe else []
    kept = [int(pool_rows * (size / pool_rows) ** ((i + 1) / len(steps))) for i in range(len(steps))]
    before = [pool_rows, *kept]
    trace = tuple(
        StepTrace(
            operator=s.operator,
            params=s.params,
            kept=k,
            dropped=b - k,
            reasons={"below cut": b - k},
            examples={},
            seconds=0.01,
        )
        for s, k, b in zip(steps, [*kept[:-1], size] if kept else [], before, strict=False)
    )
    return replace(trial, trace=trace, size=size)


def _hostile(trial: TrialInput) -> TrialInput:
    """Return ``trial`` with texts that try to break out of the page."""
    step_of_extension = step(
        "a-very-long-operator-name-that-comes-from-an-extension-x9",
        pattern="</style></script><script>alert(2)</script>" * 3,
    )
    steps = trial.recipe.steps if trial.recipe else []
    return replace(
        trial,
        name=trial.name + "<script>alert(1)</script>" * 3,
        message='"><img src=x onerror=alert(1)>' * 4,
        recipe=recipe(*steps, step_of_extension),
    )


def sample_report(kind: str = "full", rows: int = 45_500) -> Report:
    """Return a report of one kind over a pool of ``rows``; see the module."""
    pool = columns(rows)
    if kind == "none":
        lost = [t for t in trials(8, pool.rows) if t.state == "failed"]
        inputs = ReportInputs(
            progress=SearchProgress(state="failed", message="One trial failed, the limit is 1."),
            trials=tuple(lost),
        )
        return build_report(search_document(), inputs, SimpleStatistics())
    number = {"one": 1, "many": 200, "running": 7}.get(kind, 15)
    name = "math-and-reasoning"
    found = trials(number, pool.rows)
    mask = chosen_mask(pool)
    size = int(np.unpackbits(mask, count=pool.rows).sum())
    top = max((t for t in found if t.score), key=lambda t: t.score or 0)
    found = [traced(t, pool.rows, size) if t is top else t for t in found]
    if kind == "hostile":
        found = [_hostile(t) for t in found]
        top = next(t for t in found if t.ordinal == top.ordinal)
    reference = baselines(pool.rows, size)
    lifts = {"close": (0.012, 0.004, 0.008, -0.03)}.get(kind, (0.032, 0.0, 0.012, -0.06))
    names = [top.name, *(t.name for t in reference)]
    running = kind in ("running", "one")
    pairs = [] if running else list(zip(names, lifts, strict=True))
    transferred = {n: item_scores(TASKS, 0.1 + lift, 80 + i) for i, (n, lift) in enumerate(pairs[:3])}
    progress = SearchProgress(
        state="running" if running else "finished",
        started="2026-11-20T08:12:00+00:00",
        finished=None if running else "2026-11-20T19:31:00+00:00",
        seconds=40_740.0,
        use=(
            StepUse(step="prepare", seconds=22.0),
            StepUse(step="score", seconds=610.0, accelerator_seconds=610.0, tokens=14_100_000),
        ),
    )
    inputs = ReportInputs(
        progress=progress,
        trials=(*found, *([] if running else reference)),
        items={n: item_scores(TASKS, lift, 20 + i) for i, (n, lift) in enumerate(pairs)},
        out_of_domain={n: item_scores(OUTSIDE, lift / 2, 50 + i) for i, (n, lift) in enumerate(pairs)},
        transfer={"Qwen/Qwen2.5-7B": transferred} if kind == "full" else {},
        columns=pool,
        mask=mask,
        digests=Digests(
            pool=digest("pool"),
            signals=digest("signals"),
            training=digest("training"),
            evaluation=digest("evaluation"),
        ),
        versions={"autosel": "0.1.0", "python": "3.11.9", "torch": "2.9.0", "transformers": "5.1.0"},
    )
    return build_report(search_document(name, max(number, 15)), inputs, SimpleStatistics())


if __name__ == "__main__":
    from autosel_runtime.report.page import report_page

    sys.stdout.write(report_page(sample_report(sys.argv[1] if len(sys.argv) > 1 else "full")))
