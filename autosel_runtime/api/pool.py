"""The pool and the targets: where samples come from and how their fields are read."""

from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import Field

from autosel_runtime.api.common import Model, Name, Seed
from autosel_runtime.api.findings import Finding, Ruled, repeated_names
from autosel_runtime.api.uris import InputUri

Format = Literal[
    "auto",
    "canonical",
    "alpaca",
    "sharegpt",
    "openai",
    "prompt_completion",
    "question_answer",
    "mapping",
]

Template = Annotated[str, Field(min_length=1, max_length=4096)]


class FieldMapping(Model):
    """How one record becomes one chat: text templates over the record's fields, never code."""

    system: Template | None = Field(
        default=None,
        description="Template of the system message; left out when it renders empty.",
        examples=["You are a {role}."],
    )
    user: Template = Field(
        description="Template of the user message; {field} and {field.inner} insert the record's values.",
        examples=["{question}\n\n{choices}"],
    )
    assistant: Template = Field(
        description="Template of the answer; a record whose answer renders empty is rejected.",
        examples=["{answer}"],
    )
    source: Template | None = Field(
        default=None,
        description="Template of the source name; the source's own name when left out.",
        examples=["{dataset}"],
    )


class Records(Ruled):
    """Records of one name: where they lie and how one of them is read."""

    name: Name = Field(description="Name.", examples=["gsm8k"])
    uri: InputUri = Field(
        description="File, folder or glob, here (relative paths start at the document's folder) or s3://bucket/key. "
        "JSONL, JSON array, Parquet and Arrow, plain or .gz or .zst.",
        examples=["pool/gsm8k_train.jsonl.gz"],
    )
    format: Format = Field(
        default="auto",
        description="Record format; auto reads the first records and says what it found.",
        examples=["alpaca"],
    )
    mapping: FieldMapping | None = Field(
        default=None,
        description="Templates for format mapping.",
        examples=[{"user": "{q}", "assistant": "{a}"}],
    )

    def disagreements(self) -> Iterator[Finding]:
        """A mapping that nothing reads, or a format that lacks it."""
        if (self.mapping is not None) != (self.format == "mapping"):
            yield Finding(
                field=("format",) if self.mapping is None else ("mapping",),
                message="mapping and format: mapping go together",
                reads=(("mapping",), ("format",)),
            )


class PoolSource(Records):
    """One source of samples: a file, a folder or a glob, and the format of its records."""

    name: Name = Field(description="Source name, the group of mixing operators.", examples=["gsm8k"])
    limit: int | None = Field(
        default=None,
        ge=1,
        le=1_000_000_000,
        description="Read at most this many records, the first ones.",
        examples=[10000],
    )


class PoolSpec(Ruled):
    """The fixed pool that every recipe selects from."""

    sources: Annotated[list[PoolSource], Field(min_length=1, max_length=256)] = Field(
        description="Sources in pool order.", examples=[[{"name": "alpaca", "uri": "alpaca.jsonl"}]]
    )
    max_reject_fraction: float = Field(
        default=0.5,
        ge=0.0,
        le=1.0,
        description="Stop when more than this share of all records is rejected.",
        examples=[0.05],
    )

    def disagreements(self) -> Iterator[Finding]:
        """Sources of one name."""
        yield from repeated_names(("sources",), [source.name for source in self.sources], "source names")


class Target(Records):
    """Query samples that say what the model shall become good at; never evaluated, never trained on."""

    name: Name = Field(description="Benchmark name, the key of its relevance signal.", examples=["gsm8k"])
    uri: InputUri = Field(
        description="File of query samples, here or s3://bucket/key.", examples=["targets/gsm8k.jsonl"]
    )
    limit: int = Field(
        default=256,
        ge=1,
        le=100_000,
        description="Use at most this many, drawn with the seed.",
        examples=[128],
    )
    seed: Seed = Field(default=42, description="Seed of the draw.", examples=[42])
