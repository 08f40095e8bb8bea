"""A world without processes: it carries out plans in any order, fails steps on demand and forgets nothing."""

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from autosel_runtime.api.recipe_search import RecipeSearch
from autosel_runtime.digest import digest
from controller.reconcile import Observed, Plan, StepRequest, StepResult, Trial, reconcile

Outcome = tuple[int, Mapping[str, Any] | str]


def search(**spec: Any) -> RecipeSearch:
    """Return a small search; ``spec`` replaces parts of the specification."""
    return RecipeSearch.model_validate(
        {
            "metadata": {"name": "simulated"},
            "spec": {
                "pool": {"sources": [{"name": "a", "uri": "a.jsonl"}]},
                "model": {"uri": "model"},
                "evaluation": {"tasks": [{"name": "task"}]},
                "budget": {"evaluations": 5},
                **spec,
            },
        }
    )


def succeed(request: StepRequest) -> Outcome:
    """Answer a step as the real one would, from its inputs alone."""
    inputs = request.inputs
    match request.step:
        case "prepare":
            account = {
                key: digest(key)
                for key in (
                    "pool_digest",
                    "model_digest",
                    "signal_model_digest",
                    "targets_digest",
                    "tasks_digest",
                )
            }
            return 0, {
                "pool": "pools/p",
                "rows": 1000,
                "transfer_model_digests": [digest("transfer")],
                **account,
            }
        case "score":
            return 0, {"rows": 1000, "signals": ["ifd"]}
        case "suggest" if inputs["ordinal"] == 0:
            scored = [row for row in inputs["history"] if row["state"] == "succeeded"]
            return 0, {"chosen": max(scored, key=lambda row: row["score"])["ordinal"]}
        case "suggest":
            return 0, {"proposals": [_proposal(inputs)], "exhausted": None}
        case "materialize":
            recipe = inputs["recipe"]
            return 0, {"subset_digest": inputs["subset_digest"] or digest(recipe), "size": 100, "state": {}}
        case "train":
            return 0, {"seconds": 2.0, "accelerator_seconds": 2.0}
        case "evaluate":
            mean = int(digest([inputs["model"], inputs["half"]])[-6:], 16) / 16**6
            return 0, {"objective": {"mean": mean, "stderr": 0.01}, "tasks": {}, "accelerator_seconds": 1.0}
        case _:
            return 0, {"gain": {"full_pool": {"mean": 0.1}}}


def _proposal(inputs: Mapping[str, Any]) -> dict[str, Any]:
    # The proposal depends on all of the history, so that a history seen differently would show.
    fraction = int(digest([inputs["history"], inputs["ordinal"]])[-6:], 16) / 16**6
    recipe = {"steps": [{"operator": "random_subset", "params": {"fraction": fraction}}]}
    return {
        "recipe": recipe,
        "recipe_digest": digest(recipe),
        "subset_digest": digest(["subset", recipe]),
        "size": 100,
        "state_vector": {"retain_ratio": fraction},
        "origin": "warmup",
        "phase": 0,
        "parent": None,
        "mean": None,
        "deviation": None,
        "rationale": "",
    }


@dataclass(kw_only=True)
class World:
    """Trials and step outcomes, and the steps that run."""

    document: RecipeSearch
    answer: Callable[[StepRequest], Outcome] = succeed
    chance: random.Random = field(default_factory=lambda: random.Random(0))
    trials: dict[str, Trial] = field(default_factory=dict[str, Trial])
    steps: dict[str, StepResult] = field(default_factory=dict[str, StepResult])
    requests: dict[str, StepRequest] = field(default_factory=dict[str, StepRequest])
    log: list[tuple[str, int]] = field(default_factory=list[tuple[str, int]])
    artifacts: dict[str, Outcome] = field(default_factory=dict[str, Outcome])
    models: set[str] = field(default_factory=set[str])
    trained: list[str] = field(default_factory=list[str])
    now: float = 1000.0

    def observe(self) -> Observed:
        """What reconcile may see."""
        return Observed(
            search=self.document,
            uid="u1",
            started_at=1000.0,
            steps=dict(self.steps),
            trials=tuple(self.trials[name] for name in sorted(self.trials)),
        )

    def plan(self) -> Plan:
        """The plan now."""
        return reconcile(self.observe(), self.now)

    def act(self, plan: Plan, *, stop_after: int | None = None) -> None:
        """Carry a plan out, or only its first ``stop_after`` actions, as a controller that dies would."""
        actions: list[Callable[[], None]] = [
            *(lambda trial=trial: self._create(trial) for trial in plan.create),
            *(lambda request=request: self._start(request) for request in plan.start),
        ]
        for action in actions[:stop_after]:
            action()

    def finish_one(self) -> None:
        """Let one running step end, any one."""
        running = sorted(name for name, step in self.steps.items() if step.state == "running")
        if not running:
            return
        name = self.chance.choice(running)
        request = self.requests[name]
        code, result = self._do(request)
        self.now += 1.0
        self.steps[name] = replace(
            self.steps[name],
            state="succeeded" if code == 0 else "failed",
            exit_code=code,
            finished_at=self.now,
            summary=result if code == 0 and not isinstance(result, str) else {},
            reason=result if isinstance(result, str) else "",
        )

    def _do(self, request: StepRequest) -> Outcome:
        """Find the step's result or make it, as the real steps do; models can be dropped, accounts stay."""
        inputs, found = request.inputs, self.artifacts.get(request.output)
        model = inputs.get("model") if request.step == "evaluate" else None
        if model is not None and model not in self.models and (found is None or inputs.get("needs_model")):
            return 0, {"missing": inputs.get("trained", 0)}
        if request.step == "train" and request.output not in self.models and inputs.get("again"):
            found = None
        outcome = found or self.answer(request)
        if outcome[0] != 0:
            return outcome
        if request.step == "train" and found is None:
            self.models.add(request.output)
            self.trained.append(request.output)
        self.artifacts[request.output] = outcome
        self.models.difference_update(inputs.get("drop", ()))
        return outcome

    def run(self, *, limit: int = 5000, die: Callable[[], int | None] = lambda: None) -> Plan:
        """Plan, act and finish steps until the search ends; ``die`` cuts plans short."""
        for _ in range(limit):
            plan = self.plan()
            if plan.state.finished or plan.state.stalled:
                return plan
            self.act(plan, stop_after=die())
            if not any(step.state == "running" for step in self.steps.values()):
                self.now += plan.requeue_after or 1.0
            self.finish_one()
        raise AssertionError(f"no end in sight: {plan.state}")

    def _create(self, trial: Trial) -> None:
        assert trial.name not in self.trials, f"{trial.name} was created twice"
        self.trials[trial.name] = trial

    def _start(self, request: StepRequest) -> None:
        old = self.steps.get(request.name)
        again = old is not None and (old.state == "failed" or self._may_repeat(request, old))
        assert old is None or again, f"{request.name} was started again"
        assert request.attempt == (old.attempt + 1 if old else 1)
        self.requests[request.name] = request
        self.log.append((request.name, request.attempt))
        self.steps[request.name] = StepResult(attempt=request.attempt, state="running", started_at=self.now)

    @staticmethod
    def _may_repeat(request: StepRequest, old: StepResult) -> bool:
        """A step that ended well is done again only around a model that was gone."""
        return old.state == "succeeded" and ("missing" in old.summary or bool(request.inputs.get("again")))
