"""A small search whose steps a test runs one by one, in this process, as a pod would."""

import json
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from autosel_runtime.steps.run import RESULT_FILE_VARIABLE, run_document
from autosel_runtime.store.folder import FolderStore
from autosel_runtime.store.publish import Marker, find

UID = "0123456789abcdef"


@dataclass(frozen=True, kw_only=True)
class Ran:
    """How a step ended: exit code, what it left in the result file, and its marker."""

    code: int
    result: dict[str, Any]
    marker: Marker | None

    @property
    def summary(self) -> dict[str, Any]:
        """The step's account; it must have ended well."""
        assert self.code == 0, self.result
        return self.result["summary"]

    @property
    def error(self) -> str:
        """The step's sentence; it must have failed."""
        assert self.code != 0
        return self.result["error"]


@dataclass(kw_only=True)
class Steps:
    """A folder with inputs and a store."""

    folder: Path
    spec: dict[str, Any]
    account: dict[str, Any] = field(default_factory=dict[str, Any])

    @property
    def store(self) -> FolderStore:
        """The store that the steps publish to."""
        return FolderStore(self.folder / "store")

    def run(self, step: str, output: str, *, name: str | None = None, attempt: int = 1, **inputs: Any) -> Ran:
        """Write the document of a step and run it."""
        document = self.folder / "document.json"
        document.write_text(json.dumps(self.document(step, output, name=name, attempt=attempt, **inputs)))
        return self.run_file(document, output)

    def run_file(self, document: Path, output: str = "none") -> Ran:
        """Run the step of a document, whatever the file holds."""
        result = self.folder / "result.json"
        result.unlink(missing_ok=True)
        before = os.environ.get(RESULT_FILE_VARIABLE)
        os.environ[RESULT_FILE_VARIABLE] = str(result)
        try:
            code = run_document(str(document))
        finally:
            os.environ.pop(RESULT_FILE_VARIABLE)
            if before is not None:
                os.environ[RESULT_FILE_VARIABLE] = before
        return Ran(code=code, result=json.loads(result.read_text()), marker=find(self.store, output))

    def document(
        self, step: str, output: str, *, name: str | None = None, attempt: int = 1, **inputs: Any
    ) -> dict[str, Any]:
        """Return a step's document."""
        return {
            "step": step,
            "name": name or f"t00001.{step}",
            "attempt": attempt,
            "uid": UID,
            "search": self.spec,
            "base": str(self.folder),
            "defaultStore": str(self.folder / "store"),
            "work": str(self.folder / "work"),
            "inputs": inputs,
            "output": output,
        }

    def prepare(self) -> "Steps":
        """Run prepare and score; the other steps stand on them."""
        self.account = self.run("prepare", "searches/x/prepare", name="setup.prepare").summary
        assert self.run("score", "signals/x", name="setup.score", pool=self.account["pool"]).code == 0
        return self

    def suggest(self, ordinal: int = 1, history: list[dict[str, Any]] | None = None, **more: Any) -> Ran:
        """Ask for a proposal."""
        inputs = {
            "pool": self.account["pool"],
            "signals": "signals/x",
            "history": history or [],
            "ordinal": ordinal,
        }
        return self.run(
            "suggest", f"suggestions/{ordinal}", name=f"suggest-{ordinal:05d}.suggest", **inputs | more
        )

    def materialize(
        self, recipe: dict[str, Any], output: str = "subsets/x", digest: str | None = None
    ) -> Ran:
        """Realise a recipe."""
        return self.run(
            "materialize",
            output,
            pool=self.account["pool"],
            signals="signals/x",
            unions={},
            recipe=recipe,
            subset_digest=digest,
        )


def history_row(proposal: dict[str, Any], score: float) -> dict[str, Any]:
    """Return the history's record of a proposal that was tried and got ``score``."""
    names = (
        "ordinal",
        "recipe",
        "recipe_digest",
        "subset_digest",
        "size",
        "state_vector",
        "origin",
        "phase",
        "parent",
    )
    kept = {name: proposal[name] for name in names}
    return {**kept, "state": "succeeded", "score": score, "stderr": 0.02, "subset": "subsets/x"}
