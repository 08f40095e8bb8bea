"""The end of a search: choose the recipe, score it and the baselines on the report half, write the report.

The report half is read here and nowhere else, for the chosen recipe and the baselines only.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from autosel_runtime.api.search import Recipe, RecipeStep
from autosel_runtime.digest import digest
from controller.reconcile import keys
from controller.reconcile.chains import ChainView, Link, Prepared, view_scores, view_step
from controller.reconcile.history import records
from controller.reconcile.model import StepRequest, StepResult, Trial
from controller.reconcile.models import unneeded_models
from controller.reconcile.names import baseline_name, step_name
from controller.reconcile.trials import TrialView, evaluation_link, train_link


@dataclass(frozen=True, kw_only=True)
class Finish:
    """What the end of the search needs now. ``done`` carries the report's summary once it is written."""

    create: tuple[Trial, ...] = ()
    start: tuple[StepRequest, ...] = ()
    waits: tuple[float, ...] = ()
    chosen: int | None = None
    done: StepResult | None = None
    failed: str | None = None
    failed_step: str | None = None
    message: str = ""


def finish(
    search_views: Sequence[TrialView],
    baseline_views: Sequence[TrialView],
    prepared: Prepared,
    warnings: Sequence[str] = (),
) -> Finish:
    """Return the next actions of the end of a search whose trials are all terminal; ``warnings`` are for the report."""
    scored = sum(view.phase == "succeeded" for view in search_views)
    choose = view_step(_choose_link(search_views, prepared), f"choose-{scored:05d}", prepared)
    if not choose.summaries:
        return _step_only(choose, "choosing the recipe")
    chosen = int(choose.summaries[0]["chosen"])
    winner = next(
        (view for view in search_views if view.trial.ordinal == chosen and view.score is not None), None
    )
    if winner is None:
        return Finish(
            failed=f"the choice fell on trial {chosen}, which has no score; the step's image is at fault"
        )

    create = _random_baseline(winner, baseline_views, prepared)
    open_baselines = [view for view in baseline_views if not view.terminal]
    if create or open_baselines:
        return Finish(create=create, chosen=chosen, message="running the baselines")

    rows = [
        winner,
        *(view for view in baseline_views if view.phase == "succeeded" and _belongs(view, winner)),
    ]
    chains = [
        view_scores(last.link, last.train, last.owner, prepared)
        if last.link.step == "evaluate"
        else view_step(last.link, last.owner, prepared)
        for last in _final_links(rows, prepared)
    ]
    failed = next((chain for chain in chains if chain.failed), None)
    if failed is not None and failed.failed is not None:
        return Finish(chosen=chosen, failed=failed.failed.reason, failed_step=failed.failed_step)
    if any(not chain.summaries for chain in chains):
        free = prepared.spec.parallelism - sum(chain.running for chain in chains)
        # Two evaluations that miss the same model ask for the same training.
        steps = {chain.next.name: chain.next for chain in chains if chain.next}
        return Finish(
            chosen=chosen,
            start=tuple(steps.values())[: max(free, 0)],
            waits=tuple(chain.wait for chain in chains if chain.wait is not None),
            message="scoring the report half",
        )

    why = str(choose.summaries[0].get("why", ""))
    link = _report_link(search_views, baseline_views, winner, rows, prepared, why=why, warnings=warnings)
    owner = f"report-{link.output.rsplit('/', 1)[-1]}"
    report = view_step(link, owner, prepared)
    if not report.summaries:
        return _step_only(report, "writing the report", chosen)
    return Finish(chosen=chosen, done=prepared.steps[step_name(owner, link.suffix)])


def _choose_link(views: Sequence[TrialView], prepared: Prepared) -> Link:
    history = records(views, seen_until=len(views))
    inputs = {"history": history, "ordinal": 0}
    output = keys.prefix(
        "suggestions",
        {"signals": prepared.signals, "search": prepared.spec.search.model_dump(mode="json"), **inputs},
    )
    return Link(
        step="suggest",
        suffix="suggest",
        output=output,
        inputs={"pool": prepared.pool, "signals": prepared.signals, **inputs},
    )


def _random_baseline(
    winner: TrialView, baselines: Sequence[TrialView], prepared: Prepared
) -> tuple[Trial, ...]:
    size = winner.size
    if not prepared.spec.baselines.random_subset or size is None:
        return ()
    name = baseline_name("random_subset", size)
    if any(view.trial.name == name for view in baselines):
        return ()
    step = RecipeStep(operator="random_subset", params={"size": size, "strategy": "proportional"})
    recipe = Recipe(steps=[step])
    return (
        Trial(
            name=name,
            role="random_subset",
            recipe=recipe,
            recipe_digest=digest(recipe.model_dump(mode="json")),
        ),
    )


def _belongs(view: TrialView, winner: TrialView) -> bool:
    # A raised budget can change the winner's size; the random subset of an earlier winner is then no baseline.
    return view.trial.role != "random_subset" or view.size == winner.size


@dataclass(frozen=True, kw_only=True)
class _FinalLink:
    """A step of the end and the trial that it belongs to; ``train`` makes the model that an evaluation reads."""

    owner: str
    link: Link
    train: Link | None = None


