"""A search's own pod template, merged over the operator's.

Maps are merged. Containers, environment variables, volumes, mounts and pull secrets are matched by name; of these a
container is merged and the others are replaced whole. Tolerations, spread constraints and envFrom are appended; every
other list is replaced. null changes nothing.

What the operator relies on always wins, and a template that asks for something else is refused with a sentence: who may
write a search must not gain more than restricted pod security allows.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from autosel_runtime.errors import ConfigError
from controller.kube.names import MANAGED_BY
from controller.kube.podstate import STEP_CONTAINER

MATCHED = {
    "containers": "name",
    "initContainers": "name",
    "env": "name",
    "volumes": "name",
    "volumeMounts": "mountPath",
    "imagePullSecrets": "name",
}
MERGED_ITEMS = frozenset({"containers", "initContainers"})
APPENDED = frozenset({"tolerations", "topologySpreadConstraints", "envFrom"})

OWN_VARIABLES = frozenset({"AUTOSEL_RESULT_FILE", "JOB_COMPLETION_INDEX"})
OWN_FOLDER = "/etc/autosel"
OWN_VOLUMES = frozenset({"document", "ca-bundle"})
STEP_FIELDS = ("command", "args", "terminationMessagePath", "terminationMessagePolicy")

CONTAINER_SECURITY: Mapping[str, Any] = {
    "allowPrivilegeEscalation": False,
    "readOnlyRootFilesystem": True,
    "capabilities": {"drop": ["ALL"]},
}


def merge_template(template: Mapping[str, Any], overlay: Mapping[str, Any], *, field: str) -> dict[str, Any]:
    """Return ``template`` with ``overlay`` merged over it; ``field`` names the overlay in messages.

    Raises ConfigError for an overlay that has another shape than a pod template or asks for what is not allowed.
    """
    merged = _merge_map(template, overlay, field)
    for path, message in _refusals(overlay):
        raise ConfigError(f"{field}.{path}: {message}")
    spec = merged["spec"]
    for kind in ("containers", "initContainers"):
        for container in spec.get(kind, []):
            security = {**CONTAINER_SECURITY, **container.get("securityContext", {})}
            container["securityContext"] = security
    return merged


def _merge_map(base: Mapping[str, Any], over: Mapping[str, Any], field: str) -> dict[str, Any]:
    result = dict(base)
    for key, value in over.items():
        where = f"{field}.{key}"
        if value is None:
            continue
        old = result.get(key)
        if old is None and key not in MATCHED:
            result[key] = value
        elif isinstance(old, dict) and isinstance(value, dict):
            result[key] = _merge_map(old, value, where)
        elif isinstance(value, list) and isinstance(old, list | None):
            result[key] = _merge_list(key, old or [], value, where)
        elif isinstance(old, dict | list) or key in MATCHED:
            wanted = "an object" if isinstance(old, dict) else "a list"
            raise ConfigError(f"{where}: {value!r} is not {wanted}")
        else:
            result[key] = value
    return result


def _merge_list(key: str, old: list[Any], new: list[Any], field: str) -> list[Any]:
    if key in APPENDED:
        return [*old, *(item for item in new if item not in old)]
    name = MATCHED.get(key)
    if name is None:
        return list(new)
    items: dict[Any, Any] = {item[name]: item for item in old}
    for index, item in enumerate(new):
        if not isinstance(item, dict) or not isinstance(item.get(name), str):
            raise ConfigError(f"{field}[{index}]: {name} is missing; entries are matched by it")
        known = items.get(item[name], {})
        items[item[name]] = (
            _merge_map(known, item, f"{field}[{index}]") if key in MERGED_ITEMS else dict(item)
        )
    return list(items.values())


def _refusals(overlay: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield the paths of all that is not allowed, with the reason. Shapes were checked by the merge."""
    for key in overlay:
        if key not in ("metadata", "spec"):
            yield key, "a pod template has metadata and spec, nothing else"
    metadata: Mapping[str, Any] = overlay.get("metadata") or {}
    for key in metadata:
        if key not in ("labels", "annotations"):
            yield f"metadata.{key}", "only labels and annotations can be added"
    for key in metadata.get("labels") or {}:
        if key == MANAGED_BY or key.split("/")[0].endswith(("autosel.dev", "kubernetes.io", "k8s.io")):
            yield f"metadata.labels.{key}", "this label belongs to the operator"
    spec: Mapping[str, Any] = overlay.get("spec") or {}
    yield from _pod_refusals(spec)
    for kind in ("containers", "initContainers"):
        for index, container in enumerate(spec.get(kind) or []):
            yield from _container_refusals(container, f"spec.{kind}[{index}]")


