"""The document of one step: all it needs to know, in one JSON object."""

import gzip
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError

from autosel_runtime.api.common import Model
from autosel_runtime.api.problems import first_problem
from autosel_runtime.api.recipe_search import RecipeSearchSpec
from autosel_runtime.api.resources import StepName
from autosel_runtime.errors import DataError, NoInputError

SCHEMA = "autosel.dev/step/v1"
GZIP = b"\x1f\x8b"


class StepDocument(Model):
    """One step of a search: what to do, with what, and where the result goes."""

    document: Literal["autosel.dev/step/v1"] = Field(
        default=SCHEMA, description="Version.", examples=[SCHEMA]
    )
    step: StepName = Field(description="Kind of step.", examples=["train"])
    name: Annotated[str, Field(max_length=128)] = Field(description="Name.", examples=["t00001.train"])
    attempt: int = Field(default=1, ge=1, le=1000, description="Attempt, from 1.", examples=[1])
    uid: Annotated[str, Field(max_length=64)] = Field(description="The search.", examples=["6f1c"])
    search_name: Annotated[str, Field(max_length=63)] = Field(
        default="search", description="Name of the search.", examples=["quickstart"]
    )
    search: RecipeSearchSpec = Field(description="Specification of the search.", examples=[{}])
    base: Annotated[str, Field(max_length=4096)] = Field(
        default=".", description="Folder that relative paths start at.", examples=["/data"]
    )
    default_store: Annotated[str, Field(max_length=4096)] = Field(
        default="store",
        description="Folder of the store when the search names none.",
        examples=["/runs/x/store"],
    )
    work: Annotated[str, Field(max_length=4096)] = Field(
        default="work",
        description="Scratch folder; what lies there speeds up a new attempt.",
        examples=["/scratch"],
    )
    inputs: dict[str, Any] = Field(default_factory=dict, description="Inputs of the step.", examples=[{}])
    output: Annotated[str, Field(max_length=512)] = Field(
        description="Prefix of the result.", examples=["models/0f3a"]
    )

    @property
    def base_path(self) -> Path:
        """Folder that relative paths start at."""
        return Path(self.base)


def prepare_prefix(uid: str) -> str:
    """Return where the prepare step of one search leaves its account; the pool itself lies under its digest."""
    return f"searches/{uid}/prepare"


def read_document(uri: str) -> StepDocument:
    """Read and check a step document from a file; a long one may be compressed with gzip."""
    path = Path(uri.removeprefix("file://"))
    try:
        text = path.read_bytes()
        if text.startswith(GZIP):
            text = gzip.decompress(text)
    except (OSError, EOFError) as error:
        raise NoInputError(f"step document {uri} cannot be read: {error}") from error
    try:
        return StepDocument.model_validate_json(text)
    except ValidationError as error:
        raise DataError(f"step document {uri} is invalid: {first_problem(error, StepDocument)}") from error
