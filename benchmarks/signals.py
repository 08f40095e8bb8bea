"""Signals: MinHash signatures beside datasketch, and token statistics of a language model.

    python -m benchmarks.signals [--rows 90000] [--only minhash|model] [--batch-tokens 16384]

MinHash: synthetic texts of 225 words with a natural spread of word frequencies, 5-word shingles, 128 hash
functions. Times include splitting and shingling. datasketch runs on a part of the texts and its time is
extrapolated to all of them; its shingles are made as its users make them, by joining words.

Model: on a GPU a randomly initialised model of the shape of Qwen2.5-1.5B in bfloat16, on a CPU a tiny one in
float32 (its rate says nothing about real models; it is there to compare versions of this code on one machine).
Chats are token ids with log-normal lengths (median 230 words of 1.5 tokens, 40 % prompt). Both passes, the whole chat
and the answer alone, are timed; the rate counts the tokens of the whole chats only. Loading is left out.
"""

import argparse
import os
import time
from collections.abc import Sequence
from typing import Any

import numpy as np

from autosel_runtime.api.signals import LanguageModelSignals, LexicalSignals, MinHashSignals
from autosel_runtime.pool.sample import Message, Sample
from autosel_runtime.signals import text_pass
from autosel_runtime.signals.minhash import signatures
from autosel_runtime.signals.pairs import similar_pairs
from autosel_runtime.signals.text import hash_words, words_of
from benchmarks.hardware import hardware

WORDS = 225
NGRAM, PERMUTATIONS = 5, 128
DATASKETCH_ROWS = 2_000

QWEN = {
    "hidden_size": 1536,
    "intermediate_size": 8960,
    "num_hidden_layers": 28,
    "num_attention_heads": 12,
    "num_key_value_heads": 2,
    "vocab_size": 151_936,
    "tie_word_embeddings": True,
    "max_position_embeddings": 32_768,
}
TINY = QWEN | {
    "hidden_size": 128,
    "intermediate_size": 512,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "vocab_size": 32_000,
}


