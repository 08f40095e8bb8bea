"""Families of signals and their fingerprints.

A family is computed together and is valid as long as everything it depends on is the same: the pool, its
settings, the target samples, the model and the code. Its fingerprint is the digest of all that, and names the
folder its shards lie in; the fingerprint of a set of signals is the digest over its families.
"""

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from autosel_runtime.api.signals import LexicalSignals, MinHashSignals, ModelSignals
from autosel_runtime.digest import digest, digest_file, short
from autosel_runtime.errors import ConfigError
from autosel_runtime.pool.sample import Sample
from autosel_runtime.signals import action_object
from autosel_runtime.signals.minhash import ALGORITHM

SCHEMA = 1

# Raised by hand when the code of a family starts to give other values.
LEXICAL_VERSION = 1
MINHASH_VERSION = 1
LANGUAGE_MODEL_VERSION = 1
EMBEDDING_VERSION = 1

ExtensionFunction = Callable[[Sample], float | None]
Extension = tuple[str, ExtensionFunction]


@dataclass(frozen=True, kw_only=True)
class Family:
    """A family and what its values depend on, as JSON values."""

    name: str
    depends: Mapping[str, Any] = field(default_factory=dict[str, Any])

    @property
    def fingerprint(self) -> str:
        """Digest of everything the values depend on."""
        return digest({"family": self.name, "depends": dict(self.depends)})

    def folder(self, work: Path, rows_per_shard: int) -> Path:
        """Return where the family's shards lie; shards of another size have another folder."""
        return work / f"{self.name}-{short(self.fingerprint, 16)}-{rows_per_shard}"


def lexical_family(
    pool_digest: str, settings: LexicalSignals, targets: Mapping[str, Sequence[Sample]]
) -> Family:
    """Return the family of signals of the text; UnavailableError when a spaCy model is asked for and missing."""
    chosen: dict[str, Any] = settings.model_dump(exclude={"spacy_model"})
    if settings.action_object:
        chosen["spacy"] = action_object.pipeline_version(settings.spacy_model)
    digests = (
        {name: target_digest(samples) for name, samples in targets.items()} if settings.relevance else {}
    )
    return Family(
        name="lexical",
        depends={"pool": pool_digest, "version": LEXICAL_VERSION, "settings": chosen, "targets": digests},
    )


def minhash_family(pool_digest: str, settings: MinHashSignals) -> Family:
    """Return the family of signatures. The floor is not part of it: signatures serve every floor."""
    return Family(
        name="minhash",
        depends={
            "pool": pool_digest,
            "version": MINHASH_VERSION,
            "algorithm": ALGORITHM,
            "permutations": settings.permutations,
            "ngram": settings.ngram,
        },
    )


def language_model_family(
    pool_digest: str, settings: ModelSignals, *, model: str, template: str | None, dtype: str
) -> Family:
    """Return the family of signals of token probabilities.

    ``model`` is the model folder's digest, ``template`` the text that overrides the tokenizer's own, ``dtype``
    what auto came to.
    """
    return _model_family(
        "language-model", LANGUAGE_MODEL_VERSION, pool_digest, settings, model, template, dtype
    )


def embedding_family(
    pool_digest: str, settings: ModelSignals, *, model: str, template: str | None, dtype: str
) -> Family:
    """Return the family of embeddings; see ``language_model_family``. The floor is not part of it."""
    return _model_family("embedding", EMBEDDING_VERSION, pool_digest, settings, model, template, dtype)


def _model_family(
    name: str,
    version: int,
    pool_digest: str,
    settings: ModelSignals,
    model: str,
    template: str | None,
    dtype: str,
) -> Family:
    return Family(
        name=name,
        depends={
            "pool": pool_digest,
            "version": version,
            "model": model,
            "dtype": dtype,
            "maxTokens": settings.max_tokens,
            "chatTemplate": settings.chat_template,
            "template": template,
        },
    )


def extension_family(pool_digest: str, extensions: Sequence[Extension]) -> Family:
    """Return the family of extension signals; each depends on the file its function is written in."""
    modules: dict[str, str] = {}
    for name, function in extensions:
        file = inspect.getsourcefile(function)
        if file is None or not Path(file).is_file():
            raise ConfigError(f"extension signal {name!r}: its function must be written in a file")
        if "." not in name or name in modules:
            raise ConfigError(
                f"extension signal {name!r}: a name is the extension's own name, a dot and the signal's, once each"
            )
        modules[name] = digest_file(Path(file))
    return Family(name="extensions", depends={"pool": pool_digest, "modules": modules})


def signals_fingerprint(families: Sequence[Family], settings: Mapping[str, Any]) -> str:
    """Return the fingerprint of a set of signals; ``settings`` are those that apply when shards are merged."""
    return digest(
        {
            "schema": SCHEMA,
            "settings": dict(settings),
            "families": {family.name: family.fingerprint for family in families},
        }
    )


def target_digest(samples: Sequence[Sample]) -> str:
    """Return the digest of a target's samples, in order."""
    return digest([sample.chat() for sample in samples])
