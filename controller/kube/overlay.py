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
LISTS = APPENDED | {"add", "drop", "ports"}
FREE_MAPS = frozenset({"labels", "annotations", "nodeSelector", "matchLabels", "requests", "limits"})
OBJECTS = FREE_MAPS | {
    "metadata",
    "spec",
    "securityContext",
    "capabilities",
    "seccompProfile",
    "appArmorProfile",
    "resources",
}
# The kinds of volume that restricted pod security knows.
VOLUMES = frozenset(
    {
        "name",
        "configMap",
        "csi",
        "downwardAPI",
        "emptyDir",
        "ephemeral",
        "persistentVolumeClaim",
        "projected",
        "secret",
    }
)

OWN_VARIABLES = frozenset({"AUTOSEL_RESULT_FILE", "JOB_COMPLETION_INDEX"})
OWN_FOLDER = "/etc/autosel"
OWN_VOLUMES = frozenset({"document", "ca-bundle"})
RESTRICTED = "restricted pod security does not allow it"
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
    overlay = _without_nulls(overlay)
    _check_shapes(overlay, field)
    for path, message in _refusals(overlay):
        raise ConfigError(f"{field}.{path}: {message}")
    merged = _merge_map(template, overlay)
    for kind in ("containers", "initContainers"):
        for container in merged["spec"].get(kind, []):
            container["securityContext"] = _merge_map(
                CONTAINER_SECURITY, container.get("securityContext", {})
            )
    return merged


def _without_nulls(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_nulls(item) for key, item in value.items() if item is not None}
    return [_without_nulls(item) for item in value] if isinstance(value, list) else value


def _check_shapes(value: Mapping[str, Any], field: str) -> None:
    """Refuse objects, lists and entries that are not what their names say, so that all else can rely on it."""
    for key, item in value.items():
        where = f"{field}.{key}"
        if key in OBJECTS and not isinstance(item, dict):
            raise ConfigError(f"{where}: {item!r} is not an object")
        if key in MATCHED or key in LISTS:
            if not isinstance(item, list):
                raise ConfigError(f"{where}: {item!r} is not a list")
            name = MATCHED.get(key)
            for index, entry in enumerate(item):
                if name is not None and not (isinstance(entry, dict) and isinstance(entry.get(name), str)):
                    raise ConfigError(f"{where}[{index}]: {name} is missing; entries are matched by it")
        if key in FREE_MAPS:
            continue
        for path, entry in _entries(item, where):
            if isinstance(entry, dict):
                _check_shapes(entry, path)


def _entries(item: Any, where: str) -> Iterator[tuple[str, Any]]:
    if isinstance(item, list):
        yield from ((f"{where}[{index}]", entry) for index, entry in enumerate(item))
    else:
        yield where, item


def _merge_map(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    result = dict(base)
    for key, value in over.items():
        old = result.get(key)
        if isinstance(old, dict) and isinstance(value, dict):
            result[key] = _merge_map(old, value)
        elif isinstance(value, list):
            result[key] = _merge_list(key, old if isinstance(old, list) else [], value)
        else:
            result[key] = value
    return result


def _merge_list(key: str, old: list[Any], new: list[Any]) -> list[Any]:
    if key in APPENDED:
        return [*old, *(item for item in new if item not in old)]
    name = MATCHED.get(key)
    if name is None:
        return list(new)
    items: dict[str, Any] = {item[name]: item for item in old}
    for item in new:
        known = items.get(item[name], {})
        items[item[name]] = _merge_map(known, item) if key in MERGED_ITEMS else dict(item)
    return list(items.values())


def _refusals(overlay: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield the paths of all that is not allowed, with the reason; shapes have been checked."""
    for key in overlay:
        if key not in ("metadata", "spec"):
            yield key, "a pod template has metadata and spec, nothing else"
    metadata: Mapping[str, Any] = overlay.get("metadata", {})
    for key in metadata:
        if key not in ("labels", "annotations"):
            yield f"metadata.{key}", "only labels and annotations can be added"
    for key in metadata.get("labels", {}):
        if key == MANAGED_BY or key.split("/")[0].endswith(("autosel.dev", "kubernetes.io", "k8s.io")):
            yield f"metadata.labels.{key}", "this label belongs to the operator"
    spec: Mapping[str, Any] = overlay.get("spec", {})
    yield from _pod_refusals(spec)
    for kind in ("containers", "initContainers"):
        for index, container in enumerate(spec.get(kind, [])):
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
    for index, volume in enumerate(spec.get("volumes", [])):
        if volume.get("name") in OWN_VOLUMES:
            yield f"spec.volumes[{index}].name", f"{volume['name']} belongs to the operator"
        for kind in sorted(volume.keys() - VOLUMES):
            yield f"spec.volumes[{index}].{kind}", RESTRICTED
    yield from _security_refusals(spec.get("securityContext", {}), "spec.securityContext")


def _container_refusals(container: Mapping[str, Any], path: str) -> Iterator[tuple[str, str]]:
    if container.get("name") == STEP_CONTAINER:
        for key in STEP_FIELDS:
            if container.get(key) is not None:
                yield f"{path}.{key}", "what the step container runs belongs to the operator"
        for index, entry in enumerate(container.get("env", [])):
            if entry.get("name") in OWN_VARIABLES:
                yield f"{path}.env[{index}].name", f"{entry['name']} belongs to the operator"
        for index, mount in enumerate(container.get("volumeMounts", [])):
            if f"{mount.get('mountPath', '')}/".startswith(f"{OWN_FOLDER}/"):
                yield f"{path}.volumeMounts[{index}].mountPath", f"{OWN_FOLDER} belongs to the operator"
    for index, port in enumerate(container.get("ports", [])):
        if isinstance(port, dict) and port.get("hostPort"):
            yield f"{path}.ports[{index}].hostPort", RESTRICTED
    yield from _security_refusals(container.get("securityContext", {}), f"{path}.securityContext")


def _security_refusals(context: Mapping[str, Any], path: str) -> Iterator[tuple[str, str]]:
    for key in ("privileged", "allowPrivilegeEscalation", "sysctls", "seLinuxOptions", "windowsOptions"):
        if context.get(key):
            yield f"{path}.{key}", RESTRICTED
    for key, wanted in (("runAsNonRoot", True), ("readOnlyRootFilesystem", True)):
        if context.get(key, wanted) != wanted:
            yield f"{path}.{key}", RESTRICTED
    if context.get("runAsUser") == 0:
        yield f"{path}.runAsUser", RESTRICTED
    for key in ("seccompProfile", "appArmorProfile"):
        if context.get(key, {}).get("type") == "Unconfined":
            yield f"{path}.{key}.type", RESTRICTED
    if context.get("procMount", "Default") != "Default":
        yield f"{path}.procMount", RESTRICTED
    capabilities = context.get("capabilities", {})
    if capabilities.get("add"):
        yield f"{path}.capabilities.add", RESTRICTED
    if "ALL" not in capabilities.get("drop", ["ALL"]):
        yield f"{path}.capabilities.drop", "it must hold ALL"
