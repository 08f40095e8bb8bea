"""Reading buckets that belong to others: any key, no writes, no wish that the server could do more than read."""

import io
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, BinaryIO, TypeVar, cast

from botocore.exceptions import BotoCoreError, ClientError

from autosel_runtime.errors import NoInputError
from autosel_runtime.store.access import S3Access
from autosel_runtime.store.retry import Retry
from autosel_runtime.store.s3_client import s3_client
from autosel_runtime.store.s3_errors import Place, classify, code_of
from autosel_runtime.store.s3_stream import ObjectReader

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class Found:
    """An object as the server describes it; the ETag changes with the content."""

    key: str
    size: int
    etag: str


class S3Source:
    """All buckets of one endpoint, for reading. NoInputError for what is not there, a bucket included."""

    def __init__(self, access: S3Access, *, retry: Retry | None = None, timeout: float = 60.0) -> None:
        self._retry = retry if retry is not None else Retry()
        self._client: Any = s3_client(
            place=Place(endpoint=access.endpoint or "the provider's endpoint", bucket="", prefix=""),
            endpoint=access.endpoint,
            region=access.region,
            path_style=access.path_style,
            ca_bundle=access.ca_bundle,
            access_key=access.access_key,
            secret_key=access.secret_key,
            timeout=timeout,
        )
        self.endpoint = str(self._client.meta.endpoint_url)

    def head(self, bucket: str, key: str) -> Found | None:
        """Return the object ``key``, None when there is none."""
        try:
            answer = self._call(
                bucket, key, f"read {key}", lambda: self._client.head_object(Bucket=bucket, Key=key)
            )
        except NoInputError:
            return None
        return Found(key=key, size=int(answer["ContentLength"]), etag=str(answer["ETag"]))

    def list(self, bucket: str, prefix: str) -> list[Found]:
        """Return the objects whose keys start with ``prefix``, by key; what some tools draw as folders is left out."""
        token: dict[str, str] = {}
        found: list[Found] = []
        while True:
            page = self._call(
                bucket,
                prefix,
                f"list {prefix or 'all objects'}",
                lambda token=token: self._client.list_objects_v2(Bucket=bucket, Prefix=prefix, **token),
            )
            found += [
                Found(key=entry["Key"], size=int(entry["Size"]), etag=str(entry["ETag"]))
                for entry in page.get("Contents", [])
                if not entry["Key"].endswith("/")
            ]
            if not page.get("IsTruncated"):
                return sorted(found, key=lambda one: one.key.encode())
            token = {"ContinuationToken": page["NextContinuationToken"]}

    def open(self, bucket: str, key: str) -> tuple[BinaryIO, Found]:
        """Return a stream of one version of an object, which outlives dropped connections, and that version."""
        reader = ObjectReader(
            self._client,
            bucket=bucket,
            key=key,
            name=key,
            place=self._place(bucket, key),
            retry=self._retry,
        )
        found = Found(key=key, size=reader.size, etag=reader.etag)
        return cast(BinaryIO, io.BufferedReader(reader, 1 << 20)), found

    def _call(self, bucket: str, key: str, action: str, request: Callable[[], T]) -> T:
        def once() -> T:
            try:
                return request()
            except (BotoCoreError, ClientError) as error:
                if code_of(error) == "NoSuchBucket":
                    raise NoInputError(f"bucket {bucket} does not exist at {self.endpoint}") from error
                raise classify(error, place=self._place(bucket, key), action=action) from error

        return self._retry.call(once)

    def _place(self, bucket: str, key: str) -> Place:
        return Place(endpoint=self.endpoint, bucket=bucket, prefix=key.rpartition("/")[0])
