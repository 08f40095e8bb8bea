"""The command line answers at once: what it imports for --help is little."""

import subprocess
import sys

import pytest

from tests.cli.calls import ROOT, environment

HEAVY = ("torch", "transformers", "sklearn", "pyarrow", "numpy", "boto3", "openai", "rich", "scipy")


@pytest.mark.parametrize(
    "code",
    [
        "import autosel_runtime.cli.main",
        "from autosel_runtime.cli.main import run; run(['--help'])",
        "from autosel_runtime.cli.main import run; run(['transfer', '--help'])",
        "from autosel_runtime.cli.main import run; run(['no-such-command'])",
    ],
)
def test_command_line_loads_nothing_heavy(code: str) -> None:
    assert _loaded(code) & set(HEAVY) == set()


def test_documents_are_checked_without_the_libraries_that_compute() -> None:
    code = f"from autosel_runtime.api.load import check_documents; check_documents(['{ROOT}/x'])"
    loaded = _loaded(code)
    assert "pydantic" in loaded
    assert loaded & {"torch", "transformers", "sklearn", "pyarrow", "numpy", "boto3", "openai"} == set()


def _loaded(code: str) -> set[str]:
    text = f"{code}\nimport sys; print('\\n' + ' '.join(name for name in sys.modules if '.' not in name))"
    done = subprocess.run(
        [sys.executable, "-c", text],
        env=environment(),
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    return set(done.stdout.splitlines()[-1].split())
