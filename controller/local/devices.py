"""Accelerators of this machine: each step that needs some gets the least used ones, and only as many as it asks for."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from autosel_runtime.api.recipe_search import RecipeSearchSpec
from autosel_runtime.api.resources import Accelerator
from autosel_runtime.errors import ConfigError

ACCELERATED_STEPS = ("score", "train", "evaluate")
Kind = Literal["nvidia", "amd", "ascend"]


@dataclass(kw_only=True)
class Devices:
    """The visible devices and which step uses which. Without devices nothing is assigned.

    ``kind`` is the vendor, None where that is not known; ``looked`` names what told of the devices, or, without any,
    where they were looked for.
    """

    ids: tuple[str, ...]
    variable: str = "CUDA_VISIBLE_DEVICES"
    kind: Kind | None = None
    looked: tuple[str, ...] = ()
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
        if accelerator.kind == "none" or accelerator.count <= _of_kind(devices, accelerator.kind):
            continue
        raise ConfigError(
            f"spec.steps.{step}.accelerator.count: the step asks for {accelerator.count} {accelerator.kind} devices "
            f"and this machine shows {_shown(devices)}; ask for fewer, or set kind: none to take what there is"
        )


def _of_kind(devices: Devices, kind: str) -> int:
    return len(devices.ids) if devices.kind in (None, kind) else 0


def _shown(devices: Devices) -> str:
    if not devices.ids:
        return f"none (looked at {', '.join(devices.looked)})" if devices.looked else "none"
    kind = "" if devices.kind is None else f" {devices.kind}"
    told = f" (told by {', '.join(devices.looked)})" if devices.looked else ""
    return f"{len(devices.ids)}{kind}: {', '.join(devices.ids)}{told}"
