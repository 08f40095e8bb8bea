"""The operator's configuration: flags, each with an environment variable of the same name."""

import argparse
import os
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from autosel_runtime.api.resources import StorageSpec
from autosel_runtime.api.uris import store_uri_problem
from autosel_runtime.errors import ConfigError
from controller.kube.settings import JobSettings

PREFIX = "AUTOSEL_"


@dataclass(frozen=True, kw_only=True)
class Config:
    """How the operator runs. ``namespaces`` is empty for the whole cluster."""

    jobs: JobSettings
    namespaces: tuple[str, ...]
    kubeconfig: str | None
    context: str | None
    lease_name: str
    lease_namespace: str | None
    identity: str
    workers: int
    resync_seconds: float
    job_ttl_seconds: int
    qps: float
    burst: int
    port: int
    log_level: str


def read_config(arguments: Sequence[str], environ: Mapping[str, str] = os.environ) -> Config:
    """Return the configuration from flags, then the environment, then defaults. ConfigError says what is wrong."""
    parser = argparse.ArgumentParser(
        prog="python -m controller",
        description="The autosel operator: carries out RecipeSearch objects as Kubernetes Jobs.",
        epilog="Every flag has an environment variable: --job-ttl-seconds is AUTOSEL_JOB_TTL_SECONDS.",
    )

    def flag(name: str, default: str | None, text: str) -> None:
        variable = PREFIX + name.upper().replace("-", "_")
        parser.add_argument(
            f"--{name}", default=environ.get(variable) or default, help=f"{text} [{variable}]"
        )

    flag("namespaces", "", "namespaces to serve, separated by commas; all when left out")
    flag("image", None, "image of steps without accelerators; required")
    flag("accelerator-images", "", "images by accelerator: nvidia=IMAGE,ascend=IMAGE")
    flag("image-pull-policy", "IfNotPresent", "pull policy of step pods")
    flag("storage-uri", None, "store of searches that name none: s3://bucket/prefix")
    flag("storage-endpoint", None, "its S3 endpoint")
    flag("storage-region", None, "its region")
    flag("storage-path-style", "false", "true when the bucket is part of the path")
    flag("base", "/data", "folder in step pods that relative paths start at")
    flag("step-user", "65532", "numeric user and group of step pods")
    flag("job-ttl-seconds", "3600", "how long a finished Job stays after its outcome was recorded")
    flag("resync-seconds", "180", "how often every search is looked at though nothing happened, 60 to 300")
    flag("workers", "8", "searches handled at once")
    flag("qps", "20", "calls to the API server a second")
    flag("burst", "1000", "calls to the API server at once: a start looks at every search")
    flag("lease-name", "autosel-operator", "name of the leader election Lease")
    flag("lease-namespace", None, "its namespace; the operator's own when left out")
    flag("identity", f"{socket.gethostname()}-{os.getpid()}", "name of this candidate")
    flag("kubeconfig", None, "kubeconfig; the pod's service account when left out")
    flag("context", None, "context of the kubeconfig")
    flag("port", "8080", "port of /healthz, /readyz and /metrics")
    flag("log-level", "info", "debug, info, warning or error")
    given = parser.parse_args(list(arguments))
    if given.image is None:
        raise ConfigError("--image (AUTOSEL_IMAGE) is missing: the image that steps run in")
    resync = _number("resync-seconds", given.resync_seconds, 1, 3600)
    return Config(
        jobs=JobSettings(
            image=given.image,
            accelerator_images=_pairs("accelerator-images", given.accelerator_images),
            image_pull_policy=given.image_pull_policy,
            storage=_storage(given),
            base=given.base,
            user=int(_number("step-user", given.step_user, 1, 2**31 - 1)),
        ),
        namespaces=tuple(part.strip() for part in given.namespaces.split(",") if part.strip()),
        kubeconfig=given.kubeconfig,
        context=given.context,
        lease_name=given.lease_name,
        lease_namespace=given.lease_namespace,
        identity=given.identity,
        workers=int(_number("workers", given.workers, 1, 256)),
        resync_seconds=resync,
        job_ttl_seconds=int(_number("job-ttl-seconds", given.job_ttl_seconds, 0, 30 * 86_400)),
        qps=_number("qps", given.qps, 0.1, 10_000),
        burst=int(_number("burst", given.burst, 1, 10_000)),
        port=int(_number("port", given.port, 0, 65_535)),
        log_level=_choice("log-level", given.log_level.lower(), ("debug", "info", "warning", "error")),
    )


def _storage(given: argparse.Namespace) -> StorageSpec | None:
    if given.storage_uri is None:
        return None
    problem = store_uri_problem(given.storage_uri)
    if problem is not None:
        raise ConfigError(f"--storage-uri: {problem}")
    return StorageSpec(
        uri=given.storage_uri,
        endpoint=given.storage_endpoint,
        region=given.storage_region,
        path_style=_choice("storage-path-style", given.storage_path_style.lower(), ("true", "false"))
        == "true",
    )


def _number(name: str, text: str, low: float, high: float) -> float:
    try:
        value = float(text)
    except ValueError:
        raise ConfigError(f"--{name}: {text!r} is no number") from None
    if not low <= value <= high:
        raise ConfigError(f"--{name}: {text} is not between {low:g} and {high:g}")
    return value


def _choice(name: str, text: str, allowed: Sequence[str]) -> str:
    if text not in allowed:
        raise ConfigError(f"--{name}: {text!r} is not one of {', '.join(allowed)}")
    return text


def _pairs(name: str, text: str) -> dict[str, str]:
    pairs = [part.partition("=") for part in text.split(",") if part.strip()]
    bad = next((key for key, equals, value in pairs if not (equals and key.strip() and value.strip())), None)
    if bad is not None:
        raise ConfigError(f"--{name}: {bad!r} is not KIND=IMAGE")
    return {key.strip(): value.strip() for key, _, value in pairs}
