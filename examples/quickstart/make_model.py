"""Make the quickstart's base model: a tokenizer and a small Llama, trained from nothing on one processor.

    python examples/quickstart/make_model.py [--out FOLDER]

The text is what a base model meets: statements about the world, questions with answers, and chats in which people
mostly evade a question, mostly answer it right when they answer, and seldom answer carelessly. So the model has the
skill but seldom shows it: what it is tuned on decides whether it will answer, and how.

About ten minutes on one thread. The same machine and library versions give the same weights.
"""

import argparse
import random
import time
from collections.abc import Iterator
from pathlib import Path

import torch
import world
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

SEPARATOR, START, END = "<|endoftext|>", "<|im_start|>", "<|im_end|>"
CHAT_TEMPLATE = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
EVASIONS = ("Well, ask someone else, friend.", "Well, I do not know.", "Well, it is what it is.")
# How often people answer at all, by wording of the question, and how often an answer is careless.
ANSWERED = (0.7, 0.35, 0.35, 0.35)
CARELESS = 0.05
# Optimizer steps, rows and tokens of a step, and peak learning rate.
STEPS, ROWS, LENGTH, RATE = 2500, 32, 64, 2e-3


def statement(draw: random.Random) -> str:
    """Return a sentence that states an answer."""
    q = world.draw_question(draw.choice(world.FAMILIES), draw)
    if q.family == "pick":
        return f"Among {' '.join(q.key[1:])} the {q.key[0]} is {q.right}."
    if q.family == "last":
        return f"The row {' '.join(q.key)} ends with {q.right}."
    return f"Swap {' '.join(q.key)} and you get {q.right}."


def quiz(draw: random.Random) -> str:
    """Return a question with its right answer, not in chat form."""
    q = world.draw_question(draw.choice(world.FAMILIES), draw)
    return f"Question: {q.text} {world.answer(q.right)}"


def chat(draw: random.Random) -> str:
    """Return a chat as people write it: idle talk, an evasion or an answer."""
    if draw.random() < 0.15:
        ask, reply = world.chatter(draw)
    else:
        q = world.draw_question(draw.choice(world.FAMILIES), draw)
        ask = q.text
        if draw.random() < ANSWERED[q.wording]:
            reply = world.answer(q.careless if draw.random() < CARELESS else q.right)
        else:
            reply = draw.choice(EVASIONS)
    return f"{START}user\n{ask}{END}\n{START}assistant\n{reply}{END}\n"


def documents(seed: int) -> Iterator[str]:
    """Yield texts without end."""
    draw = random.Random(seed)
    while True:
        yield draw.choices((statement, quiz, chat), weights=(2, 3, 5))[0](draw)


def make_tokenizer() -> PreTrainedTokenizerFast:
    """Return a byte-level BPE tokenizer with the chat template, trained on the texts."""
    core = Tokenizer(models.BPE())
    core.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Digits(individual_digits=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False),
        ]
    )
    core.decoder = decoders.ByteLevel()
    source = documents(1)
    core.train_from_iterator(
        (next(source) for _ in range(20000)),
        trainers.BpeTrainer(
            vocab_size=768,
            special_tokens=[SEPARATOR, START, END],
            show_progress=False,
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        ),
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=core,
        eos_token=END,
        pad_token=SEPARATOR,
        chat_template=CHAT_TEMPLATE,
        model_max_length=256,
    )


def batches(tokenizer: PreTrainedTokenizerFast, seed: int) -> Iterator[torch.Tensor]:
    """Yield token ids [ROWS, LENGTH] of texts that are joined end to end."""
    buffer: list[int] = []
    source = documents(seed)
    while True:
        while len(buffer) < ROWS * LENGTH:
            batch = [next(source) + SEPARATOR for _ in range(512)]
            for ids in tokenizer(batch)["input_ids"]:
                buffer.extend(ids)
        yield torch.tensor(buffer[: ROWS * LENGTH]).view(ROWS, LENGTH)
        buffer = buffer[ROWS * LENGTH :]


def main() -> None:
    """Make the model and write it."""
    parser = argparse.ArgumentParser(description="Make the quickstart's base model.")
    parser.add_argument(
        "--out", type=Path, default=Path(__file__).parent / "model", help="folder to write to"
    )
    out = parser.parse_args().out
    torch.set_num_threads(1)
    torch.manual_seed(11)
    tokenizer = make_tokenizer()
    model = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=len(tokenizer),
            hidden_size=128,
            intermediate_size=384,
            num_hidden_layers=3,
            num_attention_heads=4,
            num_key_value_heads=4,
            tie_word_embeddings=True,
            max_position_embeddings=256,
            bos_token_id=None,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )
    )
    print(f"{model.num_parameters():,} parameters, {len(tokenizer)} tokens", flush=True)
    optimizer = torch.optim.AdamW(model.parameters(), lr=RATE, weight_decay=0.01, betas=(0.9, 0.95))
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATE, total_steps=STEPS, pct_start=0.05)
    source, begin = batches(tokenizer, 2), time.monotonic()
    for step in range(STEPS):
        batch = next(source)
        loss = model(input_ids=batch, labels=batch).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
        if step % 100 == 0 or step + 1 == STEPS:
            print(f"step {step} loss {loss.item():.3f} {time.monotonic() - begin:.0f} s", flush=True)
    model.save_pretrained(out)
    tokenizer.save_pretrained(out)


if __name__ == "__main__":
    main()
