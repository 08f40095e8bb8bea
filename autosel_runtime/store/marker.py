"""The marker of a finished artifact: what it holds, checked on every read."""

from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError, field_validator, model_validator

from autosel_runtime.api.common import Digest, Model
from autosel_runtime.api.problems import first_problem
from autosel_runtime.digest import canonical_json
from autosel_runtime.errors import DataError
from autosel_runtime.store.port import check_key

MARKER_NAME = "_SUCCESS.json"
SUMMARY_BYTES = 4096
MARKER_BYTES = 16 << 20

Key = Annotated[str, Field(min_length=1, max_length=512)]


class StoredObject(Model):
    """One object of an artifact."""

    key: Key = Field(description="Key in the store.", examples=["pools/1f/a1.5e/pool.json"])
    size: int = Field(ge=0, le=2**53, description="Bytes.", examples=[1024])
    sha256: Digest = Field(description="SHA-256 of the content.", examples=["sha256:" + "0" * 64])

    @field_validator("key")
    @classmethod
    def _key_is_valid(cls, key: str) -> str:
        return _checked(key)


class Marker(Model):
    """``_SUCCESS.json``: written last and once, it makes an artifact exist."""

    schema_version: Literal[1] = Field(default=1, description="Version of this format.", examples=[1])
    prefix: Key = Field(description="The artifact's prefix.", examples=["pools/1f"])
    step: Annotated[str, Field(min_length=1, max_length=63)] = Field(
        description="Step that made it.", examples=["prepare"]
    )
    attempt: Annotated[str, Field(min_length=1, max_length=128)] = Field(
        description="Attempt that made it.", examples=["a1"]
    )
    summary: dict[str, Any] = Field(description="The step's result, at most 4 KiB.", examples=[{"rows": 3}])
    objects: Annotated[dict[Key, StoredObject], Field(max_length=100_000)] = Field(
        description="Objects by name.",
        examples=[
            {"pool.json": {"key": "pools/1f/a1.5e/pool.json", "size": 2, "sha256": "sha256:" + "0" * 64}}
        ],
    )

    @model_validator(mode="after")
    def _objects_lie_under_the_prefix(self) -> "Marker":
        for name, stored in self.objects.items():
            _checked(name)
            if not stored.key.startswith(f"{self.prefix}/"):
                raise ValueError(f"object {name} has key {stored.key}, which is not under {self.prefix}/")
        if len(canonical_json(self.summary)) > SUMMARY_BYTES:
            raise ValueError(f"the summary is longer than {SUMMARY_BYTES} bytes")
        return self

    def object(self, name: str) -> StoredObject:
        """Return the object ``name``; DataError names what there is when it is missing."""
        try:
            return self.objects[name]
        except KeyError:
            known = ", ".join(sorted(self.objects)[:20]) or "nothing"
            raise DataError(f"artifact {self.prefix} has no object {name!r}; it has {known}") from None

    def to_json(self) -> bytes:
        """Return the marker's bytes; equal markers have equal bytes."""
        return canonical_json(self.model_dump(mode="json", by_alias=True))


def marker_key(prefix: str) -> str:
    """Return the key of the marker of ``prefix``."""
    return check_key(f"{prefix}/{MARKER_NAME}")


def parse_marker(data: bytes, *, prefix: str) -> Marker:
    """Return the marker in ``data``; DataError when it is damaged, forged or another prefix's."""
    where = f"marker {prefix}/{MARKER_NAME}"
    try:
        marker = Marker.model_validate_json(data)
    except ValidationError as error:
        raise DataError(
            f"{where} is damaged: {first_problem(error, Marker)}; delete it to do the step again"
        ) from error
    if marker.prefix != prefix:
        raise DataError(f"{where} belongs to {marker.prefix}; delete it to do the step again")
    return marker


def _checked(key: str) -> str:
    try:
        return check_key(key)
    except DataError as error:
        raise ValueError(str(error)) from error
