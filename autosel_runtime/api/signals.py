"""Which per-sample signals are computed, and with what."""

from typing import Annotated, Any, Literal

from pydantic import Field, field_validator

from autosel_runtime.api.common import Model
from autosel_runtime.api.uris import InputUri


class LexicalSignals(Model):
    """Signals of the text alone; they need no model."""

    ngram_entropy: bool = Field(default=True, description="Unigram Shannon entropy in bits.", examples=[True])
    action_object: bool = Field(
        default=False,
        description="Verbs and the size of their dependency subtrees; needs spaCy and its model.",
        examples=[False],
    )
    spacy_model: Annotated[str, Field(min_length=1, max_length=128)] = Field(
        default="en_core_web_sm", description="spaCy model of action_object.", examples=["en_core_web_sm"]
    )
    quality: bool = Field(
        default=True,
        description="Rule score in 0..1: length, repetition, symbols, an answer that ends.",
        examples=[True],
    )
    relevance: bool = Field(
        default=True,
        description="Generalised Jaccard of word n-grams to each target; the light form of MONA.",
        examples=[True],
    )


class MinHashSignals(Model):
    """MinHash signatures, computed once; a threshold is then a look-up."""

    enabled: bool = Field(default=True, description="Compute signatures.", examples=[True])
    permutations: int = Field(default=128, ge=16, le=512, description="Hash functions.", examples=[128])
    ngram: int = Field(default=5, ge=1, le=20, description="Words in a shingle.", examples=[5])
    floor: float = Field(
        default=0.5,
        ge=0.1,  # as LEAST_FLOOR of the operators
        le=0.99,
        description="Least Jaccard similarity that a recipe may ask for.",
        examples=[0.5],
    )


class ModelSignals(Model):
    """Signals that a pass of a language model over the pool gives."""

    enabled: bool = Field(default=True, description="Compute them.", examples=[True])
    model: InputUri | None = Field(
        default=None,
        description="Model folder or id; the search's own model when left out. A smaller one is faster.",
        examples=["models/smollm2"],
    )
    max_tokens: int = Field(
        default=2048,
        ge=16,
        le=131_072,
        description="Longest text in tokens; longer ones keep their answer.",
        examples=[2048],
    )
    chat_template: bool = Field(
        default=True,
        description="Render chats as in training; false joins the texts with newlines.",
        examples=[True],
    )
    batch_tokens: int = Field(
        default=16_384,
        ge=64,
        le=1_048_576,
        description="Tokens in a batch, padding included.",
        examples=[16384],
    )
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = Field(
        default="auto",
        description="Weights and arithmetic; auto is bfloat16 on accelerators, float32 on CPU.",
        examples=["auto"],
    )


class LanguageModelSignals(ModelSignals):
    """Signals of a language model's token probabilities: IFD, varentropy, loss."""


class EmbeddingSignals(ModelSignals):
    """Embeddings of whole chats, the model's mean last hidden state, and all pairs of samples with near ones."""

    enabled: bool = Field(
        default=False,
        description="Compute them, for semantic_dedup with strategy embedding.",
        examples=[True],
    )
    floor: float = Field(
        default=0.9,
        ge=0.1,  # as LEAST_FLOOR of the operators
        le=0.999,
        description="Least cosine that a recipe may ask for; raised when more pairs than 64 a sample reach it.",
        examples=[0.9],
    )


class SaeSignals(Model):
    """Sparse-autoencoder features: MONA relevance, drift, semantic deduplication."""

    uri: InputUri = Field(
        description="Folder with cfg.json and sae.safetensors, here or s3://bucket/folder/.",
        examples=["sae/layers.26"],
    )
    hookpoint: Annotated[str, Field(min_length=1, max_length=256)] = Field(
        description="Module whose output is encoded, relative to the base model.", examples=["layers.26"]
    )
    top_k: int | None = Field(
        default=192,
        ge=1,
        le=65_536,
        description="Features kept for a sample; null keeps all.",
        examples=[192],
    )


class SignalsSpec(Model):
    """The signals of the pool, each computed once."""

    lexical: LexicalSignals = Field(
        default=LexicalSignals(), description="Signals of the text.", examples=[{"actionObject": True}]
    )
    minhash: MinHashSignals = Field(
        default=MinHashSignals(),
        description="Signatures for near-duplicate removal.",
        examples=[{"permutations": 64}],
    )
    language_model: LanguageModelSignals = Field(
        default=LanguageModelSignals(),
        description="Signals of token probabilities.",
        examples=[{"maxTokens": 1024}],
    )
    embedding: EmbeddingSignals = Field(
        default=EmbeddingSignals(),
        description="Pairs of samples with near embeddings.",
        examples=[{"enabled": True}],
    )
    sae: SaeSignals | None = Field(
        default=None,
        description="Sparse-autoencoder features; not computed in this version, so semdedup cannot run.",
        examples=[None],
    )
    rows_per_shard: int = Field(
        default=20_000,
        ge=100,
        le=1_000_000,
        description="Rows of a shard, the unit of work, retry and resume.",
        examples=[20000],
    )

    def content(self) -> dict[str, Any]:
        """Return what decides the values: not where models lie, how the work is cut, or a family that is off."""
        unread: dict[str, Any] = {"rows_per_shard": True, "language_model": {"model"}}
        unread["embedding"] = {"model"} if self.embedding.enabled else True
        return self.model_dump(mode="json", exclude=unread)

    @field_validator("sae")
    @classmethod
    def _no_engine_yet(cls, value: SaeSignals | None) -> SaeSignals | None:
        if value is not None:
            raise ValueError(
                "this version computes no features of sparse autoencoders; leave sae out (mona_filter then reads "
                "relevance on words), or bring values of your own as signals of an extension"
            )
        return value
