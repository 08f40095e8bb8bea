"""Which accelerators this machine shows: the environment's list, else what the drivers tell.

No vendor's library is loaded: it would take seconds, and the process that starts all steps must not hold a device.
"""

import os
import re
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path

from autosel_runtime.errors import UnavailableError
from controller.local.devices import Devices, Kind

# Whose devices a variable lists; AMD's runtime obeys CUDA's, too. HIP numbers those that ROCR leaves, so it goes first.
VARIABLES: Mapping[str, Kind | None] = {
    "CUDA_VISIBLE_DEVICES": None,
    "HIP_VISIBLE_DEVICES": "amd",
    "ROCR_VISIBLE_DEVICES": "amd",
    "ASCEND_RT_VISIBLE_DEVICES": "ascend",
}
NVIDIA_PROGRAM = "nvidia-smi"
KFD_NODES = "sys/class/kfd/kfd/topology/nodes"
ASCEND_DEVICE = re.compile(r"davinci[0-9]+")
PATIENCE_SECONDS = 30.0


@dataclass(frozen=True, kw_only=True)
class Machine:
    """Where to look: environment variables, the root of /sys and /dev, and how long a program may take."""

    environ: Mapping[str, str]
    root: Path = Path("/")
    patience: float = PATIENCE_SECONDS


def this_machine() -> Machine:
    """Return the machine that this process runs on."""
    return Machine(environ=os.environ)


def visible_devices(machine: Machine) -> Devices:
    """Find the devices that this process may use. UnavailableError when a driver does not answer."""
    for variable, kind in VARIABLES.items():
        listed = machine.environ.get(variable)
        if listed is not None:
            return Devices(ids=_listed(listed), variable=variable, kind=kind, looked=(variable,))
    nvidia = _nvidia(machine)
    if nvidia:
        return Devices(ids=nvidia, kind="nvidia", looked=(NVIDIA_PROGRAM,))
    amd = _numbers(_amd(machine))
    if amd:
        return Devices(ids=amd, variable="HIP_VISIBLE_DEVICES", kind="amd", looked=(f"/{KFD_NODES}",))
    ascend = _numbers(_ascend(machine))
    if ascend:
        return Devices(
            ids=ascend, variable="ASCEND_RT_VISIBLE_DEVICES", kind="ascend", looked=("/dev/davinci*",)
        )
    return Devices(ids=(), looked=(*VARIABLES, NVIDIA_PROGRAM, f"/{KFD_NODES}", "/dev/davinci*"))


def _listed(text: str) -> tuple[str, ...]:
    """Return the devices of a list; as for the drivers, what follows a negative number is hidden."""
    parts = [part.strip() for part in text.split(",") if part.strip()]
    return tuple(takewhile(lambda part: not part.startswith("-"), parts))


def _nvidia(machine: Machine) -> tuple[str, ...]:
    try:
        answer = subprocess.run(
            [NVIDIA_PROGRAM, "--query-gpu=index", "--format=csv,noheader"],
            env=dict(machine.environ),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=machine.patience,
            check=False,
        )
    except OSError:  # there is no such program, or it is none
        return ()
    except subprocess.TimeoutExpired:
        # On a driver that hangs, every step would hang as well, or be far slower than anybody expects.
        raise UnavailableError(
            f"{NVIDIA_PROGRAM} has not answered for {machine.patience:g} s, so the devices of this machine are not "
            "known; mend the driver, or list the devices in CUDA_VISIBLE_DEVICES (empty: use none)"
        ) from None
    return tuple(answer.stdout.split()) if answer.returncode == 0 else ()


def _amd(machine: Machine) -> int:
    """Count the nodes of the kernel's list that compute and whose device is here: a container may show some of them."""
    count = 0
    for properties in (machine.root / KFD_NODES).glob("*/properties"):
        try:
            values = dict(
                line.split(maxsplit=1) for line in properties.read_text().splitlines() if " " in line
            )
        except OSError:  # other users' nodes cannot be read
            continue
        minor = values.get("drm_render_minor", "").strip()
        if int(values.get("simd_count", "0")) and (machine.root / "dev/dri" / f"renderD{minor}").exists():
            count += 1
    return count


def _ascend(machine: Machine) -> int:
    return sum(
        ASCEND_DEVICE.fullmatch(path.name) is not None for path in (machine.root / "dev").glob("davinci*")
    )


def _numbers(count: int) -> tuple[str, ...]:
    """Return the numbers that a vendor's variable counts by: those that a process sees, from 0."""
    return tuple(str(number) for number in range(count))
