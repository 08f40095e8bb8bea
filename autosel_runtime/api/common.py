"""What every API model shares: strictness, camelCase names, bounded types."""

from typing import Annotated, Any, Final

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

GROUP = "autosel.dev"
VERSION = "v1alpha1"
API_VERSION: Final = "autosel.dev/v1alpha1"


class Model(BaseModel):
    """Frozen, refuses unknown fields; camelCase in documents, snake_case in Python."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        alias_generator=to_camel,
        populate_by_name=True,
        use_attribute_docstrings=False,
    )


# Names end up in file names, object keys and Kubernetes names.
Name = Annotated[
    str, Field(min_length=1, max_length=63, pattern=r"^[a-z0-9]([a-z0-9_.-]*[a-z0-9])?$", examples=["gsm8k"])
]
ShortText = Annotated[str, Field(min_length=1, max_length=253)]
# A key of a Kubernetes label or annotation: a DNS name, a slash, a name.
LabelKey = Annotated[str, Field(max_length=317)]
Labels = Annotated[dict[LabelKey, Annotated[str, Field(max_length=63)]], Field(max_length=256)]
# An object whose fields are somebody else's: operator parameters, a pod template.
FreeObject = Annotated[dict[Annotated[str, Field(max_length=317)], Any], Field(max_length=256)]
Uri = Annotated[str, Field(min_length=1, max_length=1024)]
Digest = Annotated[str, Field(max_length=71, pattern=r"^sha256:[0-9a-f]{64}$")]
Fraction = Annotated[float, Field(ge=0.0, le=1.0)]
Seed = Annotated[int, Field(ge=0, le=2**31 - 1)]
