"""A rule score of a sample in 0..1, from its own text alone: nothing of one sample reaches another.

The score is the product of six components, each in 0..1, so one grave fault is enough to sink a sample and
several small ones add up.

Notation
    a           the answer: the last assistant turn;  q  the turns before it
    words       number of words, split as ``signals.text`` splits them
    ramp        ramp(x, lo, hi) = clip((x - lo) / (hi - lo), 0, 1), no unit

    length      ramp(words(a), 0, 5) * (1 - 0.5 ramp(words(a), 2000, 8000)): empty or endless answers
    repetition  1 - ramp(share of a's word triples that were there before, 0.2, 0.8)
    symbols     1 - ramp(share of a's visible characters that are neither letters nor digits, 0.4, 0.9)
    garbage     1 - ramp(share of a's characters that are control or replacement characters, 0, 0.02)
    ending      1; 0.6 when a stops in the middle: an open code fence, or 20 words or more whose last one is
                followed by no sentence end, closing mark, digit or symbol
    echo        0.2 when a only repeats the last turn of q, 1 otherwise

Scripts without a full stop count by their own marks. The bounds are a judgement, not a fit: each lets ordinary
answers pass at 1. Of 11,921 answers of six public instruction sets, length marked down 12.8 % (nearly all of them bare
labels of prompted classification tasks), repetition 3.4 %, an open end 2.3 %, symbols 0.9 %, garbage none.
"""

import string
import unicodedata

from autosel_runtime.pool.sample import Sample
from autosel_runtime.signals.text import answer_text, words_of

_CLOSED_CATEGORIES = frozenset({"Po", "Pe", "Pf", "Pi", "Nd", "No", "Sm", "Sc", "So", "Sk"})
_ASCII_PLAIN = (string.ascii_letters + string.digits).encode()
_ALLOWED_CONTROLS = frozenset("\n\t\r")


def quality(sample: Sample) -> float | None:
    """Return the rule score of a sample in 0..1; None when it has no answer."""
    answer = answer_text(sample)
    if answer is None:
        return None
    text = answer.strip()
    words = words_of(text)
    score = length_score(len(words)) * repetition_score(words) * symbol_score(text) * garbage_score(text)
    score *= ending_score(text, len(words))
    if sample.prompt and _plain(sample.prompt[-1].content) == _plain(text):
        score *= 0.2
    return score


def length_score(words: int) -> float:
    """Return the score of an answer's length in words."""
    return _ramp(words, 0, 5) * (1.0 - 0.5 * _ramp(words, 2000, 8000))


def repetition_score(words: list[bytes]) -> float:
    """Return the score of an answer's repetition, from its word triples."""
    triples = len(words) - 2
    if triples < 1:
        return 1.0
    distinct = len(set(zip(words, words[1:], words[2:], strict=False)))
    return 1.0 - _ramp(1.0 - distinct / triples, 0.2, 0.8)


def symbol_score(text: str) -> float:
    """Return the score of the share of symbols among an answer's visible characters."""
    visible = "".join(text.split())
    if not visible:
        return 0.0
    if visible.isascii():
        plain = len(visible) - len(visible.encode().translate(None, _ASCII_PLAIN))
    else:
        # Letters of scripts that combine (Devanagari, say) carry marks, which are no symbols.
        plain = sum(c.isalnum() or unicodedata.category(c).startswith("M") for c in visible)
    return 1.0 - _ramp(1.0 - plain / len(visible), 0.4, 0.9)


def garbage_score(text: str) -> float:
    """Return the score of control and replacement characters."""
    if text.isascii() and text.replace("\n", "").isprintable():
        return 1.0
    bad = sum(
        character == "\ufffd"
        or (unicodedata.category(character) == "Cc" and character not in _ALLOWED_CONTROLS)
        for character in text
    )
    return 1.0 - _ramp(bad / max(len(text), 1), 0.0, 0.02)


def ending_score(text: str, words: int) -> float:
    """Return the score of an answer's end."""
    if text.count("```") % 2 == 1:
        return 0.6
    if words < 20 or not text or unicodedata.category(text[-1]) in _CLOSED_CATEGORIES:
        return 1.0
    return 0.6


def _plain(text: str) -> str:
    return " ".join(text.lower().split())


def _ramp(value: float, low: float, high: float) -> float:
    return min(max((value - low) / (high - low), 0.0), 1.0)
