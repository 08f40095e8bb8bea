"""How a step reaches the store: secrets by reference, certificates from a ConfigMap or Secret, the folder otherwise."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from autosel_runtime.api.recipe_search import RecipeSearchSpec
from autosel_runtime.api.resources import StepName, StorageSpec
from autosel_runtime.api.search import SecretKeyRef
from autosel_runtime.errors import ConfigError

CA_FOLDER = "/etc/autosel/ca"
CA_VOLUME = "ca-bundle"
CA_SCHEMES = {"configmap": "configMap", "secret": "secret"}


@dataclass(frozen=True, kw_only=True)
class Certificates:
    """Certificates from an object of the search's namespace: the volume and the file's path in the pod."""

    volume: Mapping[str, Any]
    path: str


def store_of(spec: RecipeSearchSpec, default: StorageSpec | None) -> StorageSpec:
    """Return the store of a search in a cluster; ConfigError when neither it nor the operator names one."""
    if spec.storage.uri is not None:
        return spec.storage
    if default is None or default.uri is None:
        raise ConfigError(
            "spec.storage.uri: a search in a cluster needs a store that all pods reach: s3://bucket/prefix, or a "
            "folder on a volume that spec.steps.*.podTemplate mounts"
        )
    return default


def certificates(storage: StorageSpec) -> Certificates | None:
    """Return where ``configmap://NAME/KEY`` or ``secret://NAME/KEY`` is mounted; None for a plain path or nothing."""
    scheme, separator, rest = (storage.ca_bundle or "").partition("://")
    if not separator:
        return None
    name, _, key = rest.partition("/")
    if scheme not in CA_SCHEMES or not name or not key or "/" in key:
        raise ConfigError(
            f"spec.storage.caBundle: {storage.ca_bundle!r} is not understood; allowed are configmap://NAME/KEY, "
            "secret://NAME/KEY and the path of a file in the pod"
        )
    field = "name" if scheme == "configmap" else "secretName"
    source = {field: name, "items": [{"key": key, "path": "ca.crt"}]}
    return Certificates(
        volume={"name": CA_VOLUME, CA_SCHEMES[scheme]: source},
        path=f"{CA_FOLDER}/ca.crt",
    )


def secret_environment(spec: RecipeSearchSpec, storage: StorageSpec, step: StepName) -> list[dict[str, Any]]:
    """Return the secrets of a step as references: the store's keys, and the endpoint's key where proposals are made.

    The steps read each from the variable named like its key. ConfigError when two of them would share a variable.
    """
    wanted: list[SecretKeyRef | None] = [storage.access_key, storage.secret_key]
    if step == "suggest" and spec.search.proposer == "llm" and spec.search.llm is not None:
        wanted.append(spec.search.llm.api_key)
    chosen: dict[str, SecretKeyRef] = {}
    for reference in wanted:
        if reference is None:
            continue
        other = chosen.setdefault(reference.key, reference)
        if other.name != reference.name:
            raise ConfigError(
                f"the Secrets {other.name} and {reference.name} both give {reference.key}, which is the name of the "
                "variable that steps read; store one of them under another key"
            )
    return [
        {"name": key, "valueFrom": {"secretKeyRef": {"name": reference.name, "key": key}}}
        for key, reference in chosen.items()
    ]
