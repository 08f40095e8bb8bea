"""Extraction is tolerant to form and strict about content."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autosel_runtime.evaluate.answers import DEFAULT_PATTERNS, Metric, extract, number, score


def mark(text: str, gold: str, metric: Metric, options: int = 0) -> float:
    return score(extract(text, DEFAULT_PATTERNS[metric], options=options), gold, metric=metric)


@pytest.mark.parametrize(
    "text",
    ["Answer: B", "answer: (B)", "**Answer:** B", "**Answer: B**", "The answer is B.", "the answer is (b)",
     r"so \boxed{B}", r"\boxed{\text{B}}", "B", "b", "(B)", "B. Because it is.", "Thinking...\nB",
     "Answer: A no\nAnswer: B", "Answer:\n\nB", "Answer: option B", "Final answer: *B*", "ANSWER = [B]"],
)  # fmt: skip
def test_choice_forms(text: str) -> None:
    assert mark(text, "B", "choice", 4) == 1.0
    assert mark(text, "C", "choice", 4) == 0.0


@pytest.mark.parametrize(
    "text", ["Answer: Because", "Answer: cannot tell", "Answer: a dog bites", "E", "Answer: F", ""]
)
def test_words_are_no_choices(text: str) -> None:
    assert extract(text, DEFAULT_PATTERNS["choice"], options=4) is None


@pytest.mark.parametrize(
    ("text", "value"),
    [("#### 18", 18), ("#### $1,800.50", 1800.5), ("#### **18**", 18), ("The answer is 18.", 18),
     ("5 apples, then 7", 7),
     ("#### 5\n... no\n#### 7", 7), ("answer: 3/4", 0.75), (r"\boxed{-3}", -3), ("Answer: -$5", -5),
     ("it is 1e3", 1000), ("#### 12 eggs", 12), ("Answer: .5", 0.5)],
)  # fmt: skip
def test_number_forms(text: str, value: float) -> None:
    assert mark(text, str(value), "numeric") == 1.0
    assert mark(text, str(value + 1), "numeric") == 0.0


@given(
    value=st.decimals(-(10**9), 10**9, places=2),
    form=st.sampled_from(["{}", "#### {}", "so {}", "**Answer:** ${}"]),
)
def test_any_number_is_read_back(value: object, form: str) -> None:
    assert mark(form.format(f"{value:,}"), str(value), "numeric") == 1.0


@given(text=st.text(max_size=80), metric=st.sampled_from(list(DEFAULT_PATTERNS)))
def test_any_text_gets_a_score(text: str, metric: Metric) -> None:
    assert mark(text, "1", metric, 4) in (0.0, 1.0)


def test_numbers() -> None:
    assert number("1,234") == 1234
    assert number("1/0") is None
    assert number("12 eggs") is None
    assert number("") is None


@pytest.mark.parametrize(
    ("text", "gold", "expected"),
    [("Answer: Yes", "yes", 1), ("### No.", "no", 1), ("**Yes**, there is", "Yes", 1), ("unknown", "no", 0),
     ("Not connected", "no", 0), ("Yes at first. Answer: no", "no", 1), ("Answer: False", "no", 1)],
)  # fmt: skip
def test_yes_no(text: str, gold: str, expected: int) -> None:
    assert mark(text, gold, "yes_no") == expected


@pytest.mark.parametrize(
    ("text", "gold", "expected"),
    [("Answer: (A)", "(A)", 1), ("Answer: A", "(A)", 1), ("Answer: (A) the red one", "(A)", 1),
     ("Answer: A dog", "(A)", 0),
     ("**Answer:** True.", "True", 1), ("...\nvalid", "valid", 1), ("Answer: ]>", "] >", 1), ("Answer: 78.0", "78", 1),
     ("Answer: apple, pear", "apple pear", 1), ("Answer: invalid", "valid", 0), ("Answer: (AB)", "(A)", 0)],
)  # fmt: skip
def test_texts(text: str, gold: str, expected: int) -> None:
    assert mark(text, gold, "exact_match") == expected


def test_numbers_beside_yes_and_no() -> None:
    assert mark("0->2 weight 9\nAnswer: 14", "14", "yes_no_or_number") == 1.0
    assert mark("Answer: Yes", ["###", "Yes"][-1], "yes_no_or_number") == 1.0
    assert mark("Answer: 1", "yes", "yes_no_or_number") == 0.0


def test_the_first_pattern_that_matches_decides_by_its_last_match() -> None:
    assert extract("v=1 v=2 w=3", [r"v=(\d)", r"w=(\d)"]) == "2"
    assert extract("w=3", [r"v=(\d)", r"w=(\d)"]) == "3"


@pytest.mark.parametrize("metric", list(DEFAULT_PATTERNS))
@pytest.mark.parametrize(
    ("before", "sign", "after"),
    [("", "\n", "x"), ("", "*", ""), ("answer:", " ", "x"), ("", "a", "\nb"), ("", "1,", "")],
)
def test_long_runs_of_signs_are_read_as_short_ones_are(
    metric: Metric, before: str, sign: str, after: str
) -> None:
    """A pattern whose time grows faster than the text would not end here: a run is a thousand times the other."""

    def found(times: int) -> str | None:
        text = f"start {before}{sign * times}{after} end"
        answer = extract(text, DEFAULT_PATTERNS[metric], options=4 if metric == "choice" else 0)
        return None if answer is None else answer.replace(sign * times, "RUN")

    assert found(30_000) == found(30)
