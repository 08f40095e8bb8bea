"""Multipart upload: parts in parallel, each retried, nothing left behind on failure."""

import contextlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import Any

from autosel_runtime.errors import AutoselError, NoInputError
from autosel_runtime.progress import Progress

PART_BYTES = 16 << 20
_MAX_PARTS = 10_000
_THREADS = 4

Call = Callable[..., Any]


def upload_parts(
    call: Call, *, path: Path, target: dict[str, str], name: str, writer: str, if_absent: bool
) -> None:
    """Upload ``path`` to ``target`` (Bucket and Key) in parts.

    ``call(operation, **arguments)`` makes one retried S3 call and raises autosel errors. ``writer`` is stored as
    metadata. The object appears when all parts are there, or not at all.
    """
    size = path.stat().st_size
    part_bytes = max(PART_BYTES, -(-size // _MAX_PARTS))
    count = max(1, -(-size // part_bytes))
    upload = call("create_multipart_upload", **target, Metadata={"writer": writer})["UploadId"]

    def send(number: int) -> dict[str, Any]:
        with path.open("rb") as stream:
            stream.seek((number - 1) * part_bytes)
            data = stream.read(part_bytes)
        if len(data) != min(part_bytes, size - (number - 1) * part_bytes):
            raise NoInputError(f"{path} changed while it was uploaded")
        answer = call("upload_part", **target, UploadId=upload, PartNumber=number, Body=data)
        return {"ETag": answer["ETag"], "PartNumber": number}

    try:
        with (
            Progress(f"upload {name}", total=size, unit="bytes") as progress,
            ThreadPoolExecutor(max_workers=_THREADS) as pool,
        ):
            futures = [pool.submit(send, number) for number in range(1, count + 1)]
            try:
                for future in as_completed(futures):
                    future.result()
                    progress.advance(min(part_bytes, size - progress.done))
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                raise
        parts = [future.result() for future in futures]
        condition = {"IfNoneMatch": "*"} if if_absent else {}
        call(
            "complete_multipart_upload",
            **target,
            UploadId=upload,
            MultipartUpload={"Parts": parts},
            **condition,
        )
    except BaseException:
        # The first failure is the one to tell; stale parts are only paid storage, and buckets can expire them.
        with contextlib.suppress(AutoselError):
            call("abort_multipart_upload", **target, UploadId=upload)
        raise
