"""Accelerators by vendor: the resource that a pod asks for and the environment that its processes need.

A pod without accelerators is told so as well: on a node whose default runtime is the vendor's, an image that asks for
all devices would otherwise see every device of the node.
"""

from typing import Any

from autosel_runtime.api.resources import Accelerator

RESOURCES = {"nvidia": "nvidia.com/gpu", "amd": "amd.com/gpu", "ascend": "huawei.com/Ascend910"}


def resource_name(accelerator: Accelerator) -> str | None:
    """Return the extended resource of an accelerator, or None for none."""
    if accelerator.kind == "none":
        return None
    return accelerator.resource or RESOURCES[accelerator.kind]


def device_count(accelerator: Accelerator) -> int:
    """Return the devices of one pod; 0 without an accelerator."""
    return 0 if accelerator.kind == "none" else accelerator.count


def environment(accelerator: Accelerator, *, nodes: int) -> list[dict[str, Any]]:
    """Return the vendor's environment of a pod.

    The device plugin decides which devices a container gets; in it they are numbered from 0, which is what
    ASCEND_RT_VISIBLE_DEVICES counts. HCCL must be told which address the other nodes of a group can reach.
    """
    match accelerator.kind:
        case "nvidia":
            return [{"name": "NVIDIA_DRIVER_CAPABILITIES", "value": "compute,utility"}]
        case "amd":
            return _hidden("NVIDIA_VISIBLE_DEVICES", "ASCEND_VISIBLE_DEVICES")
        case "ascend":
            numbers = ",".join(str(number) for number in range(accelerator.count))
            entries: list[dict[str, Any]] = [
                *_hidden("NVIDIA_VISIBLE_DEVICES"),
                {"name": "ASCEND_RT_VISIBLE_DEVICES", "value": numbers},
            ]
            if nodes > 1:
                address = {"fieldRef": {"fieldPath": "status.podIP"}}
                entries.append({"name": "HCCL_IF_IP", "valueFrom": address})
            return entries
        case _:
            return _hidden("NVIDIA_VISIBLE_DEVICES", "ASCEND_VISIBLE_DEVICES")


def _hidden(*variables: str) -> list[dict[str, Any]]:
    return [{"name": variable, "value": "void"} for variable in variables]
