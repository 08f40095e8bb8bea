"""A cluster that is there: tests get a namespace of their own in it, and nothing of theirs stays."""

import json
import secrets
import subprocess
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import pytest

DEFINITIONS = ("recipesearches.autosel.dev", "recipetrials.autosel.dev")


@contextmanager
def existing_cluster(folder: Path, kubectl: str, *, context: str, kubeconfig: str) -> Generator[Path]:
    """Give a kubeconfig of the cluster, in a new namespace, while the block runs.

    Tests may install autosel's definitions: they are deleted at the end, unless somebody uses them meanwhile. Where the
    cluster has definitions already the tests are skipped, since they would replace them under a running controller.
    """

    def run(*arguments: str) -> str:
        done = subprocess.run([kubectl, *arguments], capture_output=True, text=True, timeout=180)
        assert done.returncode == 0, f"context {context}: {' '.join(arguments[-3:])}: {done.stderr.strip()}"
        return done.stdout

    original = (f"--kubeconfig={kubeconfig}", f"--context={context}")
    if run(*original, "get", "crd", *DEFINITIONS, "--ignore-not-found", "-o", "name"):
        pytest.skip(f"no API server for these tests: context {context} has autosel's definitions already")
    namespace = f"autosel-test-{secrets.token_hex(4)}"
    config = json.loads(run(*original, "config", "view", "--minify", "--flatten", "--raw", "-o", "json"))
    config["contexts"][0]["context"]["namespace"] = namespace
    own = folder / "kubeconfig"
    own.touch(mode=0o600)  # it may hold credentials
    own.write_text(json.dumps(config))
    run(*original, "create", "namespace", namespace)
    try:
        yield own
    finally:
        run(*original, "delete", "namespace", namespace, "--timeout=120s")
        if run(*original, "get", "crd", *DEFINITIONS, "--ignore-not-found", "-o", "name"):
            users = run(*original, "get", ",".join(DEFINITIONS), "-A", "-o", "name")
            assert not users, f"context {context}: the definitions stay, since somebody uses them: {users}"
            run(*original, "delete", "crd", *DEFINITIONS)
