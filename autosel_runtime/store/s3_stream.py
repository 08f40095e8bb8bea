"""Reading an object as a seekable file that outlives dropped connections."""

import io
from typing import Any

from autosel_runtime.errors import ReplacedError, TransientError
from autosel_runtime.store.retry import Retry
from autosel_runtime.store.s3_errors import Place, classify, status_of


class ObjectReader(io.RawIOBase):
    """One object, read by range requests.

    A connection that breaks is opened again at the position reached; ``IfMatch`` holds all ranges to one version.
    Wrap it in ``io.BufferedReader``.
    """

    def __init__(self, client: Any, *, bucket: str, key: str, name: str, place: Place, retry: Retry) -> None:
        super().__init__()
        self._client, self._bucket, self._key = client, bucket, key
        self._name, self._place, self._retry = name, place, retry
        self._position = 0
        self._body: Any = None
        answer = retry.call(lambda: self._get())
        self._etag: str = answer["ETag"]
        self._size = int(answer["ContentLength"])
        self._body = answer["Body"]

    @property
    def etag(self) -> str:
        """The version that is read."""
        return self._etag

    @property
    def size(self) -> int:
        """Length of the object in bytes."""
        return self._size

    def readable(self) -> bool:
        """Say that it can be read."""
        return True

    def seekable(self) -> bool:
        """Say that any place of it can be read next."""
        return True

    def tell(self) -> int:
        """Return the position of the next byte."""
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Go to a position, which costs a request at the next read, and return it."""
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._size}[whence]
        position = start + offset
        if position < 0:
            raise ValueError(f"negative position {position}")
        if position != self._position:
            self._drop()
            self._position = position
        return position

    def readinto(self, buffer: Any) -> int:
        """Fill ``buffer`` from here on; return how many bytes came, 0 at the end."""
        wanted = min(len(buffer), self._size - self._position)
        if wanted <= 0:
            return 0
        data = self._retry.call(lambda: self._read(wanted))
        buffer[: len(data)] = data
        self._position += len(data)
        return len(data)

    def close(self) -> None:
        """Leave the connection."""
        self._drop()
        super().close()

    def _read(self, wanted: int) -> bytes:
        if self._body is None:
            range_ = f"bytes={self._position}-"
            self._body = self._get(Range=range_, IfMatch=self._etag)["Body"]
        try:
            data: bytes = self._body.read(wanted)
        except Exception as error:
            self._drop()
            # urllib3's and socket errors pass through botocore's stream as they are.
            known = classify(error, place=self._place, action=f"read {self._name}")
            raise TransientError(str(known)) from error
        if not data:
            self._drop()
            raise TransientError(
                f"cannot read {self._name} in {self._place}: it ended after {self._position:,} of {self._size:,} bytes"
            )
        return data

    def _get(self, **conditions: str) -> Any:
        try:
            return self._client.get_object(Bucket=self._bucket, Key=self._key, **conditions)
        except Exception as error:
            if status_of(error) == 412:
                raise ReplacedError(
                    f"{self._name} in {self._place} was replaced while it was read"
                ) from error
            raise classify(error, place=self._place, action=f"read {self._name}") from error

    def _drop(self) -> None:
        if self._body is not None:
            self._body.close()
            self._body = None
