"""How accelerators are found: variables, a program on the path, and what kernels show in folders."""

import os
from pathlib import Path

import pytest

from autosel_runtime.api.recipe_search import RecipeSearchSpec
from autosel_runtime.errors import ConfigError, UnavailableError
from controller.local.devices import check_devices
from controller.local.visible import Machine, visible_devices
from tests.kube.samples import search_manifest


def machine(root: Path, **environ: str) -> Machine:
    """A machine without any program but those in ``root/bin``."""
    return Machine(environ={"PATH": str(root / "bin"), **environ}, root=root, patience=20.0)


def program(root: Path, text: str) -> None:
    """Put an nvidia-smi on the path."""
    path = root / "bin" / "nvidia-smi"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)


def kfd_node(root: Path, number: int, *, simds: int, minor: int, device: bool = True) -> None:
    """Add a node to the kernel's list, as AMD's driver does for processors and accelerators alike."""
    node = root / "sys/class/kfd/kfd/topology/nodes" / str(number)
    node.mkdir(parents=True)
    (node / "properties").write_text(f"cpu_cores_count 0\nsimd_count {simds}\ndrm_render_minor {minor}\n")
    (root / "dev/dri").mkdir(parents=True, exist_ok=True)
    if device:
        (root / "dev/dri" / f"renderD{minor}").touch()


@pytest.mark.parametrize(
    ("variable", "kind"),
    [
        ("CUDA_VISIBLE_DEVICES", None),
        ("HIP_VISIBLE_DEVICES", "amd"),
        ("ROCR_VISIBLE_DEVICES", "amd"),
        ("ASCEND_RT_VISIBLE_DEVICES", "ascend"),
    ],
)
def test_a_variable_decides_and_is_the_one_that_steps_get(tmp_path: Path, variable: str, kind: str) -> None:
    program(tmp_path, "echo 7")
    found = visible_devices(machine(tmp_path, **{variable: "3, 1"}))
    assert (found.ids, found.kind) == (("3", "1"), kind)
    assert found.assign("a.train", "train", 1) == {variable: "3"}
    assert visible_devices(machine(tmp_path, **{variable: ""})).ids == ()
    assert visible_devices(machine(tmp_path, **{variable: "2,-1,4"})).ids == ("2",)


def test_of_two_amd_variables_the_inner_one_counts(tmp_path: Path) -> None:
    found = visible_devices(machine(tmp_path, ROCR_VISIBLE_DEVICES="6,7", HIP_VISIBLE_DEVICES="0"))
    assert (found.ids, found.variable) == (("0",), "HIP_VISIBLE_DEVICES")


def test_nvidia_devices_are_asked_for(tmp_path: Path) -> None:
    program(tmp_path, "echo 0; echo 1")
    found = visible_devices(machine(tmp_path))
    assert (found.ids, found.variable, found.kind) == (("0", "1"), "CUDA_VISIBLE_DEVICES", "nvidia")


@pytest.mark.parametrize("text", ["echo no driver; exit 9", None])
def test_a_program_that_fails_or_is_none_shows_no_device(tmp_path: Path, text: str | None) -> None:
    program(tmp_path, text or "")
    if text is None:
        (tmp_path / "bin" / "nvidia-smi").write_bytes(b"\x00no program")
    assert visible_devices(machine(tmp_path)).ids == ()


def test_a_program_that_hangs_is_a_sentence(tmp_path: Path) -> None:
    program(tmp_path, "exec /bin/sleep 600")
    hanging = Machine(environ={"PATH": str(tmp_path / "bin")}, root=tmp_path, patience=0.2)
    with pytest.raises(
        UnavailableError, match=r"nvidia-smi has not answered for 0\.2 s, .*CUDA_VISIBLE_DEVICES"
    ):
        visible_devices(hanging)


def test_amd_devices_are_nodes_that_compute_and_are_here(tmp_path: Path) -> None:
    kfd_node(tmp_path, 0, simds=0, minor=0)
    kfd_node(tmp_path, 1, simds=304, minor=128)
    kfd_node(tmp_path, 2, simds=304, minor=136, device=False)  # on the host, not in this container
    kfd_node(tmp_path, 3, simds=304, minor=144)
    found = visible_devices(machine(tmp_path))
    assert (found.ids, found.variable, found.kind) == (("0", "1"), "HIP_VISIBLE_DEVICES", "amd")


def test_ascend_devices_are_numbered_as_a_process_sees_them(tmp_path: Path) -> None:
    (tmp_path / "dev").mkdir()
    for name in ("davinci4", "davinci11", "davinci_manager"):
        (tmp_path / "dev" / name).touch()
    found = visible_devices(machine(tmp_path))
    assert (found.ids, found.variable, found.kind) == (("0", "1"), "ASCEND_RT_VISIBLE_DEVICES", "ascend")


def spec(kind: str, count: int) -> RecipeSearchSpec:
    train = {"accelerator": {"kind": kind, "count": count}}
    return RecipeSearchSpec.model_validate({**search_manifest()["spec"], "steps": {"train": train}})


def test_a_refusal_says_how_devices_were_looked_for(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        check_devices(spec("amd", 1), visible_devices(machine(tmp_path)))
    assert (
        "this machine shows none (looked at CUDA_VISIBLE_DEVICES, HIP_VISIBLE_DEVICES, ROCR_VISIBLE_DEVICES, "
        "ASCEND_RT_VISIBLE_DEVICES, nvidia-smi, /sys/class/kfd/kfd/topology/nodes, /dev/davinci*)"
    ) in str(caught.value)


def test_devices_of_another_vendor_are_none_of_those_asked_for(tmp_path: Path) -> None:
    kfd_node(tmp_path, 1, simds=304, minor=128)
    found = visible_devices(machine(tmp_path))
    check_devices(spec("amd", 1), found)
    told = r"1 nvidia devices and this machine shows 1 amd: 0 \(told by /sys/class/kfd/kfd/topology/nodes\)"
    with pytest.raises(ConfigError, match=told):
        check_devices(spec("nvidia", 1), found)


def test_this_machines_own_variables_are_not_needed(tmp_path: Path) -> None:
    assert visible_devices(Machine(environ={"PATH": os.devnull}, root=tmp_path)).ids == ()
