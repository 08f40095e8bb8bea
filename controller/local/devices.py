"""Accelerators of this machine: each step that needs one gets the least used one, and only what was granted."""

import os
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field

ACCELERATED_STEPS = frozenset({"score", "train", "evaluate"})


@dataclass(kw_only=True)
class Devices:
    """The visible devices and which step uses which. Without devices nothing is assigned."""

    ids: tuple[str, ...]
    variable: str = "CUDA_VISIBLE_DEVICES"
    _used: dict[str, str] = field(default_factory=dict[str, str])

    def assign(self, name: str, step: str) -> dict[str, str]:
        """Return the environment that shows the step its device."""
        if not self.ids or step not in ACCELERATED_STEPS:
            return {self.variable: ""}
        loads = dict.fromkeys(self.ids, 0)
        for device in self._used.values():
            loads[device] += 1
        chosen = min(self.ids, key=lambda device: loads[device])
        self._used[name] = chosen
        return {self.variable: chosen}

    def take(self, name: str, variables: Mapping[str, str]) -> None:
        """Record what a step that runs already was given."""
        device = variables.get(self.variable, "")
        if device in self.ids:
            self._used[name] = device

    def release(self, name: str) -> None:
        """Give the step's device back."""
        self._used.pop(name, None)


def visible_devices() -> Devices:
    """Find the devices this process may use: the environment's list, else what the driver lists."""
    for variable in ("CUDA_VISIBLE_DEVICES", "ASCEND_RT_VISIBLE_DEVICES"):
        listed = os.environ.get(variable)
        if listed is not None:
            return Devices(
                ids=tuple(part.strip() for part in listed.split(",") if part.strip()), variable=variable
            )
    if shutil.which("nvidia-smi") is None:
        return Devices(ids=())
    answer = subprocess.run(
        ["nvidia-smi", "--query-gpu=index", "--format=csv,noheader"],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    lines = answer.stdout.split() if answer.returncode == 0 else []
    return Devices(ids=tuple(lines))
