"""Recipes in plain words.

A sentence is made from a step's parameters; what a step leaves out counts as the operator's default. An
operator that is not known here, an extension's say, gets a sentence with its name and parameters.
"""

from collections.abc import Callable, Mapping

from autosel_runtime.api.search import Recipe, RecipeStep
from autosel_runtime.digest import short
from autosel_runtime.report.formats import count, number, percent, plural

Params = Mapping[str, object]

_NOUNS: Mapping[str, str] = {
    "action_object_filter": "action-object filter",
    "ifd_filter": "IFD filter",
    "mona_filter": "MONA filter",
    "ngram_entropy_filter": "n-gram entropy filter",
    "quality_filter": "quality filter",
    "random_subset": "random subset",
    "score_filter": "score filter",
    "semantic_dedup": "deduplication",
    "semdedup": "semantic deduplication",
    "source_mix": "source mix",
    "union": "union",
    "varentropy_filter": "varentropy filter",
    "varentropy_mix": "varentropy mix",
}


def recipe_words(recipe: Recipe) -> str:
    """Return the whole recipe as a sentence: ``Keep the 40 % …, then drop near-duplicates ….``"""
    if not recipe.steps:
        return "Keep the whole pool."
    first, *rest = (step_words(step) for step in recipe.steps)
    return ", then ".join([first, *(words[:1].lower() + words[1:] for words in rest)]) + "."


def step_words(step: RecipeStep) -> str:
    """Return one step as a sentence without its full stop."""
    sentence = _SENTENCES.get(step.operator)
    words = None if sentence is None else sentence(step.params)
    return _other(step) if words is None else words


def operator_words(operator: str) -> str:
    """Return an operator as a noun: ``IFD filter``; an unknown one by its name."""
    return _NOUNS.get(operator, operator)