def make_texts(rows: int) -> list[str]:
    """Return random texts; each tenth is a copy of the one before with one word changed."""
    rng = np.random.default_rng(0)
    letters = np.array(list("abcdefghijklmnopqrstuvwxyz"))
    vocabulary = np.array(["".join(rng.choice(letters, rng.integers(2, 10))) for _ in range(50_000)])
    chances = 1.0 / np.arange(1, len(vocabulary) + 1)
    chosen = rng.choice(len(vocabulary), (rows, WORDS), p=chances / chances.sum())
    chosen[1::10] = chosen[0::10][: len(chosen[1::10])]
    chosen[1::10, WORDS // 2] = rng.integers(0, len(vocabulary), len(chosen[1::10]))
    return [" ".join(vocabulary[row]) + "." for row in chosen]


def as_samples(texts: Sequence[str]) -> list[Sample]:
    """Return two-turn chats of the texts, a third of each in the question."""
    samples: list[Sample] = []
    for row, text in enumerate(texts):
        cut = text.index(" ", len(text) // 3)
        turns = (Message(role="user", content=text[:cut]), Message(role="assistant", content=text[cut + 1 :]))
        samples.append(Sample(id=f"{row:024x}", source="s", messages=turns))
    return samples


def our_signatures(texts: Sequence[str]) -> np.ndarray:
    """Return signatures in this process."""
    parts = [
        signatures(hash_words(texts[start : start + 512]), ngram=NGRAM, permutations=PERMUTATIONS)
        for start in range(0, len(texts), 512)
    ]
    return np.concatenate(parts)


def datasketch_signatures(texts: Sequence[str]) -> None:
    """Make signatures the way datasketch is used."""
    from datasketch import MinHash

    for text in texts:
        words = words_of(text)
        sketch = MinHash(num_perm=PERMUTATIONS)
        sketch.update_batch([b" ".join(words[i : i + NGRAM]) for i in range(len(words) - NGRAM + 1)])


def run_minhash(rows: int) -> None:
    """Print the table of signatures."""
    texts = make_texts(rows)
    samples = as_samples(texts)
    print(f"\n{rows:,} texts of {WORDS} words, {NGRAM}-word shingles, {PERMUTATIONS} hash functions\n")
    print(f"{'':<60}{'wall s':>9}{'CPU s':>9}{'texts/s':>12}")
    our_signatures(texts[:600])

    start, cpu = time.perf_counter(), cpu_time()
    found = our_signatures(texts)
    _line("autosel signatures, one process", rows, start, cpu)

    plan = text_pass.TextPlan(
        lexical=LexicalSignals(),
        minhash=MinHashSignals(ngram=NGRAM, permutations=PERMUTATIONS),
        prototypes={"t": np.full(1 << 20, 2**-20, np.float32)},
    )
    start, cpu = time.perf_counter(), cpu_time()
    with text_pass.text_processes(plan, rows) as (executor, workers):
        text_pass.compute_text(samples, plan, executor, workers=workers)
    _line(f"autosel signatures and lexical signals, {workers} processes", rows, start, cpu)

    start, cpu = time.perf_counter(), cpu_time()
    search = similar_pairs(found, floor=0.5)
    _line(f"autosel {len(search.pairs.left):,} pairs of similarity 0.5 and more", rows, start, cpu)

    part = min(DATASKETCH_ROWS, rows)
    start, cpu = time.perf_counter(), cpu_time()
    datasketch_signatures(texts[:part])
    factor = rows / part
    wall, used = (time.perf_counter() - start) * factor, (cpu_time() - cpu) * factor
    print(
        f"{f'datasketch signatures, extrapolated from {part:,}':<60}{wall:>9.1f}{used:>9.1f}{rows / wall:>12,.0f}"
    )


def make_model(device: str, batch_tokens: int) -> Any:
    """Return a randomly initialised model, as ``language_model.load`` gives it."""
    import torch
    from transformers import Qwen2Config, Qwen2ForCausalLM

    from autosel_runtime.signals.language_model import LanguageModel, model_head

    torch.manual_seed(0)
    config = Qwen2Config(**(TINY if device == "cpu" else QWEN))
    dtype = torch.float32 if device == "cpu" else torch.bfloat16
    with torch.device(device):
        model = Qwen2ForCausalLM._from_config(config, dtype=dtype).eval().requires_grad_(False)
    return LanguageModel(
        body=model.base_model,
        head=model_head(model),
        tokenizer=None,
        device=torch.device(device),
        settings=LanguageModelSignals(batch_tokens=batch_tokens),
        template=None,
    )


def make_chats(count: int, vocabulary: int) -> list[Any]:
    """Return tokenised chats of log-normal length."""
    from autosel_runtime.signals.segments import make_chat

    rng = np.random.default_rng(0)
    chats: list[Any] = []
    for length in np.clip(rng.lognormal(np.log(230), 0.6, count), 20, 1500) * 1.5:
        ids = rng.integers(10, vocabulary, max(int(length), 4)).tolist()
        cut = int(0.4 * len(ids))
        chats.append(make_chat(ids[:cut], ids[cut:], prefix=[0], prefixed=False, bos=0, max_tokens=2048))
    return chats


def run_model(batch_tokens: int, count: int | None) -> None:
    """Print the table of token statistics."""
    import torch

    from autosel_runtime.signals.language_model import score_segments

    device = "cuda" if torch.cuda.is_available() else "cpu"
    model = make_model(device, batch_tokens)
    chats = make_chats(count or (800 if device == "cuda" else 24), len(model.head.weight))
    segments = [*(chat.full for chat in chats), *(chat.answer for chat in chats)]
    tokens = sum(len(chat.full.ids) for chat in chats)
    total = sum(len(segment.ids) for segment in segments)
    name = torch.cuda.get_device_name() if device == "cuda" else f"CPU, {torch.get_num_threads()} threads"
    shape = "Qwen2.5-1.5B shape, bfloat16" if device == "cuda" else "4 layers of width 128, float32"
    print(f"\n{name}; {shape}; {len(chats)} chats, {tokens:,} tokens, {total:,} with the answers alone\n")
    print(f"{'':<40}{'wall s':>9}{'CPU s':>9}{'tokens/s':>12}{'peak GB':>9}")
    score_segments(model, segments)
    for repetition in range(3):
        start, cpu = time.perf_counter(), cpu_time()
        score_segments(model, segments)
        seconds = time.perf_counter() - start
        peak = f"{torch.cuda.max_memory_allocated() / 1e9:.1f}" if device == "cuda" else "-"
        label = f"batches of {batch_tokens:,} tokens, run {repetition + 1}"
        print(f"{label:<40}{seconds:>9.2f}{cpu_time() - cpu:>9.2f}{tokens / seconds:>12,.0f}{peak:>9}")
    if device == "cuda":
        rate = matmul_rate()
        linear = (
            2.0 * sum(p.numel() for p in model.body.layers.parameters()) + 2.0 * model.head.weight.numel()
        )
        limit = total * linear / rate
        print(
            f"matrix products alone at the measured {rate / 1e12:,.0f} TFLOP/s: {limit:.2f} s, "
            f"{tokens / limit:,.0f} tokens/s; the last run reached {limit / seconds:.0%} of that"
        )


def matmul_rate() -> float:
    """Return the FLOP/s of an 8192^3 bfloat16 product on the GPU."""
    import torch

    a = torch.randn(8192, 8192, device="cuda", dtype=torch.bfloat16)
    for _ in range(5):
        a @ a
    torch.cuda.synchronize()
    start = time.perf_counter()
    for _ in range(30):
        a @ a
    torch.cuda.synchronize()
    return 30 * 2 * 8192**3 / (time.perf_counter() - start)


def cpu_time() -> float:
    """Return the CPU seconds of this process and of those it started that have ended."""
    used = os.times()
    return used.user + used.system + used.children_user + used.children_system


def _line(name: str, rows: int, start: float, cpu: float) -> None:
    wall = time.perf_counter() - start
    print(f"{name:<60}{wall:>9.1f}{cpu_time() - cpu:>9.1f}{rows / wall:>12,.0f}")


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--rows", type=int, default=90_000)
    parser.add_argument("--only", choices=["minhash", "model"])
    parser.add_argument("--batch-tokens", type=int, default=16_384)
    parser.add_argument(
        "--chats", type=int, help="chats for the model; 800 on a GPU, 24 on a CPU when left out"
    )
    arguments = parser.parse_args()
    print("\n".join(hardware(["numpy", "rensa", "datasketch", "torch", "transformers"])))
    if arguments.only != "model":
        run_minhash(arguments.rows)
    if arguments.only != "minhash":
        run_model(arguments.batch_tokens, arguments.chats)


if __name__ == "__main__":
    main()
