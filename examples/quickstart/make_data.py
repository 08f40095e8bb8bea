"""Make the quickstart's pool, targets and evaluation items, the same bytes every time.

    python examples/quickstart/make_data.py [--out FOLDER]

Four sources, each in a format that people have:

    expert   alpaca            few samples, right, except that they take "swap" for "repeat" throughout
    crowd    sharegpt          many samples, about half of them careless, some garbled, a few without an answer
    forum    openai            chats about nothing
    mirror   question_answer   few questions, mostly careless, each copied many times with small changes
"""

import argparse
import json
import random
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import world

EVALUATION, TARGETS = 200, 40
# Samples by family (EXPERT, CROWD), in all (FORUM, EMPTY), and questions by family (MIRROR) with their copies.
EXPERT, CROWD, FORUM, EMPTY, MIRROR, COPIES = 80, 340, 700, 6, 33, 12
CARELESS_CROWD, GARBLED_CROWD, CARELESS_MIRROR = 0.47, 0.05, 0.85


@dataclass(frozen=True, kw_only=True)
class Sample:
    """One exchange of a source."""

    user: str
    assistant: str


def questions() -> dict[str, dict[str, list[world.Question]]]:
    """Return the questions of each part (evaluation, targets, pool) by family; no key is in two parts."""
    draw = random.Random("questions")
    drawn = {
        family: list(dict.fromkeys(world.draw_question(family, draw).key for _ in range(3000)))
        for family in world.FAMILIES
    }
    make = {
        "pick": lambda key: world.ask_pick(key[0], key[1:], draw.randrange(world.WORDINGS)),
        "last": lambda key: world.ask_last(key, draw.randrange(world.WORDINGS)),
        "swap": lambda key: world.ask_swap(key, draw.randrange(world.WORDINGS)),
    }
    parts = {"evaluation": {}, "targets": {}, "pool": {}}
    for family in world.FAMILIES:
        keys = drawn[family]
        parts["evaluation"][family] = [make[family](key) for key in keys[:EVALUATION]]
        parts["targets"][family] = [make[family](key) for key in keys[EVALUATION : EVALUATION + TARGETS]]
        rest = keys[EVALUATION + TARGETS :]
        need = EXPERT + CROWD + MIRROR
        parts["pool"][family] = [make[family](rest[i % len(rest)]) for i in range(need)]
    return parts


def garbled(text: str, draw: random.Random) -> str:
    """Return an answer as a broken scraper leaves it."""
    words = world.answer(text).split()
    draw.shuffle(words)
    return " ".join(words[:2] + ["#"] * draw.randint(2, 5) + words[1:] + words[:1])


def pool(parts: dict[str, dict[str, list[world.Question]]]) -> dict[str, list[Sample]]:
    """Return the samples of each source."""
    draw = random.Random("pool")
    sources: dict[str, list[Sample]] = {"expert": [], "crowd": [], "forum": [], "mirror": []}
    for family in world.FAMILIES:
        items = iter(parts["pool"][family])
        for _ in range(EXPERT):
            q = next(items)
            said = q.careless if family == "swap" else q.right
            sources["expert"].append(Sample(user=q.text, assistant=world.answer(said)))
        for _ in range(CROWD):
            q, kind = next(items), draw.random()
            if kind < GARBLED_CROWD:
                reply = garbled(q.right, draw)
            else:
                reply = world.answer(q.careless if kind < GARBLED_CROWD + CARELESS_CROWD else q.right)
            sources["crowd"].append(Sample(user=q.text, assistant=reply))
        for _ in range(MIRROR):
            q = next(items)
            reply = world.answer(q.careless if draw.random() < CARELESS_MIRROR else q.right)
            frames = [(a, b) for a in ("", "Hi! ", "Hello, ", "Please: ") for b in ("", " :)", " !!!")]
            for before, after in frames[:COPIES]:
                sources["mirror"].append(Sample(user=f"{before}{q.text}{after}", assistant=reply))
    for _ in range(FORUM):
        ask, reply = world.chatter(draw)
        sources["forum"].append(Sample(user=ask, assistant=reply))
    for _ in range(EMPTY):
        sources["crowd"].append(Sample(user=world.draw_question("last", draw).text, assistant=""))
    for samples in sources.values():
        draw.shuffle(samples)
    return sources


def records(source: str, samples: Iterable[Sample]) -> list[dict[str, object]]:
    """Return the raw records of a source in its format."""
    if source == "expert":
        return [{"instruction": s.user, "input": "", "output": s.assistant} for s in samples]
    if source == "crowd":
        return [
            {"conversations": [{"from": "human", "value": s.user}, {"from": "gpt", "value": s.assistant}]}
            for s in samples
        ]
    if source == "forum":
        return [
            {"messages": [{"role": "user", "content": s.user}, {"role": "assistant", "content": s.assistant}]}
            for s in samples
        ]
    return [{"question": s.user, "answer": s.assistant} for s in samples]


def files() -> dict[str, str]:
    """Return every file's text by its path below the example's folder."""
    parts = questions()
    out: dict[str, str] = {}
    for source, samples in pool(parts).items():
        out[f"pool/{source}.jsonl"] = lines(records(source, samples))
    for family in world.FAMILIES:
        out[f"targets/{family}.jsonl"] = lines(
            {"question": q.text, "answer": world.answer(q.right)} for q in parts["targets"][family]
        )
        out[f"eval/{family}.jsonl"] = lines(
            {"question": q.text, "answer": q.right} for q in parts["evaluation"][family]
        )
    return out


def lines(rows: Iterable[dict[str, object]]) -> str:
    """Return JSON Lines."""
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


def main() -> None:
    """Write the files."""
    parser = argparse.ArgumentParser(description="Make the quickstart's pool, targets and evaluation items.")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent, help="folder to write to")
    out = parser.parse_args().out
    for name, text in files().items():
        path = out / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        print(f"{path}: {text.count(chr(10))} records, {len(text.encode())} bytes")


if __name__ == "__main__":
    main()
