"""Fast word counts equal str.split."""

from hypothesis import given
from hypothesis import strategies as st

from autosel_runtime.pool import words
from autosel_runtime.pool.words import count_words

pieces = st.one_of(st.text(), st.text("ab \t\n\x1c\x1f\x85\xa0\u3000é"), st.text("a \n\x0b"))


@given(st.lists(pieces, max_size=20))
def test_counts_equal_split(texts: list[str]) -> None:
    assert count_words(texts).tolist() == [len(text.split()) for text in texts]


def test_texts_on_both_sides_of_a_block_are_counted() -> None:
    texts = ["a b " * 20_000, "", " x", "é e", "c" * (words._BLOCK + 1), "d e\n"]  # pyright: ignore[reportPrivateUsage]
    assert count_words(texts).tolist() == [40_000, 0, 1, 2, 1, 2]
