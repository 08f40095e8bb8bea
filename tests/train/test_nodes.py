"""Training over several pods: the very command of their containers, over gloo, learns what one process learns."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from autosel_runtime.steps.sharing import INDEX_VARIABLE
from autosel_runtime.store.folder import FolderStore
from autosel_runtime.store.publish import fetch, find, publish
from controller.kube.jobs import render_step
from controller.reconcile import StepRequest
from tests.kube.samples import OWNER, SETTINGS, search
from tests.tiny_model import build_model
from tests.train.test_train import write

pytest.importorskip("torch")
pytest.importorskip("peft")

REPOSITORY = Path(__file__).parents[2]
TRAINING = {
    "method": "lora",
    "maxSteps": 3,
    "globalBatch": 6,
    "microBatch": 3,
    "learningRate": 1e-3,
    "maxTokens": 64,
}


class Pods:
    """The pods of a train step as processes; their scratch folders are their own, the store is one folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.store = FolderStore(folder / "store")
        files = {"train.jsonl": write(folder / "train.jsonl", 12)}
        publish(self.store, "subsets/x", files, step="materialize", summary={}, attempt="a")
        build_model(folder / "model")

    def run(self, nodes: int) -> tuple[list[int], list[dict[str, Any]]]:
        """Run a train step on ``nodes`` pods; return their exit codes and what each left as its result."""
        output = f"models/{nodes}"
        request = StepRequest(
            name="t00001.train",
            step="train",
            attempt=1,
            inputs={"subset": "subsets/x", "model": str(self.folder / "model")},
            output=output,
            trial="t00001",
        )
        document = search(
            training=TRAINING, steps={"train": {"nodes": nodes}}, storage={"uri": "s3://bucket/p"}
        )
        manifests = render_step(request, document, owner=OWNER, settings=SETTINGS)
        container = manifests.job["spec"]["template"]["spec"]["containers"][0]
        step = json.loads(manifests.config_map["data"]["step.json"])
        step["search"]["storage"] = {}
        step["defaultStore"] = str(self.folder / "store")
        # On one machine there is no Service: pods meet at a free port.
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            endpoint = f"127.0.0.1:{free.getsockname()[1]}"
        pods = [self._start(container, step, index, nodes, endpoint) for index in range(nodes)]
        codes = [pod.wait(timeout=300) for pod in pods]
        left = [self.folder / f"result-{nodes}-{index}.json" for index in range(nodes)]
        return codes, [json.loads(path.read_text()) for path in left if path.exists()]

    def _start(
        self, container: Any, step: dict[str, Any], index: int, nodes: int, endpoint: str
    ) -> "subprocess.Popen[bytes]":
        path = self.folder / f"step-{nodes}-{index}.json"
        path.write_text(json.dumps(step | {"work": str(self.folder / f"scratch-{nodes}-{index}")}))
        words = [word.replace(f"$({INDEX_VARIABLE})", str(index)) for word in container["command"]]
        words = [
            f"--rdzv-endpoint={endpoint}" if word.startswith("--rdzv-endpoint=") else word for word in words
        ]
        words[-1] = str(path)
        programs = {"torchrun": [sys.executable, "-m", "torch.distributed.run"], "python": [sys.executable]}
        environment = {entry["name"]: entry["value"] for entry in container["env"] if "value" in entry}
        kept = {name: os.environ[name] for name in ("PATH", "LD_LIBRARY_PATH") if name in os.environ}
        return subprocess.Popen(
            [*programs[words[0]], *words[1:]],
            cwd=self.folder,
            env={
                **kept,
                **environment,
                "HOME": str(self.folder),
                "XDG_CACHE_HOME": str(self.folder / "cache"),
                "HF_HOME": str(self.folder / "cache"),
                "HF_HUB_OFFLINE": "1",
                "PYTHONPATH": str(REPOSITORY),
                "AUTOSEL_RESULT_FILE": str(self.folder / f"result-{nodes}-{index}.json"),
                INDEX_VARIABLE: str(index),
            },
            stderr=(self.folder / f"log-{nodes}-{index}.txt").open("wb"),
        )

    def adapter(self, nodes: int) -> dict[str, np.ndarray]:
        """The adapter that a run has published."""
        from safetensors.numpy import load_file

        marker = find(self.store, f"models/{nodes}")
        assert marker is not None
        folder = fetch(self.store, marker, self.folder / f"fetched-{nodes}")
        assert json.loads((folder / "training.json").read_bytes())["result"]["devices"] == nodes
        return load_file(folder / "adapter_model.safetensors")


def test_two_pods_learn_what_one_learns_and_the_first_tells(tmp_path: Path) -> None:
    pods = Pods(tmp_path)
    for nodes in (1, 2):
        codes, results = pods.run(nodes)
        logs = "".join(path.read_text()[-2000:] for path in tmp_path.glob(f"log-{nodes}-*"))
        assert codes == [0] * nodes, logs
        [result] = results  # only rank 0 leaves one
        assert result["summary"]["steps"] == 3
    one, two = pods.adapter(1), pods.adapter(2)
    assert one.keys() == two.keys()
    for name, value in one.items():
        if "lora_B" in name:  # these start at zero, so their size is how far training moved them
            # AdamW divides by tiny second moments, so single weights may differ by parts of a step.
            moved = np.abs(value).mean()
            assert moved > 0
            assert np.abs(value - two[name]).mean() < 0.02 * moved, name
