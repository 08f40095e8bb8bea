"""The made-up world that the quickstart's model, pool and tasks speak about.

Three families of questions, each with one right answer and one careless answer:

    pick   "Which is the drink: fox tea red"       right: tea        careless: the first word, fox
    last   "What comes last in fox tea red pie"    right: pie        careless: the first word, fox
    swap   "Swap these words: fox tea"             right: tea fox    careless: the words as they were, fox tea

What is asked in the pool is asked neither in the targets nor in the evaluation.
"""

import random
from dataclasses import dataclass
from typing import Literal

Family = Literal["pick", "last", "swap"]
FAMILIES: tuple[Family, ...] = ("pick", "last", "swap")

KINDS: dict[str, tuple[str, ...]] = {
    "pet": ("fox", "owl", "cat", "dog", "hen", "bee", "pig", "goat", "frog", "crab"),
    "color": ("red", "blue", "green", "gray", "pink", "black", "white", "gold", "brown", "violet"),
    "food": ("rice", "soup", "bread", "corn", "cake", "nuts", "pie", "beans", "fish", "plums"),
    "drink": ("tea", "milk", "water", "juice", "cocoa", "cider", "beer", "coffee", "wine", "mead"),
    "town": ("Arlen", "Brook", "Corda", "Dunes", "Elmo", "Firth", "Glade", "Haven", "Ister", "Jolly"),
    "job": ("baker", "smith", "nurse", "pilot", "farmer", "clerk", "judge", "poet", "cook", "sailor"),
}
WORDS: tuple[str, ...] = tuple(word for words in KINDS.values() for word in words)
KIND_OF: dict[str, str] = {word: kind for kind, words in KINDS.items() for word in words}

ASK: dict[Family, tuple[str, ...]] = {
    "pick": (
        "Which is the {kind}: {words}",
        "Find the {kind} in {words}",
        "One {kind} is among {words}. Which?",
        "Name the {kind} of these: {words}",
    ),
    "last": (
        "What comes last in {words}",
        "Name the last word of {words}",
        "At the end of {words} is what?",
        "Here is a row: {words}. Which word ends it?",
    ),
    "swap": (
        "Swap these words: {words}",
        "Turn around {words}",
        "Say {words} the other way round.",
        "Exchange the words {words}",
    ),
}
WORDINGS = 4


@dataclass(frozen=True, kw_only=True)
class Question:
    """One question; ``key`` says what is asked, whatever the ``wording``."""

    family: Family
    key: tuple[str, ...]
    wording: int
    text: str
    right: str
    careless: str


def ask_pick(kind: str, words: tuple[str, str, str], wording: int) -> Question:
    """Ask for the word of a kind; the careless answer is the first word, so the right one must not be first."""
    return Question(
        family="pick",
        key=(kind, *words),
        wording=wording,
        text=ASK["pick"][wording].format(kind=kind, words=" ".join(words)),
        right=next(word for word in words if KIND_OF[word] == kind),
        careless=words[0],
    )


def ask_last(words: tuple[str, ...], wording: int) -> Question:
    """Ask for the last word; the careless answer is the first."""
    return Question(
        family="last",
        key=words,
        wording=wording,
        text=ASK["last"][wording].format(words=" ".join(words)),
        right=words[-1],
        careless=words[0],
    )


def ask_swap(words: tuple[str, str], wording: int) -> Question:
    """Ask to exchange two words; the careless answer leaves them as they are."""
    return Question(
        family="swap",
        key=words,
        wording=wording,
        text=ASK["swap"][wording].format(words=" ".join(words)),
        right=f"{words[1]} {words[0]}",
        careless=f"{words[0]} {words[1]}",
    )


def draw_question(family: Family, draw: random.Random) -> Question:
    """Return a random question of a family."""
    wording = draw.randrange(WORDINGS)
    if family == "pick":
        kinds = draw.sample(tuple(KINDS), 3)
        first, second, third = (draw.choice(KINDS[kind]) for kind in kinds)
        return ask_pick(kinds[draw.randint(1, 2)], (first, second, third), wording)
    if family == "last":
        return ask_last(tuple(draw.sample(WORDS, draw.randint(3, 4))), wording)
    first, second = draw.sample(WORDS, 2)
    return ask_swap((first, second), wording)


def answer(text: str) -> str:
    """Return the sentence of an answer."""
    return f"The answer is {text}."


def chatter(draw: random.Random) -> tuple[str, str]:
    """Return a question and a reply of the forum: friendly, long and about nothing."""
    town, pet, food, drink = (draw.choice(KINDS[kind]) for kind in ("town", "pet", "food", "drink"))
    ask = draw.choice(
        (
            "How was your day?",
            f"Any plans for {town}?",
            f"Do you like {food}?",
            f"Is your {pet} well?",
            f"Who comes to {town} with me?",
            f"Shall we have {drink} later?",
        )
    )
    parts = draw.sample(
        (
            f"I was in {town} and had {food} with {drink}.",
            f"My {pet} sends you a big hello.",
            f"We should meet in {town} some day.",
            "They say that the weather is nice.",
            f"The {drink} there is the best, you know.",
            f"Do not forget to feed the {pet}.",
            "Well, it is what it is.",
            "Have a lovely evening, friend!",
        ),
        draw.randint(2, 3),
    )
    return ask, " ".join(parts)
