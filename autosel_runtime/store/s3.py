"""A store in an S3 bucket, on any server that has conditional writes."""

import io
import threading
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, cast

from botocore.exceptions import BotoCoreError, ClientError

from autosel_runtime.errors import ConfigError, NoInputError, TransientError
from autosel_runtime.store.port import check_key, check_prefix
from autosel_runtime.store.retry import Retry
from autosel_runtime.store.s3_client import s3_client
from autosel_runtime.store.s3_errors import Place, classify, code_of, status_of
from autosel_runtime.store.s3_stream import ObjectReader
from autosel_runtime.store.s3_upload import PART_BYTES, upload_parts

_probed: set[tuple[str, str]] = set()  # (endpoint, bucket) known to have conditional writes
_probe_lock = threading.Lock()
# Answers that a conditional write has lost: the key exists, or our finished upload is gone.
_LOST = frozenset({"PreconditionFailed", "NoSuchUpload"})


class _LostError(Exception):
    """A write met a condition that did not hold, or an upload that no longer exists."""


class S3Store:
    """Store in ``bucket`` under ``prefix``.

    The first use in a process checks that the bucket exists and that the server honours ``If-None-Match``;
    ConfigError when not. ``probe`` is false for those who only read. Credentials come by value, or from the
    environment's usual chain.
    """

    def __init__(
        self,
        bucket: str,
        prefix: str = "",
        *,
        endpoint: str | None = None,
        region: str | None = None,
        path_style: bool = False,
        ca_bundle: Path | None = None,
        access_key: str | None = None,
        secret_key: str | None = None,
        session_token: str | None = None,
        retry: Retry | None = None,
        timeout: float = 60.0,
        probe: bool = True,
    ) -> None:
        self._bucket, self._prefix = bucket, check_prefix(prefix)
        self._retry = retry if retry is not None else Retry()
        self._place = Place(
            endpoint=endpoint or "the provider's endpoint", bucket=bucket, prefix=self._prefix
        )
        self._client: Any = s3_client(
            place=self._place,
            endpoint=endpoint,
            region=region,
            path_style=path_style,
            ca_bundle=ca_bundle,
            access_key=access_key,
            secret_key=secret_key,
            session_token=session_token,
            timeout=timeout,
        )
        if probe:
            self._probe()

    @property
    def uri(self) -> str:
        """``s3://bucket/prefix``."""
        return f"s3://{self._bucket}/{self._prefix}".removesuffix("/")

    def open(self, key: str) -> BinaryIO:
        """Return a seekable stream that reconnects."""
        reader = ObjectReader(
            self._client,
            bucket=self._bucket,
            key=self._full(key),
            name=key,
            place=self._place,
            retry=self._retry,
        )
        return cast(BinaryIO, io.BufferedReader(reader, 1 << 20))

    def put(self, key: str, source: bytes | Path, *, if_absent: bool = False) -> bool:
        """Write with one request, or in parts above 16 MiB.

        A conditional write whose answer was lost is told from a lost race by the writer's mark on the object.
        """
        target = {"Bucket": self._bucket, "Key": self._full(key)}
        writer = uuid.uuid4().hex
        try:
            if isinstance(source, Path) and _size(source) > PART_BYTES:
                upload_parts(
                    self._call, path=source, target=target, name=key, writer=writer, if_absent=if_absent
                )
            else:
                data = source if isinstance(source, bytes) else source.read_bytes()
                condition = {"IfNoneMatch": "*"} if if_absent else {}
                self._call("put_object", **target, Body=data, Metadata={"writer": writer}, **condition)
        except _LostError as error:
            if self._writer_of(key) == writer:
                return True
            if if_absent:
                return False
            raise TransientError(
                f"the upload of {key} to {self._place} was removed by another process"
            ) from error
        return True

    def list(self, prefix: str) -> Iterator[str]:
        """Yield keys, sorted here since some servers list in the order of a tree walk."""
        folder = check_prefix(prefix)
        start = f"{self._full(folder)}/" if folder else (f"{self._prefix}/" if self._prefix else "")
        cut = len(self._prefix) + 1 if self._prefix else 0
        token: dict[str, str] = {}
        keys: list[str] = []
        while True:
            page = self._call("list_objects_v2", Bucket=self._bucket, Prefix=start, **token)
            # keys that end with / are folders that some tools draw as empty objects
            keys += [item["Key"][cut:] for item in page.get("Contents", []) if not item["Key"].endswith("/")]
            if not page.get("IsTruncated"):
                break
            token = {"ContinuationToken": page["NextContinuationToken"]}
        yield from sorted(keys, key=str.encode)

    def delete(self, key: str) -> None:
        """Remove an object."""
        self._call("delete_object", Bucket=self._bucket, Key=self._full(key))

    def _full(self, key: str) -> str:
        check_key(key)
        return f"{self._prefix}/{key}" if self._prefix else key

    def _call(self, operation: str, **arguments: Any) -> Any:
        """Make one S3 call with retries; raises autosel errors, and _LostError for a condition that failed."""
        action = f"{operation.replace('_', ' ')} {arguments.get('Key', arguments.get('Prefix', ''))}".strip()

        def once() -> Any:
            try:
                return getattr(self._client, operation)(**arguments)
            except (BotoCoreError, ClientError) as error:
                if status_of(error) == 412 or code_of(error) in _LOST:
                    raise _LostError(str(error)) from error
                raise classify(error, place=self._place, action=action) from error

        return self._retry.call(once)

    def _writer_of(self, key: str) -> str | None:
        try:
            answer = self._call("head_object", Bucket=self._bucket, Key=self._full(key))
        except NoInputError:
            return None
        return answer.get("Metadata", {}).get("writer")

    def _probe(self) -> None:
        """Refuse a bucket that does not exist and a server that ignores ``If-None-Match``."""
        with _probe_lock:
            if (self._place.endpoint, self._bucket) in _probed:
                return
            try:
                self._call("head_bucket", Bucket=self._bucket)
            except NoInputError:
                raise ConfigError(
                    f"bucket {self._bucket} does not exist at {self._place.endpoint}; create it"
                ) from None
            target = {"Bucket": self._bucket, "Key": self._full(f"probe/{uuid.uuid4().hex}")}
            try:
                self._call("put_object", **target, Body=b"", IfNoneMatch="*")
                self._call("put_object", **target, Body=b"", IfNoneMatch="*")
            except _LostError:
                _probed.add((self._place.endpoint, self._bucket))
            else:
                raise ConfigError(
                    f"the store {self._place} lacks conditional writes (it ignores If-None-Match), so two processes "
                    "could overwrite each other's results; use a server that has them, such as AWS S3, Ceph, MinIO "
                    "or SeaweedFS"
                )
            finally:
                self._call("delete_object", **target)


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError as error:
        raise NoInputError(f"cannot read {path}: {error.strerror}") from error
