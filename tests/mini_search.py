"""A whole search in miniature, laid out like examples/quickstart: made-up sums, a tiny random model, seconds to run."""

import json
import random
import shutil
from pathlib import Path

from tests.tiny_model import build_model

EXAMPLE = Path(__file__).parents[1] / "examples" / "quickstart"
WORDS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")

SEARCH = """\
apiVersion: autosel.dev/v1alpha1
kind: RecipeSearch
metadata: {name: mini}
spec:
  pool:
    sources:
      - {name: forum, uri: pool/forum.jsonl, format: openai}
      - {name: crowd, uri: pool/crowd.jsonl, format: sharegpt}
      - {name: expert, uri: pool/expert.jsonl, format: alpaca}
  model: {uri: model}
  targets:
    - {name: pick, uri: targets/pick.jsonl, format: question_answer}
  signals:
    minhash: {ngram: 3}
    languageModel: {enabled: false}
  search: {warmup: 1, candidates: 2, minSamples: 8}
  training: {method: full, maxSteps: 2, globalBatch: 4, microBatch: 4, maxTokens: 64}
  evaluation:
    tasks:
      - {name: pick, definition: tasks/short_answer.yaml, uri: eval/pick.jsonl}
    outOfDomain:
      - {name: sum, definition: tasks/short_answer.yaml, uri: eval/sum.jsonl}
    transferModels: [../smollm2/model]
    maxNewTokens: 2
  budget: {evaluations: 2}
  parallelism: 2
"""


def write_example(root: Path) -> Path:
    """Write ``root/examples/quickstart`` with its data, model and search, and return that folder."""
    folder = root / "examples" / "quickstart"
    for name in ("pool", "targets", "eval"):
        (folder / name).mkdir(parents=True)
    for name in ("recipe.yaml", "more_tasks.yaml", "tasks"):
        source = EXAMPLE / name
        (shutil.copytree if source.is_dir() else shutil.copy)(source, folder / name)
    draw = random.Random(0)
    pairs = [_pair(draw) for _ in range(60)]
    _write(folder / "pool" / "forum.jsonl", [_openai(*pair) for pair in pairs[:20]])
    _write(folder / "pool" / "crowd.jsonl", [_sharegpt(*pair) for pair in pairs[20:40]])
    _write(
        folder / "pool" / "expert.jsonl",
        [{"instruction": q, "input": "", "output": a} for q, a in pairs[40:]],
    )
    for name, count in (("targets/pick", 6), ("eval/pick", 12), ("eval/sum", 8)):
        _write(
            folder / f"{name}.jsonl",
            [dict(zip(("question", "answer"), _pair(draw), strict=True)) for _ in range(count)],
        )
    build_model(folder / "model")
    build_model(root / "examples" / "smollm2" / "model", seed=1)
    (folder / "search.yaml").write_text(SEARCH)
    return folder


def _pair(draw: random.Random) -> tuple[str, str]:
    a, b = draw.randint(0, 5), draw.randint(0, 5)
    return f"add {WORDS[a]} and {WORDS[b]} : {draw.randint(0, 9999)}", f"The answer is {WORDS[a + b]}."


def _openai(question: str, answer: str) -> dict[str, object]:
    return {"messages": [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]}


def _sharegpt(question: str, answer: str) -> dict[str, object]:
    return {"conversations": [{"from": "human", "value": question}, {"from": "gpt", "value": answer}]}


def _write(path: Path, rows: list[dict[str, object]]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