def value_words(value: object) -> str:
    """Return a parameter's value as a person would write it."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if value is None:
        return "none"
    if isinstance(value, int):
        return count(value)
    if isinstance(value, float):
        return number(value)
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {value_words(item)}" for name, item in value.items()) or "none"
    if isinstance(value, list | tuple):
        return ", ".join(value_words(item) for item in value) or "none"
    return str(value)


def param_words(name: str, value: object) -> str:
    """Return the value of the parameter ``name``; a fraction reads as a percentage."""
    if name == "fraction" and isinstance(value, int | float) and not isinstance(value, bool):
        return percent(float(value))
    return value_words(value)


def _other(step: RecipeStep) -> str:
    params = ", ".join(f"{name} {param_words(name, value)}" for name, value in step.params.items())
    return f"Apply {operator_words(step.operator)}" + (f" ({params})" if params else "")


def _amount(params: Params, size: str = "top_k") -> str | None:
    """Return ``40 % of samples`` or ``10,000 samples``; None when the parameters hold neither."""
    fraction, total = params.get("fraction"), params.get(size)
    if isinstance(fraction, int | float):
        return f"{percent(float(fraction))} of samples"
    return plural(total, "sample") if isinstance(total, int) else None


def _cut(params: Params, what: str) -> str | None:
    """Return the sentence of a score filter; ``what`` names the score."""
    lowest = params.get("direction", "highest") == "lowest"
    threshold, amount = params.get("threshold"), _amount(params)
    if isinstance(threshold, int | float):
        words = f"Keep samples with {what} of at {'most' if lowest else 'least'} {number(float(threshold))}"
    elif amount is not None:
        words = f"Keep the {amount} with the {'lowest' if lowest else 'highest'} {what}"
    else:
        return None
    missing = params.get("missing", "drop")
    return words + (", and those without one" if missing == "keep" else "")


def _filter(what: str) -> Callable[[Params], str | None]:
    return lambda params: _cut(params, what)


def _ifd(params: Params) -> str | None:
    what = "full-text IFD" if params.get("variant", "ifd") == "ifd_full" else "IFD"
    words = _cut(params, what)
    above = params.get("reject_above_one", False) is True
    return words if words is None or not above else f"{words}, none above 1"


def _varentropy(params: Params) -> str | None:
    alone = params.get("variant", "varentropy") == "varentropy_answer"
    return _cut(params, "varentropy of the answer alone" if alone else "varentropy")


def _score(params: Params) -> str | None:
    return _cut(params, str(params.get("signal", "score")))


def _mona(params: Params) -> str | None:
    names = params.get("benchmarks")
    targets = value_words(names) if isinstance(names, list | tuple) and names else "the targets"
    signal = {"mona": "MONA relevance", "relevance": "word relevance"}.get(
        str(params.get("signal")), "relevance"
    )
    combine = params.get("combine", "union")
    words = _cut(params, f"mean {signal}" if combine == "mean" else signal)
    if combine == "union" and params.get("exact_size", False) is not True:
        return words and f"{words} to each of {targets}, joined"
    ends = {"max": f"to any of {targets}", "mean": f"to {targets}"}
    return words and f"{words} {ends.get(str(combine), f'to any of {targets}, by place in each order')}"


def _dedup(params: Params) -> str | None:
    strategy = params.get("strategy", "minhash")
    if strategy == "exact":
        return "Drop exact duplicates" + _preference(params)
    given = params.get("threshold")
    threshold = (
        given
        if isinstance(given, int | float)
        else {"minhash": 0.8, "embedding": 0.95}.get(str(strategy), 0.0)
    )
    kind = "near-duplicates" if strategy == "minhash" else "samples with near-equal embeddings,"
    return f"Drop {kind} above {number(float(threshold))} similarity" + _preference(params)


def _semdedup(params: Params) -> str | None:
    given = params.get("threshold", 0.95)
    threshold = number(float(given)) if isinstance(given, int | float) else value_words(given)
    return f"Drop samples with near-equal SAE features, above {threshold} cosine" + _preference(params)


def _preference(params: Params) -> str:
    prefer = params.get("prefer")
    end = params.get("prefer_direction", "highest")
    return "" if prefer is None else f", keeping the one with the {end} {prefer}"


def _random(params: Params) -> str | None:
    amount = _amount(params, "size")
    how = {"balanced": ", equally many of each source", "uniform": ", whatever their source"}
    return amount and f"Draw {amount} at random" + how.get(str(params.get("strategy")), "") + _seeded(params)


def _source_mix(params: Params) -> str | None:
    amount, weights = _amount(params, "size"), params.get("weights")
    if amount is None or not isinstance(weights, Mapping):
        return None
    whole = sum(float(weight) for weight in weights.values()) or 1.0
    shares = ", ".join(f"{percent(float(weight) / whole)} {source}" for source, weight in weights.items())
    return f"Draw {amount} as a mix of {shares}" + _seeded(params)


def _varentropy_mix(params: Params) -> str | None:
    amount, temperature = _amount(params, "size"), params.get("temperature", 1.0)
    hot = number(float(temperature)) if isinstance(temperature, int | float) else value_words(temperature)
    alone = " of the answer alone" if params.get("variant", "varentropy") == "varentropy_answer" else ""
    return amount and (
        f"Draw {amount}, more from sources with high varentropy{alone} (temperature {hot})" + _seeded(params)
    )


def _seeded(params: Params) -> str:
    seed = params.get("seed")
    return f" (seed {seed})" if isinstance(seed, int) else ""


def _union(params: Params) -> str | None:
    trial = params.get("trial")
    if isinstance(trial, str) and trial.startswith("sha256:"):
        return f"Add the subset of recipe {short(trial)}"
    return None if trial is None else f"Add the subset of trial {trial}"


_SENTENCES: Mapping[str, Callable[[Params], str | None]] = {
    "action_object_filter": _filter("action-object score"),
    "ifd_filter": _ifd,
    "mona_filter": _mona,
    "ngram_entropy_filter": _filter("n-gram entropy"),
    "quality_filter": _filter("quality score"),
    "random_subset": _random,
    "score_filter": _score,
    "semantic_dedup": _dedup,
    "semdedup": _semdedup,
    "source_mix": _source_mix,
    "union": _union,
    "varentropy_filter": _varentropy,
    "varentropy_mix": _varentropy_mix,
}
