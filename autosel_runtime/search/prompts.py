"""The prompt of the LLM proposer. Scores are in percent everywhere in it, errors and deviations too."""

from collections.abc import Mapping, Sequence

from autosel_runtime.api.search import Recipe
from autosel_runtime.digest import canonical_json
from autosel_runtime.recipe.operator import Tunable
from autosel_runtime.search.history import TrialRecord
from autosel_runtime.search.knobs import MIXED
from autosel_runtime.search.phases import Phase
from autosel_runtime.search.space import OperatorSpace, Space

HISTORY_LIMIT = 40  # trials shown: the best and the latest
STATE_LIMIT = 16  # state quantities shown of each trial

TASK = """\
You choose training data for a language model. A fixed pool of {rows} instruction samples is cut down by a recipe: an
ordered list of operators, each of which takes the subset that the one before left. Every recipe is trained and
evaluated at a high price, and the scores are noisy: a difference smaller than about twice the standard error says
little. Propose {wanted} new recipes that are likely to beat the best one or that would teach the most.

Rules
- Use only the operators and parameters below, inside their bounds, at most {max_steps} steps.
- Each recipe is one to three edits away from the anchor: insert, delete, swap, retune or replace a step, or join the
  subset of a finished trial.
- The recipes differ from each other and from every trial below; at least one keeps more samples than the anchor and
  at least one keeps fewer.
- Order matters: the same operators in another order keep other samples.
- Answer with one JSON object {{"recipes": [{{"rationale": "...", "steps": [{{"operator": "...", "params": {{}}}}]}}]}}
  and nothing else.
"""


def proposal_prompt(
    *,
    space: Space,
    phase: Phase,
    history: Sequence[TrialRecord],
    posterior: Mapping[int, tuple[float, float]],
    informative: bool,
    credit: Mapping[str, float],
    rows: int,
    wanted: int,
) -> str:
    """Return the prompt: task, operators, anchor, trials with states and scores, what the surrogate believes.

    ``posterior`` is (mean, deviation) in 0..1 by ordinal. Equal inputs give an equal text.
    """
    parts = [TASK.format(rows=rows, wanted=wanted, max_steps=space.max_steps), "Operators"]
    parts += [f"- {_operator(operator)}" for _, operator in sorted(space.operators.items())]
    if phase.anchor is not None:
        parts += ["", f"Anchor: trial {phase.anchor.ordinal}: {_recipe(phase.anchor.recipe)}"]
    parts += ["", "Trials (score +- standard error; model: posterior mean +- deviation)"]
    parts += [f"- {_trial(record, posterior.get(record.ordinal), rows)}" for record in _shown(history)]
    if not informative:
        parts += ["", "The surrogate model has no predictive skill yet: explore widely."]
    if credit:
        ranked = sorted(credit.items(), key=lambda item: (-item[1], item[0]))
        parts += ["", "Mean gain of edits by operator, shrunk towards zero, in points"]
        parts += [f"- {name}: {100 * value:+.2f}" for name, value in ranked]
    return "\n".join(parts)


def _operator(operator: OperatorSpace) -> str:
    knobs = ", ".join(_knob(knob) for knob in operator.knobs)
    if operator.union_field is not None:
        knobs = ", ".join(filter(None, [f"{operator.union_field}: number of a succeeded trial", knobs]))
    return f"{operator.name} ({operator.family}): {knobs or 'no parameters'}"


def _knob(knob: Tunable) -> str:
    if knob.scale == "choice":
        return f"{knob.name} one of {canonical_json(list(knob.choices)).decode()}"
    if knob.scale == "composition":
        return f"{knob.name} an object of at most {MIXED} weights by source, of {', '.join(map(str, knob.choices))}"
    kind = "whole number" if knob.integer else "number"
    only = f" (with {knob.when[0]} {knob.when[1]} only)" if knob.when is not None else ""
    return f"{knob.name} {kind} from {knob.low:g} to {knob.high:g}{only}"


def _trial(record: TrialRecord, belief: tuple[float, float] | None, rows: int) -> str:
    words = [f"trial {record.ordinal}, {record.state}", f"keeps {record.size} of {rows}"]
    if record.score is not None:
        error = "" if record.stderr is None else f" +- {100 * record.stderr:.2f}"
        words.append(f"score {100 * record.score:.2f}{error}")
    if belief is not None:
        words.append(f"model {100 * belief[0]:.2f} +- {100 * belief[1]:.2f}")
    state = ", ".join(f"{k} {v:.4g}" for k, v in sorted(record.state_vector.items())[:STATE_LIMIT])
    return f"{', '.join(words)}: {_recipe(record.recipe)}; state: {state}"


def _recipe(recipe: Recipe) -> str:
    steps = [{"operator": step.operator, "params": dict(step.params)} for step in recipe.steps]
    return canonical_json(steps).decode()


def _shown(history: Sequence[TrialRecord]) -> list[TrialRecord]:
    """Return at most 40 trials by ordinal: the better half by score, the rest the latest."""
    live = sorted(
        (r for r in history if r.state in ("pending", "succeeded")),
        key=lambda r: (-(r.score or -1.0), r.ordinal),
    )
    best = live[: HISTORY_LIMIT // 2]
    latest = sorted(live[HISTORY_LIMIT // 2 :], key=lambda r: -r.ordinal)[: HISTORY_LIMIT - len(best)]
    return sorted([*best, *latest], key=lambda r: r.ordinal)
