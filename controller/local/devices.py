"""Accelerators of this machine: each step that needs some gets the least used ones, and only as many as it asks for."""

import os
import shutil
import subprocess
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from autosel_runtime.api.recipe_search import RecipeSearchSpec
from autosel_runtime.api.resources import Accelerator
from autosel_runtime.errors import ConfigError

ACCELERATED_STEPS = ("score", "train", "evaluate")


@dataclass(kw_only=True)
class Devices:
    """The visible devices and which step uses which. Without devices nothing is assigned."""

    ids: tuple[str, ...]
    variable: str = "CUDA_VISIBLE_DEVICES"
    _used: dict[str, tuple[str, ...]] = field(default_factory=dict[str, tuple[str, ...]])

    def assign(self, name: str, step: str, count: int) -> dict[str, str]:
        """Return the environment that shows the step its ``count`` devices."""
        if not self.ids or step not in ACCELERATED_STEPS:
            return {self.variable: ""}
        loads = Counter(device for used in self._used.values() for device in used)
        # The sort is stable: among equals the first ones, so that the sets of concurrent steps are apart.
        chosen = sorted(self.ids, key=lambda device: loads[device])[:count]
        self._used[name] = tuple(device for device in self.ids if device in chosen)
        return {self.variable: ",".join(self._used[name])}

    def take(self, name: str, variables: Mapping[str, str]) -> None:
        """Record what a step that runs already was given."""
        devices = tuple(
            device for device in variables.get(self.variable, "").split(",") if device in self.ids
        )
        if devices:
            self._used[name] = devices

    def release(self, name: str) -> None:
        """Give the step's devices back."""
        self._used.pop(name, None)


def asked_devices(accelerator: Accelerator) -> int:
    """Return how many devices a step gets: what it asks for, else one, if the machine has any."""
    return 1 if accelerator.kind == "none" else accelerator.count


def check_devices(spec: RecipeSearchSpec, devices: Devices) -> None:
    """Raise ConfigError when a step asks for more devices than this machine has."""
    for step in ACCELERATED_STEPS:
        accelerator: Accelerator = getattr(spec.steps, step).accelerator
        if accelerator.kind == "none" or accelerator.count <= len(devices.ids):
            continue
        found = f"{len(devices.ids)}: {', '.join(devices.ids)}" if devices.ids else "none"
        raise ConfigError(
            f"spec.steps.{step}.accelerator.count: the step asks for {accelerator.count} {accelerator.kind} devices "
            f"and this machine shows {found}; ask for fewer, or set kind: none to take what there is"
        )


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
