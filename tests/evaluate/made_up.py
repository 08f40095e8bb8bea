"""Made-up items in the format of every built-in task."""

from pathlib import Path
from typing import Any

import orjson

from autosel_runtime.api.evaluation import Task

COUNT = 9


def made_up_items(name: str, count: int = COUNT) -> list[dict[str, Any]]:
    kind = name.removesuffix("_choice")
    if kind == "gsm8k":
        answer = "{i} + 1 is\n#### {value:,}"
        return [
            {"question": f"What is {i} + 1?", "answer": answer.format(i=i, value=1000 * i + 1)}
            for i in range(count)
        ]
    if kind == "bbh":
        golds = ["(A)", "True", "no", "] )", "red pear", "7", "(C)", "valid", "> }"]
        return [
            {"input": f"Puzzle {i}?", "target": golds[i % 9], "task": "t", "split": "test"}
            for i in range(count)
        ]
    if kind == "mmlu":
        return [
            {"question": f"Which is {i}?", "subject": "counting", "choices": [f"no{i}", f"yes{i}", "or", "and"],
             "answer": float(i % 4), "split": "test", "train": None}
            for i in range(count)
        ]  # fmt: skip
    if kind == "gpqa":
        return [
            {"question": f"Which is right in case {i}?", "correct_answer": f"right {i}",
             "incorrect_answers": [f"wrong {i}", "odd", "even"], "explanation": "-"}
            for i in range(count)
        ]  # fmt: skip
    if kind == "graphwiz":
        kinds = ["cycle", "flow", "topology", "shortest"]
        golds = {"cycle": "There is one. ### Yes", "flow": "### 14",
                 "topology": "### 0,1,2", "shortest": "3"}  # fmt: skip
        return [
            {"input_prompt": f"Graph {i}", "answer": golds[kinds[i % 4]], "task": kinds[i % 4]}
            for i in range(count)
        ]
    kinds = ["connectivity", "flow", "cycle"]
    return [
        {"index": i, "question": f"Graph {i}", "answer": "Yes, it is." if i % 2 else "No, there is none.",
         "difficulty": "easy", "task": kinds[i % 3]}
        for i in range(count)
    ]  # fmt: skip


def write_items(folder: Path, name: str, count: int = COUNT) -> Task:
    path = folder / f"{name}.jsonl"
    path.write_bytes(b"".join(orjson.dumps(item) + b"\n" for item in made_up_items(name, count)))
    return Task(name=name, uri=path.name)
