"""The boto3 client, with one set of time-outs and no retries of its own."""

from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError

from autosel_runtime.store.s3_errors import Place, classify


def s3_client(
    *,
    place: Place,
    endpoint: str | None,
    region: str | None,
    path_style: bool,
    ca_bundle: Path | None,
    access_key: str | None,
    secret_key: str | None,
    session_token: str | None = None,
    timeout: float = 60.0,
) -> Any:
    """Return a client; credentials come by value, or from the environment's usual chain.

    ConfigError for settings that no client can be made from.
    """
    config = Config(
        retries={"total_max_attempts": 1},  # Retry does it, for streams and conditional writes too
        connect_timeout=min(10.0, timeout),
        read_timeout=timeout,
        max_pool_connections=16,
        s3={"addressing_style": "path" if path_style else "auto"},
        # Other servers than AWS's often refuse the newer checksum headers; markers carry SHA-256 anyway.
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
    )
    try:
        return boto3.Session().client(
            "s3",
            endpoint_url=endpoint,
            region_name=region or ("us-east-1" if endpoint else None),
            verify=str(ca_bundle) if ca_bundle is not None else None,
            aws_access_key_id=access_key,
            aws_secret_access_key=secret_key,
            aws_session_token=session_token,
            config=config,
        )
    except (BotoCoreError, ValueError) as error:
        raise classify(error, place=place, action="open the store") from error
