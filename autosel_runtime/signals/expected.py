"""Which columns a search will have: a function of its document, so recipes can be checked before any is computed."""

from collections.abc import Iterable

from autosel_runtime.api.pool import PoolSource
from autosel_runtime.api.recipe_search import RecipeSearchSpec
from autosel_runtime.recipe.facts import ColumnKind, PoolFacts

ALWAYS = ("words", "answer_words")
EXACT = "exact"
LANGUAGE_MODEL = (
    "nll_full",
    "nll_cond",
    "nll_answer",
    "ifd",
    "ifd_full",
    "varentropy",
    "varentropy_answer",
    "tokens",
    "answer_tokens",
)
MINHASH = "minhash"
EMBEDDING = "embedding"

# What a user sets to get a column, by its name or the part before the dot.
_SWITCHES = {
    "ngram_entropy": "set spec.signals.lexical.ngramEntropy: true",
    "action_object": "set spec.signals.lexical.actionObject: true",
    "quality": "set spec.signals.lexical.quality: true",
    "relevance": "name it in spec.targets, with spec.signals.lexical.relevance: true",
    MINHASH: "set spec.signals.minhash.enabled: true",
    EMBEDDING: "set spec.signals.embedding.enabled: true",
    **dict.fromkeys(LANGUAGE_MODEL, "set spec.signals.languageModel.enabled: true"),
    "sae": "this version computes no features of sparse autoencoders",
    "mona": "this version computes no features of sparse autoencoders",
}


def expected_columns(
    spec: RecipeSearchSpec, extensions: Iterable[str] = (), *, sources: Iterable[str] | None = None
) -> PoolFacts:
    """Return what the pool of ``spec`` will have; ``extensions`` are the names of extension signals.

    ``sources`` are the pool's once it is built; before that they are known when no record can name its own. Floors
    are those asked for; a pool with very many similar pairs may get higher ones.
    """
    signals = spec.signals
    names = [*ALWAYS, *extensions]
    lexical = {
        "ngram_entropy": signals.lexical.ngram_entropy,
        "action_object": signals.lexical.action_object,
        "quality": signals.lexical.quality,
    }
    names += [name for name, wanted in lexical.items() if wanted]
    if signals.lexical.relevance:
        names += [f"relevance.{target.name}" for target in spec.targets]
    if signals.language_model.enabled:
        names += LANGUAGE_MODEL
    floors: dict[str, float] = {}
    if signals.minhash.enabled:
        floors[MINHASH] = signals.minhash.floor
    if signals.embedding.enabled:
        floors[EMBEDDING] = signals.embedding.floor
    kinds: dict[str, ColumnKind] = {
        **dict.fromkeys(names, "scalar"),
        EXACT: "groups",
        **dict.fromkeys(floors, "pairs"),
    }
    return PoolFacts(
        names=frozenset(kinds),
        sources=_declared(spec.pool.sources) if sources is None else tuple(sources),
        floors=floors,
        kinds=kinds,
    )


def how_to_get(name: str) -> str | None:
    """Return what to set in a document so that the column ``name`` is computed; None for an unknown name."""
    return _SWITCHES.get(name) or _SWITCHES.get(name.split(".")[0])


def _declared(sources: Iterable[PoolSource]) -> tuple[str, ...] | None:
    """Return the names of the sources, None when records may name others."""
    listed = list(sources)
    for source in listed:
        if source.format in ("auto", "canonical") or (source.mapping and source.mapping.source):
            return None
    return tuple(source.name for source in listed)
