"""Fine-tuning and evaluation of a randomly initialised Llama: tokens a second, share of the measured matmul rate.

    python -m benchmarks.training --layers 30 --width 576 --heads 9 --kv-heads 3 --intermediate 1536 --method lora

Chats are synthetic: answer and prompt lengths log-normal (median 100 and 60 words). The weights are random, so
scores mean nothing; what is measured is the path from files to files.
"""

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import orjson

from autosel_runtime.api.evaluation import EvaluationSpec, Task
from autosel_runtime.api.training import TrainingSpec
from autosel_runtime.evaluate.evaluate import evaluate
from autosel_runtime.train.train import train

CHATML = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def main() -> None:
    """Train, evaluate, print one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__)
    for name, value in (
        ("layers", 30), ("width", 576), ("heads", 9), ("kv-heads", 3), ("intermediate", 1536), ("vocabulary", 49152),
        ("samples", 2048), ("steps", 40), ("global-batch", 64), ("micro-batch", 16), ("items", 512), ("batch", 256),
        ("new-tokens", 128),
    ):  # fmt: skip
        parser.add_argument(f"--{name}", type=int, default=value)
    parser.add_argument("--method", choices=["full", "lora"], default="lora")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        print(json.dumps(measure(options, Path(folder)), indent=2))


def measure(options: argparse.Namespace, folder: Path) -> dict[str, object]:
    """Return the figures of one run."""
    words = make_model(options, folder / "model")
    generator = np.random.default_rng(0)
    write_chats(folder / "train.jsonl", words, generator, options.samples)
    spec = TrainingSpec(
        method=options.method, max_steps=options.steps, global_batch=options.global_batch,
        micro_batch=options.micro_batch, learning_rate=1e-4,
    )  # fmt: skip
    began = time.monotonic()
    result = train(model=folder / "model", samples=folder / "train.jsonl", out=folder / "tuned", spec=spec)
    train_seconds = time.monotonic() - began
    layer = (
        2 * options.width**2 * (1 + options.kv_heads / options.heads)
        + 3 * options.width * options.intermediate
    )
    body, head = options.layers * layer, options.width * options.vocabulary
    passes = 6 if options.method == "full" else 4  # LoRA needs no gradient of the frozen weights
    flops = passes * body * result.tokens + 6 * head * result.answer_tokens
    figures: dict[str, object] = {
        "device": result.device,
        "method": options.method,
        "parameters": int(body + head),
        "train_seconds": round(train_seconds, 2),
        "loop_seconds": result.seconds,
        "tokens_per_second": result.tokens_per_second,
        "model_tflops": round(flops / result.seconds / 1e12, 1),
        "peak_memory_gb": round(result.peak_memory_bytes / 1e9, 2),
        "micro_batch": result.micro_batch,
        "versions": dict(result.versions),
    }
    questions = [
        {"question": " ".join(generator.choice(words, 60)), "answer": "#### 1"} for _ in range(options.items)
    ]
    (folder / "items.jsonl").write_bytes(b"".join(orjson.dumps(q) + b"\n" for q in questions))
    task = Task(name="gsm8k", uri="items.jsonl")
    tuned = {"adapter": folder / "tuned"} if options.method == "lora" else {}
    began = time.monotonic()
    evaluation = evaluate(
        model=folder / ("model" if options.method == "lora" else "tuned"), tasks=[task], half="all",
        spec=EvaluationSpec(tasks=[task], batch_size=options.batch, max_new_tokens=options.new_tokens),
        base=folder, out=folder / "scores", **tuned,
    )  # fmt: skip
    seconds = time.monotonic() - began
    return figures | {
        "evaluate_seconds": round(seconds, 2),
        "generated_tokens": evaluation.tokens,
        "generated_tokens_per_second": round(evaluation.tokens / seconds, 1),
    }


def make_model(options: argparse.Namespace, folder: Path) -> list[str]:
    """Write a random model with a word tokenizer; return its words."""
    import torch
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    special = ["<unk>", "<|im_start|>", "<|im_end|>"]
    words = [f"w{i}" for i in range(options.vocabulary - 500)]
    core = Tokenizer(models.WordLevel({w: i for i, w in enumerate([*special, *words])}, unk_token="<unk>"))
    core.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=core, eos_token="<|im_end|>", unk_token="<unk>")
    tokenizer.add_special_tokens({"additional_special_tokens": ["<|im_start|>"]})
    tokenizer.chat_template = CHATML
    tokenizer.save_pretrained(folder)
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=options.vocabulary, hidden_size=options.width, intermediate_size=options.intermediate,
        num_hidden_layers=options.layers, num_attention_heads=options.heads, num_key_value_heads=options.kv_heads,
        max_position_embeddings=4096, tie_word_embeddings=True, dtype="bfloat16", bos_token_id=None, eos_token_id=2,
    )  # fmt: skip
    LlamaForCausalLM(config).to(torch.bfloat16).save_pretrained(folder)
    return words


def write_chats(path: Path, words: list[str], generator: np.random.Generator, count: int) -> None:
    """Write ``count`` chats of random words."""
    with path.open("wb") as stream:
        for number in range(count):
            sizes = np.clip(generator.lognormal(np.log([60, 100]), 0.6), 5, 900).astype(int)
            texts = [" ".join(generator.choice(words, size)) for size in sizes]
            messages = [{"role": r, "content": t} for r, t in zip(("user", "assistant"), texts, strict=True)]
            stream.write(orjson.dumps({"id": str(number), "messages": messages}) + b"\n")


if __name__ == "__main__":
    sys.exit(main())
