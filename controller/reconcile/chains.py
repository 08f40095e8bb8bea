"""One step of a trial or of the search: what to run, where its result goes, and what it needs now."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from autosel_runtime.api.recipe_search import RecipeSearchSpec
from autosel_runtime.api.resources import StepName
from controller.reconcile.model import StepRequest, StepResult
from controller.reconcile.names import step_name
from controller.reconcile.retry import verdict, wait_seconds


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """What the trials stand on: the accounts of the prepare and score steps."""

    spec: RecipeSearchSpec
    account: Mapping[str, Any]
    pool: str
    signals: str
    steps: Mapping[str, StepResult]
    now: float


@dataclass(frozen=True, kw_only=True)
class Link:
    """One step of a trial's chain: what to run and where its result goes."""

    step: StepName
    suffix: str
    inputs: Mapping[str, Any]
    output: str


@dataclass(frozen=True, kw_only=True)
class ChainView:
    """How far a chain of steps is: the summaries of the finished ones, then what the first unfinished needs.

    ``failed`` is the outcome of the step ``failed_step``.
    """

    summaries: tuple[Mapping[str, Any], ...]
    started: bool
    running: bool = False
    failed: StepResult | None = None
    failed_step: str | None = None
    next: StepRequest | None = None
    wait: float | None = None


def view_step(link: Link, owner: str, prepared: Prepared) -> ChainView:
    """Judge one step of ``owner``: finished, running, to be started, to be waited for, or failed."""
    name = step_name(owner, link.suffix)
    result = prepared.steps.get(name)
    policy = prepared.spec.failure_policy
    kind = verdict(result, policy, prepared.now)
    started = result is not None
    if kind == "succeeded" and result is not None:
        return ChainView(summaries=(result.summary,), started=True)
    if kind == "running":
        return ChainView(summaries=(), started=True, running=True)
    if kind == "failed":
        return ChainView(summaries=(), started=True, failed=result, failed_step=name)
    if kind == "waiting" and result is not None:
        return ChainView(summaries=(), started=True, wait=wait_seconds(result, prepared.now))
    return ChainView(summaries=(), started=started, next=_request(link, owner, result))


def view_scores(link: Link, train: Link | None, owner: str, prepared: Prepared) -> ChainView:
    """Judge an evaluation of the model that ``train`` makes (None: of the untuned one).

    One that found the model gone says after how many further trainings that was. A further training is a step of its
    own, whose attempts are counted on: the evaluation is made again after the next one.
    """
    if train is None:
        return view_step(link, owner, prepared)
    again = replace(train, suffix=f"{train.suffix}-again", inputs={**train.inputs, "again": True})
    made = prepared.steps.get(step_name(owner, again.suffix))
    trained = made.attempt if made is not None and made.state == "succeeded" else 0
    if trained:
        link = replace(link, inputs={**link.inputs, "trained": trained})
    chain = view_step(link, owner, prepared)
    if not chain.summaries or "missing" not in chain.summaries[0]:
        return chain
    if trained > int(chain.summaries[0]["missing"]):
        return _next_attempt(link, owner, prepared.steps[step_name(owner, link.suffix)])
    if made is not None and trained:
        return _next_attempt(again, owner, made)
    return view_step(again, owner, prepared)


def _next_attempt(link: Link, owner: str, before: StepResult) -> ChainView:
    return ChainView(summaries=(), started=True, next=_request(link, owner, before))


def _request(link: Link, owner: str, before: StepResult | None) -> StepRequest:
    return StepRequest(
        name=step_name(owner, link.suffix),
        step=link.step,
        attempt=before.attempt + 1 if before else 1,
        inputs=link.inputs,
        output=link.output,
        trial=owner,
    )