def _pod_refusals(spec: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    if spec.get("restartPolicy", "Never") != "Never":
        yield "spec.restartPolicy", "attempts are the operator's; it must be Never"
    for key in ("hostNetwork", "hostPID", "hostIPC", "automountServiceAccountToken"):
        if spec.get(key):
            yield f"spec.{key}", "it is not allowed in step pods"
    for key in ("serviceAccountName", "serviceAccount"):
        if spec.get(key):
            yield f"spec.{key}", "name it in spec.scheduling.serviceAccountName"
    for key in ("activeDeadlineSeconds", "subdomain", "hostname", "ephemeralContainers"):
        if spec.get(key) is not None:
            yield f"spec.{key}", "it belongs to the operator"
    for index, volume in enumerate(spec.get("volumes") or []):
        if volume.get("name") in OWN_VOLUMES:
            yield f"spec.volumes[{index}].name", f"{volume['name']} belongs to the operator"
        if "hostPath" in volume:
            yield f"spec.volumes[{index}].hostPath", "folders of the node are not allowed in step pods"
    yield from _security_refusals(spec.get("securityContext") or {}, "spec.securityContext")


def _container_refusals(container: Mapping[str, Any], path: str) -> Iterator[tuple[str, str]]:
    if container.get("name") == STEP_CONTAINER:
        for key in STEP_FIELDS:
            if container.get(key) is not None:
                yield f"{path}.{key}", "what the step container runs belongs to the operator"
        for index, entry in enumerate(container.get("env") or []):
            if entry.get("name") in OWN_VARIABLES:
                yield f"{path}.env[{index}].name", f"{entry['name']} belongs to the operator"
        for index, mount in enumerate(container.get("volumeMounts") or []):
            if f"{mount.get('mountPath', '')}/".startswith(f"{OWN_FOLDER}/"):
                yield f"{path}.volumeMounts[{index}].mountPath", f"{OWN_FOLDER} belongs to the operator"
    yield from _security_refusals(container.get("securityContext") or {}, f"{path}.securityContext")


def _security_refusals(context: Mapping[str, Any], path: str) -> Iterator[tuple[str, str]]:
    restricted = "restricted pod security does not allow it"
    for key in ("privileged", "allowPrivilegeEscalation"):
        if context.get(key):
            yield f"{path}.{key}", restricted
    for key, wanted in (("runAsNonRoot", True), ("readOnlyRootFilesystem", True)):
        if context.get(key, wanted) != wanted:
            yield f"{path}.{key}", restricted
    if context.get("runAsUser") == 0:
        yield f"{path}.runAsUser", restricted
    if (context.get("seccompProfile") or {}).get("type") == "Unconfined":
        yield f"{path}.seccompProfile.type", restricted
    if context.get("procMount", "Default") != "Default":
        yield f"{path}.procMount", restricted
    capabilities = context.get("capabilities") or {}
    if capabilities.get("add"):
        yield f"{path}.capabilities.add", restricted
    if "ALL" not in capabilities.get("drop", ["ALL"]):
        yield f"{path}.capabilities.drop", "it must hold ALL"