def _final_links(rows: Sequence[TrialView], prepared: Prepared) -> list[_FinalLink]:
    links: list[_FinalLink] = []
    kinds = [("objective", "report", "evaluate-report")]
    if prepared.spec.evaluation.out_of_domain:
        kinds.append(("out_of_domain", "all", "evaluate-ood"))
    for view in rows:
        train = None
        if view.subset is not None and view.model is not None:
            train = train_link(prepared, view.subset, view.model)
        for group, half, suffix in kinds:
            link = evaluation_link(prepared, model=view.model, group=group, half=half, suffix=suffix)
            if (
                train is not None
            ):  # the scores may be in the store without the model, which the user wants to have
                link = replace(link, inputs={**link.inputs, "needs_model": True})
            links.append(_FinalLink(owner=view.trial.name, link=link, train=train))
        links += _transfer_links(view, prepared)
    return links


def _transfer_links(view: TrialView, prepared: Prepared) -> list[_FinalLink]:
    links: list[_FinalLink] = []
    owner = view.trial.name
    digests = prepared.account.get("transfer_model_digests", [])
    for index, uri in enumerate(prepared.spec.evaluation.transfer_models):
        tuned: str | None = None
        train: Link | None = None
        if view.subset is not None and view.subset_digest is not None:
            tuned = keys.model_prefix(prepared.spec, prepared.account, view.subset_digest, digests[index])
            train = Link(
                step="train",
                suffix=f"train-transfer-{index}",
                output=tuned,
                inputs={"subset": view.subset, "model": uri},
            )
            links.append(_FinalLink(owner=owner, link=train))
            if not view_step(train, owner, prepared).summaries:
                continue
        link = evaluation_link(
            prepared,
            model=tuned,
            group="objective",
            half="report",
            suffix=f"evaluate-transfer-{index}",
            base_model=uri,
            base_digest=digests[index],
        )
        links.append(_FinalLink(owner=owner, link=link, train=train))
    return links


def _report_link(
    search_views: Sequence[TrialView],
    baseline_views: Sequence[TrialView],
    winner: TrialView,
    rows: Sequence[TrialView],
    prepared: Prepared,
    *,
    why: str,
    warnings: Sequence[str],
) -> Link:
    steps: dict[str, dict[str, StepResult]] = {}
    for name, result in prepared.steps.items():
        steps.setdefault(name.split(".", 1)[0], {})[name] = result
    drop = unneeded_models(
        prepared,
        search_views,
        baseline_views,
        seen_until=len(search_views),
        chosen=winner.trial.ordinal,
    )
    views = [replace(view, dropped=view.model in drop) for view in [*baseline_views, *search_views]]
    inputs: dict[str, Any] = {
        "why": why,
        "pool": prepared.pool,
        "signals": prepared.signals,
        "chosen": winner.trial.ordinal,
        "trials": [trial_row(view, steps.get(view.trial.name, {})) for view in views],
        "finals": {view.trial.name: final_prefixes(view, prepared) for view in rows},
        "drop": drop,
        **overlap_of(prepared),
        **({"warnings": list(warnings)} if warnings else {}),
    }
    return Link(step="report", suffix="report", inputs=inputs, output=keys.prefix("reports", inputs))


def overlap_of(prepared: Prepared) -> dict[str, Any]:
    """Return what the report says of items that are in the training data; nothing when there are none."""
    names = ("overlap", "overlap_left_out")
    return {name: prepared.account[name] for name in names if prepared.account.get(name)}


def final_prefixes(view: TrialView, prepared: Prepared) -> dict[str, str]:
    """Return where the final scores of a trial lie, by kind of evaluation."""
    links = (last.link for last in _final_links([view], prepared))
    return {link.suffix: link.output for link in links if link.step == "evaluate"}


def trial_row(view: TrialView, steps: Any) -> dict[str, Any]:
    """Return all that the report shows of one trial."""
    trial = view.trial
    costs = {
        name.split(".", 1)[1]: {
            key: result.summary[key]
            for key in ("seconds", "tokens", "accelerator_seconds", "cached")
            if key in result.summary
        }
        for name, result in sorted(steps.items())
        if name.split(".", 1)[0] == trial.name and result.state == "succeeded"
    }
    return {
        "name": trial.name,
        "ordinal": trial.ordinal,
        "role": trial.role,
        "state": view.phase,
        "origin": trial.origin,
        "phase": trial.phase,
        "parent": trial.parent,
        "recipe": trial.recipe.model_dump(mode="json"),
        "recipe_digest": trial.recipe_digest,
        "subset_digest": view.subset_digest or trial.subset_digest,
        "size": view.size or trial.size,
        "state_vector": dict(trial.state_vector),
        "score": view.score,
        "stderr": view.stderr,
        "tasks": dict(view.tasks),
        "tasks_left_out": view.tasks_left_out,
        "evaluation": view.evaluation,
        "mean": trial.mean,
        "deviation": trial.deviation,
        "message": view.message,
        "rationale": trial.rationale,
        "subset": view.subset,
        "model": view.model,
        "model_dropped": view.dropped,
        "steps": costs,
    }


def _step_only(chain: ChainView, message: str, chosen: int | None = None) -> Finish:
    return Finish(
        chosen=chosen,
        start=(chain.next,) if chain.next else (),
        waits=(chain.wait,) if chain.wait is not None else (),
        failed=chain.failed.reason if chain.failed else None,
        failed_step=chain.failed_step,
        message=message,
    )
