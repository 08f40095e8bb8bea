"""images/build.sh with a buildah that writes down what it is asked to do; `make e2e` builds the images themselves."""

import os
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
NAMES = ["controller", "runtime-cpu", "runtime-cuda", "runtime-npu"]
DOCKERFILE = (ROOT / "images" / "Dockerfile").read_text()


def build(folder: Path, *arguments: str, **environment: str) -> tuple[int, list[str], str]:
    """Run build.sh; return its exit code, the arguments of buildah and what it said on standard error."""
    tool, log = folder / "buildah", folder / "log"
    tool.write_text(f'#!/bin/sh\nprintf "%s\\n" "$@" > {log}\n')
    tool.chmod(0o755)
    done = subprocess.run(
        ["bash", str(ROOT / "images" / "build.sh"), *arguments],
        env={**os.environ, "PATH": f"{folder}:{os.environ['PATH']}", "BUILDAH_OPTIONS": "", **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, log.read_text().splitlines() if log.exists() else [], done.stderr


@pytest.mark.parametrize("name", NAMES)
def test_every_image_is_a_target_of_the_one_dockerfile(tmp_path: Path, name: str) -> None:
    code, asked, said = build(tmp_path, name, "--extras", "s3", "--", "--layers")
    assert code == 0, said
    assert asked[asked.index("--target") + 1] == name
    assert asked[asked.index("--file") + 1] == "images/Dockerfile"
    assert "EXTRAS=s3" in asked
    assert asked[-2:] == ["--layers", "."]
    assert f"AS {name}\n" in DOCKERFILE
    assert f"COPY --from={name}-dependencies /opt/autosel /opt/autosel\n" in DOCKERFILE


def test_only_the_npu_image_has_a_base_of_its_own_and_it_can_be_replaced(tmp_path: Path) -> None:
    bases = {}
    for name in NAMES:
        _, asked, _ = build(tmp_path, name, BASE_IMAGE="")
        bases[name] = [entry for entry in asked if entry.startswith("BASE_IMAGE=")]
    assert bases.pop("runtime-npu")[0].startswith("BASE_IMAGE=quay.io/ascend/cann:")
    assert set(map(tuple, bases.values())) == {()}
    _, asked, _ = build(tmp_path, "runtime-npu", "--base", "mine:1")
    assert "BASE_IMAGE=mine:1" in asked


def test_an_image_that_is_not_there_is_refused_with_those_that_are(tmp_path: Path) -> None:
    code, asked, said = build(tmp_path, "runtime-tpu")
    assert (code, asked) == (64, [])
    assert said.startswith("build.sh: there is no image runtime-tpu; there are: " + " ".join(NAMES))


def test_no_image_runs_as_root_and_the_context_has_what_is_copied() -> None:
    stages = re.split(r"^FROM ", DOCKERFILE, flags=re.MULTILINE)[1:]
    for stage in stages:
        users = re.findall(r"^USER (\S+)", stage, flags=re.MULTILINE)
        assert not users or users[-1] == "65532:65532"
    allowed = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    copied = re.findall(r"^COPY (?!--from)(.+) \S+$", DOCKERFILE, flags=re.MULTILINE)
    assert {name for line in copied for name in line.split()} == allowed
