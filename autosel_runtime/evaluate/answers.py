"""From a model's text to a score: find the stated answer, normalise it, compare it with the gold answer.

An extraction is a list of regular expressions. They are tried in order; the first that matches anywhere decides,
by its *last* match, since models state the answer after they have thought. The defaults tolerate brackets,
Markdown, currency signs, case, and a missing marker, and want a word boundary after a letter, so that format
luck decides little. The share of answers that nothing matched is reported beside every score.
"""

import re
from collections import deque
from collections.abc import Sequence
from fractions import Fraction
from typing import Literal

Metric = Literal["exact_match", "numeric", "choice", "yes_no", "yes_no_or_number"]

LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"

# Runs of signs are bounded, so that a reply of ten thousand blanks costs no quadratic time.
_OPEN = r"[\s*_`\"'(\[{$]{0,24}"
_CLOSE = r"[\s*_`\"')\].:]{0,24}$"
_PLAIN_MARK = r"\banswer\b[\s*_`]{0,8}(?:is|:|=)[\s*_`:]{0,24}"
_MARK = rf"{_PLAIN_MARK}(?:\\boxed\{{)?"
_NUMBER = r"[-+−]?[$€£]?[-+−]?(?:\d[\d,]*(?:\.\d+)?|\.\d+)(?:[eE][-+]?\d+)?(?:\s?/\s?\d+)?"
_YES = r"(yes|no|true|false)\b"

# {letters} becomes the letters of the item's options, such as A-D.
_CHOICE = (
    rf"{_MARK}(?:option|choice)?{_OPEN}((?-i:[{{letters}}]))(?![\w'’])",
    rf"{_MARK}(?:option|choice)?{_OPEN}([{{letters}}]){_CLOSE}",
    r"\\boxed\{\W{0,4}(?:\\text\{)?([{letters}])\W{0,4}\}",
    rf"^{_OPEN}([{{letters}}]){_CLOSE}",
    rf"\A{_OPEN}((?-i:[{{letters}}]))[*_`\"')\]]{{0,8}}[).:,]",
)
_NUMERIC = (
    rf"####{_OPEN}({_NUMBER})",
    rf"{_MARK}{_OPEN}({_NUMBER})",
    rf"\\boxed\{{\s?\\?\$?\s?({_NUMBER})",
    rf"(?<![\w.])({_NUMBER})",
)
_YES_NO = (
    rf"{_MARK}{_OPEN}{_YES}",
    rf"^\s{{0,8}}#{{1,8}}{_OPEN}{_YES}",
    rf"^{_OPEN}{_YES}{_CLOSE}",
    rf"\A{_OPEN}{_YES}",
    rf"\b{_YES}",
)
_TEXT = (
    rf"{_PLAIN_MARK}\\boxed\{{(.+?)\}}\W{{0,4}}$",
    rf"{_PLAIN_MARK}(\S.*)$",
    r"\\boxed\{(.+?)\}\W{0,4}$",
    r"^(.+)\Z",
)
_YES_NO_OR_NUMBER = (
    rf"{_MARK}{_OPEN}(yes\b|no\b|true\b|false\b|{_NUMBER})",
    rf"^\s{{0,8}}#{{1,8}}{_OPEN}(yes\b|no\b|true\b|false\b|{_NUMBER})",
    rf"\A{_OPEN}{_YES}",
    rf"(\byes\b|\bno\b|(?<![\w.]){_NUMBER})",
)

DEFAULT_PATTERNS: dict[Metric, tuple[str, ...]] = {
    "exact_match": _TEXT,
    "numeric": _NUMERIC,
    "choice": _CHOICE,
    "yes_no": _YES_NO,
    "yes_no_or_number": _YES_NO_OR_NUMBER,
}


def extract(text: str, patterns: Sequence[str], *, options: int = 0) -> str | None:
    """Return the first group of the last match of the first pattern that matches; None when none does.

    Patterns ignore case and take lines (flags IGNORECASE and MULTILINE); ``{letters}`` stands for the letters of
    ``options`` options.
    """
    letters = f"A-{LETTERS[options - 1]}" if options else "A-Z"
    text = text.strip()
    for pattern in patterns:
        compiled = re.compile(pattern.replace("{letters}", letters), re.IGNORECASE | re.MULTILINE)
        matches = deque(compiled.finditer(text), maxlen=1)
        if matches and matches[0][1] is not None:
            return matches[0][1].strip()
    return None


def score(prediction: str | None, gold: str, *, metric: Metric, tolerance: float = 1e-6) -> float:
    """Return 1.0 when an extracted ``prediction`` equals ``gold`` in the sense of ``metric``, else 0.0."""
    if prediction is None:
        return 0.0
    if metric == "choice":
        return float(prediction.upper() == gold.upper())
    if metric == "numeric":
        return float(_numbers_agree(prediction, gold, tolerance))
    if metric == "yes_no":
        return float(_truth(prediction) == _truth(gold))
    if metric == "yes_no_or_number":
        if _truth(gold) is not None:
            return float(_truth(prediction) == _truth(gold))
        return float(_numbers_agree(prediction, gold, tolerance))
    return float(_texts_agree(prediction, gold, tolerance))


def number(text: str) -> float | None:
    """Return the number a text consists of (``$1,234.50``, ``-3``, ``3/4``), or None."""
    plain = re.sub(r"[\s,$€£%*_`]", "", text).replace("−", "-").rstrip(".")
    if not re.fullmatch(r"[-+]?(?:\d+(?:\.\d+)?|\.\d+)(?:[eE][-+]?\d{1,3})?(?:/\d+)?", plain):
        return None
    try:
        if "/" in plain:
            above, below = plain.split("/")
            return float(Fraction(above) / Fraction(below))
        return float(plain)
    except (ZeroDivisionError, OverflowError):
        return None


def is_gold(text: str, *, metric: Metric) -> bool:
    """Tell whether ``text`` can be a gold answer of ``metric``."""
    if metric == "numeric":
        return number(text) is not None
    if metric == "yes_no":
        return _truth(text) is not None
    if metric == "yes_no_or_number":
        return _truth(text) is not None or number(text) is not None
    return bool(text.strip())


def _numbers_agree(first: str, second: str, tolerance: float) -> bool:
    a, b = number(first), number(second)
    return a is not None and b is not None and abs(a - b) <= tolerance


def _truth(text: str) -> bool | None:
    word = text.strip().strip("*_`\"'.!").lower()
    return {"yes": True, "true": True, "no": False, "false": False}.get(word)


def _texts_agree(prediction: str, gold: str, tolerance: float) -> bool:
    first, second = _plain(prediction), _plain(gold)
    if first == second:
        return True
    letter = re.fullmatch(r"\(([a-z])\)", second)
    if letter is not None:  # the gold answer names an option: accept (a), a, a) text
        found = re.match(r"(?:option )?(?:\(([a-z])\)|([a-z])(?=[).:]|$))", first)
        return found is not None and (found[1] or found[2]) == letter[1]
    if not re.search(r"\w", second):  # brackets and signs: white space means nothing
        return re.sub(r"\s", "", first) == re.sub(r"\s", "", second)
    return _numbers_agree(first, second, tolerance)


def _plain(text: str) -> str:
    """Lower case, no Markdown, quotes, commas or final full stop, white space collapsed."""
    text = re.sub(r"[*_`\"',]+", " ", text.casefold())
    return " ".join(text.split()).rstrip(".").strip()
